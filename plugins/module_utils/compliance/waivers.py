# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which waiver covers a finding, and which are due; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta
from typing import Any

from ..errors import InputError
from ..waivers import Waiver

DUE_DAYS = 30


def check_waivers(waivers: Sequence[Waiver], known: Collection[str], where: str = "waivers") -> None:
    """InputError for the first that is of a control that there is not."""
    for index, waiver in enumerate(waivers):
        if waiver.control not in known:
            remedy = f"use one of {', '.join(sorted(known))}"
            raise InputError("is no known control", option=f"{where}[{index}].control", value=waiver.control, remedy=remedy)


def covering(waivers: Iterable[Waiver], subject: dict[str, str]) -> Waiver | None:
    """Of a control's waivers the one that covers the subject and lasts longest, whether or not it has expired; None for none."""
    covers = [waiver for waiver in waivers if waiver.scope.covers(subject)]
    return max(covers, key=lambda waiver: waiver.expires) if covers else None


def shown(waivers: Iterable[Waiver], today: str) -> tuple[dict[str, Any], ...]:
    """All of them, the first to expire first; ``due``: within DUE_DAYS."""
    soon = (date.fromisoformat(today) + timedelta(days=DUE_DAYS)).isoformat()
    ordered = sorted(waivers, key=lambda waiver: (waiver.expires, waiver.control, waiver.owner, waiver.reason))
    return tuple(
        {**waiver.to_dict(), "due": today <= waiver.expires <= soon, "expired": waiver.expires < today} for waiver in ordered
    )
