# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hypervisor each VM of a site that is emptied goes to. Pure.

Only what rules a hypervisor out for certain is looked at here; the migration's own preflight looks at all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..fields import Fields
from ..model import Portable
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
        )
        fields.finish()
        return read


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


def assign(leaving: Sequence[Leaving], candidates: Sequence[Candidate]) -> tuple[dict[str, str], list[Blocked]]:
    """The hypervisor of each VM, and the VMs that none can take; the same for the same input in any order.

    The largest goes first, each to where the most memory is free.
    """
    free = {candidate.hypervisor: candidate.memory_free for candidate in candidates}
    found: dict[str, str] = {}
    blocked: list[Blocked] = []
    for vm in sorted(leaving, key=lambda one: (-one.memory, one.vm)):
        fits = [one for one in candidates if not one.against(vm, free[one.hypervisor])]
        if fits:
            best = min(fits, key=lambda one: (-free[one.hypervisor], one.hypervisor))
            free[best.hypervisor] -= vm.memory
            found[vm.vm] = best.hypervisor
        else:
            ordered = sorted(candidates, key=lambda one: one.hypervisor)
            reasons = tuple(f"{one.hypervisor}: {one.against(vm, free[one.hypervisor])}" for one in ordered)
            blocked.append(Blocked(vm.vm, vm.source, reasons or ("no hypervisor was offered",)))
    return found, blocked
