# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far cloud-init is, by the files that it keeps in the guest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RESULT = "/run/cloud-init/result.json"
STATUS = "/run/cloud-init/status.json"
DISABLED = "/run/cloud-init/disabled"
STAGES = ("init-local", "init", "modules-init", "modules-config", "modules-final")


@dataclass(frozen=True)
class Progress:
    """``stage`` is one of STAGES, or empty; ``done``: it came to its end, with these errors or without."""

    done: bool = False
    stage: str = ""
    datasource: str = ""
    errors: tuple[str, ...] = ()


def read_progress(result: bytes | None, status: bytes | None) -> Progress:
    """From the contents of RESULT and STATUS; None for a file that is not there. Never raises: a file may be half written."""
    ended, going = _version_1(result), _version_1(status)
    if ended:
        return Progress(True, "", _text(ended, "datasource"), _errors(ended))
    stages = [(name, going[name]) for name in STAGES if isinstance(going.get(name), Mapping)]
    errors = tuple(error for _name, one in stages for error in _errors(one))
    stage = _text(going, "stage") or next((name for name, one in reversed(stages) if one.get("start")), "")
    return Progress(False, stage, _text(going, "datasource"), errors)


def _version_1(content: bytes | None) -> Mapping[str, Any]:
    try:
        read = json.loads(content or b"")
    except ValueError:
        return {}
    inner = read.get("v1") if isinstance(read, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _errors(data: Mapping[str, Any]) -> tuple[str, ...]:
    listed = data.get("errors")
    return tuple(" ".join(str(error).split()) for error in listed) if isinstance(listed, list) else ()
