# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quantities as Kubernetes writes them: ``500m``, ``2Gi``, ``1e3``. Pure."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ..errors import InputError

_SUFFIXES = {
    **{suffix: Fraction(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    "m": Fraction(1, 1000),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
}


def quantity(value: Any) -> Fraction:
    """The number that a quantity says; InputError for what is none."""
    text = str(value).strip()
    suffix = next((one for one in sorted(_SUFFIXES, key=len, reverse=True) if text.endswith(one)), "")
    try:
        return Fraction(text[: len(text) - len(suffix)] if suffix else text) * _SUFFIXES.get(suffix, Fraction(1))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError("is no quantity", option="quantity", value=value, remedy="write it as in 500m or 2Gi") from error
