# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of runs, and which of them are to go; pure.

A run is a folder of ansible-runner's artefacts, named by its start in UTC and its process: ``20261125T120000Z-4711``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

_NAME = re.compile(r"(\d{8}T\d{6})Z-\d+")
_FORMAT = "%Y%m%dT%H%M%S"


def name(start: datetime, process: int) -> str:
    """Of a run that begins at ``start``, which knows its zone."""
    return f"{start.astimezone(timezone.utc).strftime(_FORMAT)}Z-{process}"


def begun(run: str) -> datetime:
    """When; ValueError for what is no run of ours."""
    match = _NAME.fullmatch(run)
    if not match:
        raise ValueError(run)
    return datetime.strptime(match.group(1), _FORMAT).replace(tzinfo=timezone.utc)


def to_remove(names: Iterable[str], now: datetime, keep: int, days: int) -> list[str]:
    """All but the ``keep`` newest, and what is older than ``days`` (0: no age), oldest first. The newest always stays.

    What has another name is not ours, and stays.
    """
    runs = []
    for one in names:
        try:
            runs.append((begun(one), one))
        except ValueError:
            continue
    runs.sort(reverse=True)
    oldest = now - timedelta(days=days) if days else None
    gone = [
        one for place, (start, one) in enumerate(runs) if place >= max(keep, 1) or (place and oldest is not None and start < oldest)
    ]
    return gone[::-1]
