# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a report as texts, and what of a folder they change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import read_text, write_text
from .report.junit import junit
from .report.oscal import assessment_results
from .report.page import html

FINDINGS = "findings.json"


def texts(report: Mapping[str, Any]) -> dict[str, str]:
    """All files of the report by their names; the same report gives the same bytes."""
    return {
        FINDINGS: json.dumps(report, ensure_ascii=False, separators=(",", ":")) + "\n",
        "assessment-results.json": assessment_results(report),
        "junit.xml": junit(report),
        "index.html": html(report),
    }


def changed(folder: str, files: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """``before`` and ``after``: the SHA-256 digests of the files that are not in the folder as they are to be."""
    sides: dict[str, dict[str, str]] = {"before": {}, "after": {}}
    for name, text in files.items():
        there = read_text(str(Path(folder) / name))
        if there != text:
            sides["after"][name] = _digest(text)
            if there:
                sides["before"][name] = _digest(there)
    return sides


def write(folder: str, files: Mapping[str, str]) -> None:
    """findings.json last: where it is new, all of them are."""
    for name in sorted(files, key=lambda one: (one == FINDINGS, one)):
        write_text(str(Path(folder) / name), files[name])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
