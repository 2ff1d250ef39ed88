# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each VM needs, compiled once against all places so that the search only counts. Pure.

VMs that are there already are compiled as well: their rules hold too, and with a spare asked for they must find other places.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from ..model import Vm
from ..rules import LEVELS, Device, GroupRule
from .hard import hardware_breaches, site_breaches, trip_breaches
from .places import Place, Present
from .reach import Reaches
from .wishes import Wishes, shares

# A level (by its number in LEVELS) and a group's label.
Circle = tuple[int, str]


@dataclass
class Need:
    """One VM. ``allowed``: numbers of the places that its rules and the hardware allow; ``cost``: of each place by itself.

    ``home``: where it is now, or -1; ``fixed``: it stays there; ``leaves``: it does not. ``spread`` is the weight of spread less that of pack.
    ``partners``: VMs to which the round trip is limited, either way. ``pulls``: VMs to which it is wished short (key, VM, weight).
    """

    vm: Vm
    number: int
    allowed: list[int] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    home: int = -1
    fixed: bool = False
    leaves: bool = False
    running: bool = True
    storage: tuple[tuple[str, int], ...] = ()
    devices: tuple[Device, ...] = ()
    spread: float = 0.0
    diversity: float = 0.0
    apart: tuple[Circle, ...] = ()
    near: tuple[Circle, ...] = ()
    together: tuple[Circle, ...] = ()
    circles: tuple[Circle, ...] = ()
    partners: list[tuple[int, float]] = field(default_factory=list)
    pulls: list[tuple[str, int, float]] = field(default_factory=list)
    social: bool = False

    @property
    def name(self) -> str:
        return self.vm.name


class Compiler:
    """All needs; the VMs that are to be placed come first, by name."""

    def __init__(self, places: Sequence[Place], reaches: Reaches, today: date) -> None:
        self.places = places
        self.reaches = reaches
        self.today = today
        self.wishes = Wishes(places, reaches)
        self._number = {place.hypervisor: number for number, place in enumerate(places)}
        self._allowed: dict[Hashable, frozenset[int]] = {}
        self._lists: dict[Hashable, list[int]] = {}
        self._costs: dict[Hashable, list[float]] = {}

    def compile(self, vms: Sequence[Vm], present: Sequence[Present], leave: Collection[str] = ()) -> list[Need]:
        """
        :param present: also those of ``vms`` that are there already, which stay where they may
        :param leave: names of those that must not
        """
        homes = {one.vm.name: one for one in present}
        needs = [self._need(vm, number) for number, vm in enumerate(sorted(vms, key=lambda vm: vm.name))]
        for need in needs:
            if need.name in homes:
                need.home = self._number[homes[need.name].hypervisor]
                need.running = homes[need.name].running
                need.leaves = need.name in leave
                if need.leaves:
                    need.allowed = [at for at in need.allowed if at != need.home]
        wanted = {need.name for need in needs}
        for one in present:
            if one.vm.name not in wanted:
                need = self._need(one.vm, len(needs))
                need.home, need.fixed, need.running = self._number[one.hypervisor], True, one.running
                needs.append(need)
        self._tie(needs)
        return needs

    def _need(self, vm: Vm, number: int) -> Need:
        rules = vm.rules
        by_storage: dict[str, int] = {}
        for disk in vm.disks:
            by_storage[disk.storage] = by_storage.get(disk.storage, 0) + disk.size
        weights = shares(vm)
        return Need(
            vm=vm,
            number=number,
            allowed=self._places_for(vm),
            cost=self._cost(vm, weights),
            storage=tuple(sorted(by_storage.items())),
            devices=tuple(sorted(rules.devices, key=lambda device: (device.kind, device.vendor, device.product))),
            spread=weights.get("spread", 0.0) - weights.get("pack", 0.0),
            diversity=weights.get("provider_diversity", 0.0),
            apart=_circles(rules.anti_affinity),
            near=_circles(rules.affinity),
            together=_circles(rules.keep_together),
        )

    def _places_for(self, vm: Vm) -> list[int]:
        rules = vm.rules
        storage = tuple(sorted({disk.storage for disk in vm.disks}))
        networks = tuple(sorted({nic.network for nic in vm.nics}))
        country = (vm.allowed_countries, rules.forbidden_countries, rules.allowed_providers, rules.forbidden_providers)
        by_site = (*country, rules.certifications, storage, networks, rules.unreadable)
        by_hardware = (vm.cpu_model, rules.cpu_features, vm.cpus, vm.machine, vm.firmware, storage, networks)
        trips = tuple(trip for trip in rules.round_trips if trip.max_ms is not None and not trip.vm)
        key = (by_site, by_hardware, trips)
        if key not in self._lists:
            passed = self._passed_sites(by_site, vm) & self._passed_hardware(by_hardware, vm)
            if trips:
                passed &= self._passed_trips(trips, vm)
            self._lists[key] = sorted(passed)
        return self._lists[key]

    def _passed_sites(self, key: Hashable, vm: Vm) -> frozenset[int]:
        if ("site", key) not in self._allowed:
            sites = {place.site.name: place.site for place in self.places}
            passed = {name for name, site in sites.items() if not any(site_breaches(vm, site, self.today))}
            self._allowed["site", key] = frozenset(n for n, place in enumerate(self.places) if place.site.name in passed)
        return self._allowed["site", key]

    def _passed_hardware(self, key: Hashable, vm: Vm) -> frozenset[int]:
        if ("hardware", key) not in self._allowed:
            passed = (n for n, place in enumerate(self.places) if not any(hardware_breaches(vm, place)))
            self._allowed["hardware", key] = frozenset(passed)
        return self._allowed["hardware", key]

    def _passed_trips(self, key: Hashable, vm: Vm) -> frozenset[int]:
        if ("trips", key) not in self._allowed:
            passed = (n for n, place in enumerate(self.places) if not any(trip_breaches(vm, place, self.reaches)))
            self._allowed["trips", key] = frozenset(passed)
        return self._allowed["trips", key]

    def _cost(self, vm: Vm, weights: dict[str, float]) -> list[float]:
        alone = tuple((key, weight) for key, weight in weights.items() if key in ("price", "energy", "round_trip", "distance"))
        key = (alone, vm.cpus, vm.memory, vm.rules.round_trips) if alone else ()
        if key not in self._costs:
            total = [0.0] * len(self.places)
            for wish, weight in alone:
                total = [sofar + weight * cost for sofar, cost in zip(total, self.wishes.costs(wish, vm))]
            self._costs[key] = total
        return self._costs[key]

    def _tie(self, needs: Sequence[Need]) -> None:
        """Circles at all levels that any rule names, and partners both ways."""
        levels: dict[str, set[int]] = {}
        for need in needs:
            for level, group in (*need.apart, *need.near, *need.together):
                levels.setdefault(group, set()).add(level)
        numbers = {need.name: need.number for need in reversed(needs)}
        for need in needs:
            labels = need.vm.rules.labels if need.vm.placement else ()
            need.circles = tuple((level, group) for group in labels for level in sorted(levels.get(group, ())))
            weights = shares(need.vm)
            trips = need.vm.rules.round_trips if need.vm.placement else ()
            for trip in trips:
                if trip.vm and trip.vm in numbers:
                    other = needs[numbers[trip.vm]]
                    if trip.max_ms is not None:
                        need.partners.append((other.number, trip.max_ms))
                        other.partners.append((need.number, trip.max_ms))
                    for key in ("round_trip", "distance"):
                        if weights.get(key):
                            need.pulls.append((key, other.number, weights[key] / len(trips)))
                            other.pulls.append((key, need.number, weights[key] / len(trips)))
        for need in needs:
            need.social = bool(need.apart or need.near or need.together or need.circles or need.partners)


def _circles(rules: Iterable[GroupRule]) -> tuple[Circle, ...]:
    return tuple(sorted((LEVELS.index(rule.level), rule.group) for rule in rules))
