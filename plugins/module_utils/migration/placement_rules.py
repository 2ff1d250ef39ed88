# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""May this VM live there, by the policy that travels with it? Pure; what the hypervisor can carry is ``preflight``'s affair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..backends.facts import SourceFacts, TargetFacts
from ..model import Vm
from ..placement.check import broken_rules
from ..placement.hard import Breach
from ..placement.places import Present
from ..rules import Override, PlacementRules
from .plan import Request


def breaches(request: Request, source: SourceFacts, target: TargetFacts) -> list[Breach]:
    """What of its policy the VM would break at the target; an earlier leave counts only where it was given."""
    return broken_rules(
        source.vm,
        request.target_site,
        request.target,
        target.site_facts,
        request.today,
        latencies=request.latencies,
        present=None if target.company is None else _present(request, target.company),
        sites=[request.source_site],
    )


def _present(request: Request, company: Mapping[str, Any]) -> dict[str, list[Present]]:
    """The VMs at both ends; those that are about to move are counted where they go."""
    found: dict[str, list[Present]] = {}
    for hypervisor, statuses in company.items():
        for index, status in enumerate(statuses):
            one = Present.from_status(hypervisor, status, f"company.{hypervisor}[{index}]")
            if one is not None:
                at = request.moving.get(one.vm.name, one.hypervisor)
                found.setdefault(at, []).append(replace(one, hypervisor=at))
    return found


def with_leave(vm: Vm, target: str, reason: str) -> Vm:
    """The VM as it is at the target: with the leave to be there, if one was needed; leave for another place ends."""
    given = None if not reason else Override(target, reason)
    kept = vm.rules.override
    if given is None and kept is not None and kept.hypervisor == target:
        given = kept
    if vm.rules.override == given:
        return vm
    return replace(vm, placement=replace(vm.placement or PlacementRules(), override=given).given())
