# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Before anything is touched: both hypervisors refuse to start what they do not own."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..crew import work_through
from ..errors import MigrationBlocked
from .cutover import Side

_SECONDS = 60.0


def check_guards(sides: Sequence[Side]) -> None:
    """Both at the same time, for it takes each of them a tenth of a second; MigrationBlocked for one that is not awake."""
    answers = work_through(sides, _has_guard, workers=len(sides), deadline=time.monotonic() + _SECONDS)
    for side, answer in zip(sides, answers):
        if not answer:
            raise MigrationBlocked(
                f"the owner guard at {side.end.hypervisor} gave no answer within {_SECONDS:g} s",
                remedy="see to libvirtd there, then run it again",
            )


def _has_guard(side: Side) -> bool:
    side.registry.check_guard()
    return True
