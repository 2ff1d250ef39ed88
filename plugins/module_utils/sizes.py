# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes as people write them: a number of bytes, or a number with a binary unit (``512MiB``)."""

from __future__ import annotations

import re
from typing import Any

from .errors import InputError

_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_PATTERN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$", re.ASCII)


def parse_size(value: Any, option: str) -> int:
    """Bytes of ``"16GiB"``, ``"512 MiB"`` or a plain number of bytes; InputError when it is none of these."""
    remedy = "write a positive whole number of bytes, or one with a binary unit such as 512MiB or 20GiB"
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InputError("is not a size", option=option, value=value, remedy=remedy)
    match = _PATTERN.match(str(value))
    if match is None or match.group(2) not in _UNITS:
        raise InputError("is not a size", option=option, value=value, remedy=remedy)
    size = float(match.group(1)) * _UNITS[match.group(2)] if "." in match.group(1) else int(match.group(1)) * _UNITS[match.group(2)]
    if size <= 0 or size != int(size):
        raise InputError("is not a whole positive size", option=option, value=value, remedy=remedy)
    return int(size)


def show_size(size: int) -> str:
    """``"1.5 GiB"`` for people to read."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
