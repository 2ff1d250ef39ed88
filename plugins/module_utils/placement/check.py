# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hard rules that one place breaks for one VM, as for a migration that is about to begin. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from ..model import Site, Vm
from .answer import Judge
from .hard import Breach
from .needs import Compiler
from .occupancy import Occupancy
from .places import Place, Present
from .reach import Reaches

# What the policy says, apart from what the hypervisor has and what is free of it.
POLICY_RULES = frozenset(
    (
        *("policy", "country", "provider", "certification", "cpu_features", "device"),
        *("anti_affinity", "affinity", "keep_together", "round_trip"),
    )
)
# What a single VM cannot keep while those that belong to it have not moved yet.
COMPANY_RULES = frozenset(("affinity", "keep_together"))


def broken_rules(
    vm: Vm,
    site: Site,
    hypervisor: str,
    facts: Mapping[str, Any] | None,
    today: date,
    *,
    latencies: Iterable[Any] = (),
    present: Mapping[str, Sequence[Present]] | None = None,
    sites: Sequence[Site] = (),
) -> list[Breach]:
    """What of the VM's policy is broken at a hypervisor, each a sentence; empty when it may run there, or has leave to.

    :param facts: what ``site_info`` returns of it; None: CPU features and devices are not looked at
    :param latencies: ``{source, target, median_ms, …}``; without one, the distance is the lower bound
    :param present: the VMs at each hypervisor, without which rules about other VMs are not looked at
    :param sites: those of the federation, where these other VMs and the ends of round trips are
    """
    override = vm.rules.override
    if override is not None and override.hypervisor == hypervisor:
        return []
    known = {one.name: one for one in (*sites, site)}
    places = {one.name: Place(one.name, of) for of in known.values() for one in of.hypervisors}
    places[hypervisor] = Place(hypervisor, site)
    if facts is not None:
        places[hypervisor] = Place.from_facts(hypervisor, site, facts, f"facts.{hypervisor}")
    ordered = [places[name] for name in sorted(places)]
    others = [one for name in sorted(present or {}) if name in places for one in (present or {})[name] if one.vm.name != vm.name]
    compiler = Compiler(ordered, Reaches(list(known.values()), latencies), today)
    needs = compiler.compile([vm], others)
    world = Occupancy(ordered, needs, compiler.reaches, compiler.wishes)
    for need in needs[1:]:
        world.put(need, need.home, counted=True)
    found = Judge(world, compiler.wishes, today).breaches(needs[0], sorted(places).index(hypervisor))
    ignored = set() if facts is not None else {"cpu_features", "device"}
    if present is None:
        ignored |= COMPANY_RULES
    return [breach for breach in found if breach.rule in POLICY_RULES and breach.rule not in ignored]


def open_places(
    vms: Sequence[Vm], sites: Sequence[Site], today: date, latencies: Iterable[Any] = ()
) -> list[list[tuple[Site, str]]]:
    """For each VM the places, as site and hypervisor, that its own policy leaves open to it, whatever is there and free.

    What depends on other VMs, on a hypervisor's processor and on its devices is not looked at: it may change at any time.
    """
    places = [Place(one.name, site) for site in sorted(sites, key=lambda each: each.name) for one in site.hypervisors]
    compiler = Compiler(places, Reaches(list(sites), latencies), today)
    needs = compiler.compile(vms, [])
    judge = Judge(Occupancy(places, needs, compiler.reaches, compiler.wishes), compiler.wishes, today)
    ignored = COMPANY_RULES | {"anti_affinity", "cpu_features", "device"}
    rules = POLICY_RULES - ignored
    return [
        [
            (place.site, place.hypervisor)
            for at, place in enumerate(places)
            if not any(one.rule in rules for one in judge.breaches(need, at))
        ]
        for need in needs
    ]
