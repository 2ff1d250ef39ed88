# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Areas of evidence, and the facts that come of them: data, or one sentence why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ...errors import FederationError

Fact = dict[str, Any]


@dataclass(frozen=True)
class Area:
    """What is measured under ``name``; ``how``: the call or command, in one line; ``measure`` raises FederationError."""

    name: str
    how: str
    measure: Callable[[], Any]


def gather(areas: Iterable[Area]) -> dict[str, Fact]:
    """``{"how", "data"}`` or ``{"how", "error"}`` by area; one that cannot be had keeps no other from being measured."""
    return {area.name: measured(area.how, area.measure) for area in areas}


def measured(how: str, measure: Callable[[], Any]) -> Fact:
    """The fact that comes of a call; what fails otherwise than with a FederationError is a defect."""
    try:
        return {"how": how, "data": measure()}
    except FederationError as error:
        return failed(how, " ".join(error.sentence().split()))


def failed(how: str, why: str) -> Fact:
    """What could not be measured, and why, in one sentence."""
    return {"how": how, "error": why}


def subject(kind: str, name: str, site: str, facts: dict[str, Fact]) -> dict[str, Any]:
    """As evidence has it; ``kind``: site, hypervisor, vm or cluster."""
    return {"type": kind, "name": name, "site": site, "facts": facts}
