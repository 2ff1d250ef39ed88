# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hard rules that a place keeps or breaks by itself, whatever else runs there. Pure.

Each function yields a ``Breach`` for each rule that is broken: none means that the VM may go there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from ..model import Site, Vm
from ..portable import Portable
from ..sizes import show_size
from .places import Place
from .reach import Reaches


@dataclass(frozen=True)
class Breach(Portable):
    """A rule that a place breaks, in a sentence.

    ``excess``: by how much, in ``unit`` (bytes, vcpus, ms, devices, or how many names are missing); ``share`` of what was
    needed or allowed, by which changes are compared. ``change``: the least that would lift it, as an imperative.
    """

    rule: str
    sentence: str
    excess: float = 1.0
    unit: str = "names"
    share: float = 1.0
    change: str = ""


def site_breaches(vm: Vm, site: Site, today: date) -> Iterator[Breach]:
    """Countries, providers, certifications, and the logical names that the site maps."""
    rules, name, at = vm.rules, vm.name, site.name
    if rules.unreadable:
        sentence = f"the placement policy of VM {name} cannot be read ({rules.unreadable})"
        yield Breach("policy", sentence, change=f"give VM {name} a new placement policy")
    if vm.allowed_countries and site.country not in vm.allowed_countries:
        sentence = f"VM {name} may run in {', '.join(vm.allowed_countries)} only, and site {at} is in {site.country}"
        yield Breach("country", sentence, change=f"add {site.country} to the allowed_countries of VM {name}")
    if site.country in rules.forbidden_countries:
        sentence = f"VM {name} may not run in {site.country}, where site {at} is"
        yield Breach("country", sentence, change=f"take {site.country} out of placement.forbidden_countries of VM {name}")
    if rules.allowed_providers and site.provider not in rules.allowed_providers:
        allowed = ", ".join(rules.allowed_providers)
        sentence = f"VM {name} may run at {allowed} only, and the provider of site {at} is {site.provider}"
        yield Breach("provider", sentence, change=f"add {site.provider} to placement.allowed_providers of VM {name}")
    if site.provider in rules.forbidden_providers:
        sentence = f"VM {name} may not run at {site.provider}, the provider of site {at}"
        yield Breach("provider", sentence, change=f"take {site.provider} out of placement.forbidden_providers of VM {name}")
    if rules.certifications:
        yield from _uncertified(vm, site, today)
    for kind, wanted, mapped in (
        ("storage", {disk.storage for disk in vm.disks}, site.storage),
        ("network", {nic.network for nic in vm.nics}, site.networks),
    ):
        missing = sorted(wanted - mapped.keys())
        if missing:
            sentence = f"site {at} maps no {kind} {', '.join(missing)}, which VM {name} uses"
            yield _missing(kind, sentence, missing, f"map the {kind} {', '.join(missing)} at site {at}")


def _uncertified(vm: Vm, site: Site, today: date) -> Iterator[Breach]:
    missing = sorted(set(vm.rules.certifications) - site.certifications(today))
    if missing:
        names = ", ".join(missing)
        sentence = f"VM {vm.name} needs {names}, which site {site.name} does not attest today"
        change = f"have site {site.name} attest {names}, or take it out of placement.certifications of VM {vm.name}"
        yield _missing("certification", sentence, missing, change)


def _missing(rule: str, sentence: str, names: Iterable[str], change: str) -> Breach:
    count = float(len(list(names)))
    return Breach(rule, sentence, count, "names", count, change)


def hardware_breaches(vm: Vm, place: Place) -> Iterator[Breach]:
    """What the hypervisor is and has, apart from what is free of it."""
    name, at = vm.name, place.hypervisor
    if not place.offered:
        yield Breach("offered", f"{at} is not among the hypervisors that VMs may go to", change=f"offer {at} as well")
        return
    if place.fault:
        yield Breach("unreachable", f"{at} cannot be judged: {place.fault}", change=f"make {at} answer, and read its facts")
        return
    if vm.cpu_model not in ("baseline", "") and place.models and vm.cpu_model not in place.models:
        sentence = f"{at} cannot run the CPU model {vm.cpu_model} of VM {name}"
        yield Breach("cpu_model", sentence, change=f"give VM {name} a CPU model that {at} can run, such as {_plainest(place)}")
    lacking = sorted(set(vm.rules.cpu_features) - (place.features or frozenset()))
    if lacking:
        sentence = f"a guest at {at} cannot have the CPU features {', '.join(lacking)}, which VM {name} needs"
        change = f"take {', '.join(lacking)} out of placement.cpu_features of VM {name}"
        yield _missing("cpu_features", sentence, lacking, change)
    if vm.cpus > place.most_cpus:
        over = vm.cpus - place.most_cpus
        sentence = f"a VM at {at} can have {place.most_cpus} vCPUs at the most, and VM {name} has {vm.cpus}"
        yield Breach("cpus", sentence, over, "vcpus", over / vm.cpus, f"give VM {name} {over} vCPUs less")
    if vm.machine and vm.machine not in place.machine_types:
        sentence = f"{at} has no machine type {vm.machine}, which VM {name} has"
        yield Breach("machine", sentence, change=f"give VM {name} a machine type that {at} has, or a newer QEMU to {at}")
    if vm.firmware == "uefi" and not place.uefi:
        yield Breach("firmware", f"{at} has no UEFI firmware, which VM {name} boots by", change=f"install UEFI firmware at {at}")
    yield from _inactive(vm, place)


def _plainest(place: Place) -> str:
    return "Nehalem" if "Nehalem" in place.models else min(place.models)


def _inactive(vm: Vm, place: Place) -> Iterator[Breach]:
    """Logical names that the site maps, behind which this hypervisor has nothing that works."""
    for kind, wanted, works, mapped in (
        ("storage", {disk.storage for disk in vm.disks}, dict(place.storage).keys(), place.site.storage),
        ("network", {nic.network for nic in vm.nics}, place.networks, place.site.networks),
    ):
        missing = sorted(name for name in wanted if name in mapped and name not in works)
        if missing:
            names = ", ".join(missing)
            sentence = f"{place.hypervisor} has no active {kind} {names}, which VM {vm.name} uses"
            yield _missing(kind, sentence, missing, f"make the {kind} {names} work at {place.hypervisor}")


def trip_breaches(vm: Vm, place: Place, reaches: Reaches) -> Iterator[Breach]:
    """Round trips to sites and points; those to other VMs depend on where these are."""
    for trip in vm.rules.round_trips:
        if trip.max_ms is None or trip.vm:
            continue
        reach = reaches.to_trip(place, trip)
        breach = too_far(vm.name, place.hypervisor, trip.to, trip.max_ms, None if reach is None else (reach.ms, str(reach)))
        if breach is not None:
            yield breach


def too_far(name: str, at: str, to: str, most: float, reach: tuple[float, str] | None) -> Breach | None:
    """The breach of a round trip; ``reach``: milliseconds, and how they are told; None where nothing is known."""
    if reach is None:
        sentence = (
            f"the round trip from {at} to {to} is neither measured nor bounded by coordinates, and VM {name} needs {most:g} ms"
        )
        return Breach("round_trip", sentence, change=f"measure the round trip from {at} to {to}")
    if reach[0] <= most:
        return None
    over = reach[0] - most
    sentence = f"it is {reach[1]} from {at} to {to}, and VM {name} allows {most:g} ms"
    return Breach("round_trip", sentence, over, "ms", over / most, f"allow VM {name} {math.ceil(reach[0] * 10) / 10:g} ms to {to}")


def cpus_breach(vm: Vm, place: Place, free: float) -> Breach:
    """vCPUs that are missing at a place."""
    over = vm.cpus - free
    sentence = f"{place.hypervisor} has {_number(free)} vCPUs left of {_number(place.cpus)}, and VM {vm.name} needs {vm.cpus}"
    change = f"free {_number(over)} vCPUs at {place.hypervisor}, or raise cpu_overcommit of site {place.site.name}"
    return Breach("cpus", sentence, over, "vcpus", over / vm.cpus, change)


def memory_breach(vm: Vm, place: Place, free: int) -> Breach:
    """Bytes of memory that are missing at a place."""
    over = vm.memory - free
    left = show_size(max(free, 0))
    sentence = (
        f"{place.hypervisor} has {left} of memory left of {show_size(place.memory)}, and VM {vm.name} needs {show_size(vm.memory)}"
    )
    change = f"free {_whole_mib(over)} of memory at {place.hypervisor}, or give VM {vm.name} that much less"
    return Breach("memory", sentence, over, "bytes", over / vm.memory, change)


def disk_breach(vm: Vm, place: Place, pool: str, free: int, need: int) -> Breach:
    """Bytes that are missing in a pool."""
    over = need - free
    sentence = f"the pool {pool} of {place.hypervisor} has {show_size(max(free, 0))} left, and the disks of VM {vm.name} need {show_size(need)}"
    return Breach(
        "disk_space", sentence, over, "bytes", over / need, f"free {_whole_mib(over)} in the pool {pool} of {place.hypervisor}"
    )


def _whole_mib(size: int) -> str:
    """Enough of it, when a person frees what it says."""
    return f"{-(-size // 2**20)} MiB"


def _number(value: float) -> str:
    return f"{value:g}"
