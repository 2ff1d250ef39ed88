# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values as people see them: text of others made harmless, numbers that may be missing, durations and moments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from .sizes import show_size


def plain(value: Any) -> str:
    """One line of text; what cannot be printed, and what turns the reading direction, becomes ``�``. Empty for None."""
    if value is None:
        return ""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def number(data: Mapping[str, Any], key: str) -> float | None:
    """The number at ``key``; None when it is missing, or is no finite number."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def whole(data: Mapping[str, Any], key: str) -> int:
    """The number at ``key`` without its fraction; 0 when it is missing."""
    return int(number(data, key) or 0)


def mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping at ``key``; an empty one when it is missing."""
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def mappings(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The list of mappings at ``key``; an empty one when it is missing."""
    value = data.get(key)
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def rate(bytes_per_second: float) -> str:
    """``"110.0 MiB/s"``."""
    return f"{show_size(int(bytes_per_second))}/s"


def duration(seconds: float) -> str:
    """``"412 ms"``, ``"4.2 s"``, ``"42 s"``, ``"3 min 12 s"``, ``"2 h 5 min"``, ``"3 d 4 h"``."""
    seconds = max(0.0, seconds)
    if round(seconds * 1000) < 1000:
        return f"{round(seconds * 1000)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def clock(moment: float, form: str = "%H:%M:%S") -> str:
    """``"08:14:31"`` in UTC from seconds since 1970; empty for what no calendar has."""
    try:
        return datetime.fromtimestamp(moment, tz=timezone.utc).strftime(form)
    except (OverflowError, OSError, ValueError):
        return ""


def written(moment: Any) -> str:
    """``"2026-11-24 08:14:31 UTC"`` from ISO 8601; what is none stays as it is written."""
    text = plain(moment)
    try:
        read = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
        if read.tzinfo is None:
            read = read.replace(tzinfo=timezone.utc)
        return read.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):
        return text
