# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which mode ``auto`` takes, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .estimate import Estimate

LIVE, WARM, COLD = "live", "warm", "cold"


@dataclass(frozen=True)
class Candidate:
    """A mode, what stands in its way (sentences), and what it would take."""

    mode: str
    blockers: Sequence[str]
    estimate: Estimate


@dataclass(frozen=True)
class Choice:
    """The mode and one sentence that says why, and why none of the better ones."""

    mode: str
    reason: str


def choose(candidates: Sequence[Candidate], budget: float | None) -> Choice:
    """The first of live, warm and cold that nothing blocks, that converges and keeps the budget; cold where none does.

    :param candidates: in the order in which they are preferred
    :param budget: longest downtime in seconds; None for no limit
    """
    refused: list[str] = []
    for candidate in candidates:
        why = _against(candidate, budget)
        if not why:
            reason = "; ".join([*refused, f"{candidate.mode} fits"])
            return Choice(candidate.mode, reason)
        refused.append(f"not {candidate.mode}: {why}")
    return Choice(candidates[-1].mode, "; ".join([*refused, f"{candidates[-1].mode} is what is left"]))


def _against(candidate: Candidate, budget: float | None) -> str:
    if candidate.blockers:
        return candidate.blockers[0]
    if not candidate.estimate.converges:
        return "the guest writes faster than the link carries"
    downtime = candidate.estimate.downtime_seconds
    if budget is not None and downtime is not None and downtime > budget:
        return f"its downtime is estimated at {downtime:g} s, over the budget of {budget:g} s"
    return ""
