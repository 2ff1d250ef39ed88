# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The time in which a cutover may happen. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..errors import InputError


@dataclass(frozen=True)
class Window:
    """From ``not_before`` to ``not_after``, each with a time zone; None is open on that side."""

    not_before: datetime | None = None
    not_after: datetime | None = None

    @classmethod
    def from_options(cls, not_before: str | None, not_after: str | None, now: datetime) -> Window:
        """From ISO 8601; InputError for what is none, has no time zone, or is over already."""
        window = cls(_moment(not_before, "not_before"), _moment(not_after, "not_after"))
        if window.not_after is not None and window.not_after <= now:
            raise InputError(
                "is in the past", option="not_after", value=not_after, remedy=f"use a later moment; it is {now:%Y-%m-%dT%H:%M:%S%z}"
            )
        if window.not_before is not None and window.not_after is not None and window.not_after <= window.not_before:
            raise InputError(
                f"is not after not_before={not_before}", option="not_after", value=not_after, remedy="make the window longer"
            )
        return window

    def seconds_until_open(self, now: datetime) -> float:
        """0 when it is open, or over."""
        return 0.0 if self.not_before is None else max(0.0, (self.not_before - now).total_seconds())

    def seconds_left(self, now: datetime) -> float | None:
        """Until it closes, 0 when it has; None without an end."""
        return None if self.not_after is None else max(0.0, (self.not_after - now).total_seconds())


def _moment(text: str | None, option: str) -> datetime | None:
    if not text:
        return None
    remedy = "write ISO 8601 with a time zone, such as 2026-11-24T22:00:00+01:00"
    try:
        # Before Python 3.11 the Z is not understood.
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise InputError("is not a moment", option=option, value=text, remedy=remedy) from None
    if moment.tzinfo is None:
        raise InputError("has no time zone", option=option, value=text, remedy=remedy)
    return moment
