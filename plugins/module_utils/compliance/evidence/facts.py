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
    return {area.name: _fact(area) for area in areas}


def _fact(area: Area) -> Fact:
    try:
        return {"how": area.how, "data": area.measure()}
    except FederationError as error:
        return {"how": area.how, "error": error.sentence()}


def subject(kind: str, name: str, site: str, facts: dict[str, Fact]) -> dict[str, Any]:
    """As evidence has it; ``kind``: site, hypervisor, vm or cluster."""
    return {"type": kind, "name": name, "site": site, "facts": facts}
