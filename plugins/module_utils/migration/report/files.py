# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report on disk: the data as JSON, and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ...files import read_text, write_text
from .page import html

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def write_report(report: dict[str, Any], folder: str) -> dict[str, str]:
    """``{json, html}``: the paths, ``VM-ID.json`` and ``VM-ID.html``, a cluster's by its migration's name. InputError where they cannot be written.

    A report without events, which is what is left to tell after the release, leaves a fuller one as it is.
    """
    name = _UNSAFE.sub("_", str(report.get("vm") or report.get("name") or "")).strip("._") or "vm"
    stem = f"{name}-{_UNSAFE.sub('_', str(report.get('id', '')))[:8]}"
    paths = {"json": str(Path(folder) / f"{stem}.json"), "html": str(Path(folder) / f"{stem}.html")}
    if not report.get("events") and read_text(paths["json"]):
        return paths
    texts = {"json": json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "html": html(report)}
    for kind, path in paths.items():
        if read_text(path) != texts[kind]:
            write_text(path, texts[kind])
    return paths
