# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A watch: a line of JSON for every change, for as long as the server keeps it open."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from ...errors import BackendError
from ..cluster import Changed
from .requests import Request, Requests
from .sdk import urllib3

_KINDS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
# The server ends a watch by itself; this long after that it counts as gone.
_GRACE_SECONDS = 20.0


def watch(requests: Requests, request: Request, seconds: int) -> Iterator[Changed]:
    """Ends early when the server ends it, is lost, or forgot where to go on from (410)."""
    try:
        answer = requests.stream(request, seconds + _GRACE_SECONDS)
    except BackendError as error:
        if error.details.get("code") == 410:
            return
        raise
    try:
        for line in _lines(answer):
            change = _change(line)
            if change is None:
                return
            yield change
    finally:
        # What is left of the answer is not waited for, so its connection cannot serve again.
        answer.close()


def _lines(answer: Any) -> Iterator[bytes]:
    rest = b""
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        for piece in answer.stream(amt=None, decode_content=True):
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line for line in whole if line.strip())


def _change(line: bytes) -> Changed | None:
    """None for what ends a watch: an ERROR, or a line that was cut."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    if not isinstance(told, dict) or told.get("type") not in _KINDS:
        return None
    return Changed(str(told["type"]), told.get("object") or {})
