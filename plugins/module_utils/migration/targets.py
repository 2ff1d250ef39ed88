# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hypervisor each VM of a site that is emptied goes to. Pure.

Only what rules a hypervisor out for certain is looked at here, with the VM's placement policy; the migration's own preflight looks
at all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ..errors import InputError
from ..fields import Fields, unique
from ..model import Portable, Site, Vm
from ..placement.check import broken_rules
from ..placement.places import Present, read_places, read_present
from ..rules import PlacementRules
from ..sizes import show_size
from .plan_file import Blocked


@dataclass(frozen=True)
class Leaving(Portable):
    """A VM that needs another hypervisor: what it needs there. ``memory`` in bytes; 0 for a VM that is off."""

    vm: str
    source: str
    memory: int = 0
    storage: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    allowed_countries: tuple[str, ...] = ()
    placement: PlacementRules | None = None

    @classmethod
    def from_dict(cls, data: Any, where: str = "vms") -> Leaving:
        fields = Fields(data, where)
        read = cls(
            vm=fields.text("vm", required=True),
            source=fields.text("source", required=True),
            memory=fields.integer("memory", 0, 0, 2**62),
            storage=fields.texts("storage"),
            networks=fields.texts("networks"),
            allowed_countries=fields.texts("allowed_countries"),
            # It travelled with the VM: one that cannot be read lets it go nowhere.
            placement=PlacementRules.from_metadata(fields.get("placement")),
        )
        fields.finish()
        return read

    def spec(self) -> Vm:
        """As much of the VM as its policy speaks of."""
        return Vm(self.vm, 0, 0, allowed_countries=self.allowed_countries, placement=self.placement)


@dataclass(frozen=True)
class Candidate(Portable):
    """A hypervisor that may take VMs: ``memory_free`` in bytes, and its site's logical names."""

    hypervisor: str
    site: str
    country: str
    memory_free: int
    storage: tuple[str, ...] = field(default=())
    networks: tuple[str, ...] = field(default=())

    @classmethod
    def from_dict(cls, data: Any, where: str = "candidates") -> Candidate:
        fields = Fields(data, where)
        read = cls(
            hypervisor=fields.text("hypervisor", required=True),
            site=fields.text("site", required=True),
            country=fields.text("country", required=True),
            memory_free=fields.integer("memory_free", None, 0, 2**62, required=True),
            storage=fields.texts("storage"),
            networks=fields.texts("networks"),
        )
        fields.finish()
        return read

    def against(self, vm: Leaving, free: int) -> str:
        """Why the VM cannot go there, as part of a sentence; empty where nothing is against it."""
        if self.hypervisor == vm.source:
            return "it is there already"
        if vm.allowed_countries and self.country not in vm.allowed_countries:
            return f"{self.country} is not among its countries ({', '.join(vm.allowed_countries)})"
        for kind, wanted, there in (("storage", vm.storage, self.storage), ("network", vm.networks, self.networks)):
            missing = sorted(set(wanted) - set(there))
            if missing:
                return f"site {self.site} maps no {kind} {missing[0]}"
        if vm.memory > free:
            return f"{show_size(free)} of memory are free, {show_size(vm.memory)} are needed"
        return ""


@dataclass(frozen=True)
class Surroundings:
    """What policies are judged by: the sites, facts of hypervisors, the VMs that stay, and measured round trips."""

    sites: tuple[Site, ...]
    facts: Mapping[str, Any]
    present: tuple[Present, ...]
    latencies: Sequence[Any]
    today: date

    @classmethod
    def read(
        cls, sites: Sequence[Any], facts: Mapping[str, Any], present: Mapping[str, Any], latencies: Sequence[Any], today: date
    ) -> Surroundings:
        """As ``placement`` takes them; InputError names what cannot be meant."""
        read = tuple(Site.from_dict(site, f"sites[{index}]") for index, site in enumerate(sites))
        unique([site.name for site in read], "sites[].name")
        return cls(read, facts, read_present(read_places(read, facts), present), latencies, today)

    def against(self, vm: Leaving, candidate: Candidate, found: Mapping[str, str], leaving: Mapping[str, Leaving]) -> str:
        """The rules of the policies that it would break there; those that leave are where a place was found for them, or nowhere."""
        site = next((one for one in self.sites if one.name == candidate.site), None)
        if site is None:
            raise InputError("is not among the sites", option="candidates[].site", value=candidate.site, remedy="add it to sites")
        present: dict[str, list[Present]] = {}
        for one in self.present:
            if one.vm.name not in leaving:
                present.setdefault(one.hypervisor, []).append(one)
        for name, hypervisor in found.items():
            present.setdefault(hypervisor, []).append(Present(leaving[name].spec(), hypervisor, running=True, movable=True))
        broken = broken_rules(
            vm.spec(),
            site,
            candidate.hypervisor,
            self.facts.get(candidate.hypervisor),
            self.today,
            latencies=self.latencies,
            present=present,
            sites=self.sites,
        )
        return "; ".join(breach.sentence for breach in broken)


def assign(
    leaving: Sequence[Leaving], candidates: Sequence[Candidate], surroundings: Surroundings | None = None
) -> tuple[dict[str, str], list[Blocked]]:
    """The hypervisor of each VM, and the VMs that none can take; the same for the same input in any order.

    The largest goes first, each to where the most memory is free.

    :param surroundings: what policies are judged by; without them a VM that has one is refused
    """
    by_name = {vm.vm: vm for vm in leaving}
    free = {candidate.hypervisor: candidate.memory_free for candidate in candidates}
    found: dict[str, str] = {}
    blocked: list[Blocked] = []

    def against(vm: Leaving, one: Candidate) -> str:
        reason = one.against(vm, free[one.hypervisor])
        return reason or ("" if surroundings is None else surroundings.against(vm, one, found, by_name))

    for vm in sorted(leaving, key=lambda one: (-one.memory, one.vm)):
        if vm.placement is not None and surroundings is None:
            remedy = "give sites, and with them facts, present and latencies"
            raise InputError("cannot be judged without the sites", option=f"placement of VM {vm.vm}", remedy=remedy)
        reasons = {one.hypervisor: against(vm, one) for one in sorted(candidates, key=lambda one: one.hypervisor)}
        fits = [hypervisor for hypervisor, reason in reasons.items() if not reason]
        if fits:
            best = min(fits, key=lambda hypervisor: (-free[hypervisor], hypervisor))
            free[best] -= vm.memory
            found[vm.vm] = best
        else:
            told = tuple(f"{hypervisor}: {reason}" for hypervisor, reason in reasons.items())
            blocked.append(Blocked(vm.vm, vm.source, told or ("no hypervisor was offered",)))
    return found, blocked
