# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is where, what is left of every place, and what one more VM would cost there. Pure; changed only by put and take."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ..rules import Device
from .needs import Circle, Need
from .places import Offered, Place
from .reach import Reach, Reaches
from .wishes import Wishes

NOWHERE = -1
Counts = dict[Circle, dict[object, int]]


def _counts() -> Counts:
    return defaultdict(lambda: defaultdict(int))


class Occupancy:
    """``place_of``: the number of each VM's place, or NOWHERE. What VMs that run already hold is in the places' facts.

    ``held_back``: the part of each place that is not given away, from 0 to 1.
    """

    def __init__(
        self, places: Sequence[Place], needs: Sequence[Need], reaches: Reaches, wishes: Wishes, held_back: float = 0.0
    ) -> None:
        self.places, self.needs, self.reaches, self.wishes = places, needs, reaches, wishes
        self.place_of = [NOWHERE] * len(needs)
        self.at: list[set[int]] = [set() for _place in places]
        providers = sorted({place.site.provider for place in places})
        self.provider = [providers.index(place.site.provider) for place in places]
        # What a place is at each level of rules.LEVELS.
        self.keys: list[tuple[object, ...]] = [(n, place.site.name, place.site.provider) for n, place in enumerate(places)]
        # Whole numbers, so that nothing is lost by putting and taking.
        self.cpus = [math.floor(place.cpus_free - held_back * place.cpus) for place in places]
        self.memory = [place.memory_free - int(held_back * place.memory) for place in places]
        self.pools = [dict(place.pools) for place in places]
        self._storage = [dict(place.storage) for place in places]
        # Half of the part of a place that one vCPU, or one byte, is: used is the mean of both parts.
        self.cpu_part = [0.5 / place.cpus if place.cpus else 0.0 for place in places]
        self.memory_part = [0.5 / place.memory if place.memory else 0.0 for place in places]
        self.used = [
            (place.cpus - place.cpus_free) * self.cpu_part[n] + (place.memory - place.memory_free) * self.memory_part[n]
            for n, place in enumerate(places)
        ]
        self.spread = [0.0] * len(places)
        self.diversity = [0.0] * len(providers)
        self.vms_of = [0] * len(providers)
        self.total = max(1, len(needs))
        self.members, self.apart, self.together = _counts(), _counts(), _counts()
        self.members_in: dict[Circle, int] = defaultdict(int)
        self.together_in: dict[Circle, int] = defaultdict(int)
        self.pending: dict[str, int] = defaultdict(int)
        for need in needs:
            for group in {group for _level, group in need.circles}:
                self.pending[group] += 1
        self._reach: dict[tuple[int, int], Reach | None] = {}
        self._between: dict[tuple[str, int, int], float] = {}

    def put(self, need: Need, at: int, *, counted: bool = False) -> None:
        """:param counted: what it holds is in the facts of the place already"""
        self._move(need, at, 1, 0 if counted else 1)
        self.place_of[need.number] = at
        self.at[at].add(need.number)

    def take(self, need: Need, *, counted: bool = False) -> int:
        """The place that it was at."""
        at = self.place_of[need.number]
        self.at[at].discard(need.number)
        self.place_of[need.number] = NOWHERE
        self._move(need, at, -1, 0 if counted else -1)
        return at

    def credit(self, need: Need) -> None:
        """Give back what a running VM holds at its home according to the facts, so that it can be put anywhere."""
        self._hold(need, need.home, -1)

    def _move(self, need: Need, at: int, step: int, hold: int) -> None:
        provider = self.provider[at]
        if hold:
            self._hold(need, at, hold)
            self._hold_disks(need, at, hold)
        if not need.fixed:
            # Only what is being placed has wishes.
            self.spread[at] += step * need.spread
            self.diversity[provider] += step * need.diversity
        self.vms_of[provider] += step
        if not need.social:
            return
        keys = self.keys[at]
        for circle in need.circles:
            self.members[circle][keys[circle[0]]] += step
            self.members_in[circle] += step
        for circle in need.apart:
            self.apart[circle][keys[circle[0]]] += step
        for circle in need.together:
            self.together[circle][keys[circle[0]]] += step
            self.together_in[circle] += step
        for group in {group for _level, group in need.circles}:
            self.pending[group] -= step

    def _hold(self, need: Need, at: int, step: int) -> None:
        vm = need.vm
        self.cpus[at] -= step * vm.cpus
        self.memory[at] -= step * vm.memory
        self.used[at] += step * (vm.cpus * self.cpu_part[at] + vm.memory * self.memory_part[at])

    def _hold_disks(self, need: Need, at: int, step: int) -> None:
        if at != need.home:
            for storage, size in need.storage:
                pool = self._storage[at].get(storage)
                if pool is not None:
                    self.pools[at][pool] -= step * size

    # What fits

    def fits(self, need: Need, at: int, *, hopeful: bool = True) -> bool:
        """Whether no hard rule is broken; ``at`` is one of its allowed places.

        :param hopeful: an affinity may be kept by a VM that has no place yet
        """
        vm = need.vm
        if self.cpus[at] < vm.cpus or self.memory[at] < vm.memory:
            return False
        if need.storage and any(True for _short in self.short_pools(need, at)):
            return False
        if need.devices and not self.has_devices(need, at):
            return False
        return not need.social or not any(True for _broken in self.broken(need, at, hopeful=hopeful))

    def short_pools(self, need: Need, at: int) -> Iterator[tuple[str, int, int]]:
        """(pool, free, needed) of each pool that is too small for its disks; where it is at home they are there already."""
        if at == need.home:
            return
        wanted: dict[str, int] = {}
        for storage, size in need.storage:
            pool = self._storage[at].get(storage, "")
            wanted[pool] = wanted.get(pool, 0) + size
        for pool, size in wanted.items():
            if pool in self.pools[at] and self.pools[at][pool] < size:
                yield pool, self.pools[at][pool], size

    def has_devices(self, need: Need, at: int) -> bool:
        """Whether the free devices are enough for it and for those that were put here; where it is at home it has its own."""
        if at == need.home:
            return True
        others = [self.needs[number].devices for number in sorted(self.at[at]) if self.needs[number].home != at]
        return matches(self.places[at].devices, [*need.devices, *(device for devices in others for device in devices)])

    def broken(self, need: Need, at: int, *, hopeful: bool) -> Iterator[tuple[str, object]]:
        """(rule, circle or (partner, most ms)) for each rule about other VMs that is broken here, theirs included."""
        keys = self.keys[at]
        for circle in need.apart:
            if self.members[circle][keys[circle[0]]]:
                yield "anti_affinity", circle
        for circle in need.circles:
            if self.apart[circle][keys[circle[0]]] and circle not in need.apart:
                yield "anti_affinity", circle
            if self.together_in[circle] != self.together[circle][keys[circle[0]]] and circle not in need.together:
                yield "keep_together", circle
        for circle in need.together:
            if self.members[circle][keys[circle[0]]] != self.members_in[circle]:
                yield "keep_together", circle
        yield from self._far(need, at, hopeful=hopeful)

    def _far(self, need: Need, at: int, *, hopeful: bool) -> Iterator[tuple[str, object]]:
        """Of broken, what asks for company."""
        keys = self.keys[at]
        for circle in need.near:
            if not self.members[circle][keys[circle[0]]]:
                own = 1 if circle in need.circles else 0
                if not hopeful or self.pending[circle[1]] - own <= 0:
                    yield "affinity", circle
        for other, most in need.partners:
            there = self.place_of[other]
            if there != NOWHERE:
                reach = self.reach(at, there)
                if reach is None or reach.ms > most:
                    yield "round_trip", (other, most)

    def lonely(self) -> set[int]:
        """The VMs whose affinity nobody keeps."""
        return {
            need.number
            for need in self.needs
            if need.near and self.place_of[need.number] != NOWHERE and any(not self._kept(need, circle) for circle in need.near)
        }

    def _kept(self, need: Need, circle: Circle) -> bool:
        key = self.keys[self.place_of[need.number]][circle[0]]
        own = 1 if circle in need.circles else 0
        return self.members[circle][key] > own

    def reach(self, one: int, other: int) -> Reach | None:
        """Between two places."""
        if (one, other) not in self._reach:
            self._reach[one, other] = self.reaches.to_place(self.places[one], self.places[other])
        return self._reach[one, other]

    # What it costs

    def ranked(self, need: Need) -> list[tuple[float, int]]:
        """(what all VMs together would lose, place) of the allowed places with CPUs and memory for it, the best first."""
        offers = self.offers(need, need.allowed)
        offers.sort()
        return offers

    def offers(self, need: Need, among: Sequence[int]) -> list[tuple[float, int]]:
        """As ranked, unsorted."""
        vm, cost, spread, wish = need.vm, need.cost, need.spread, need.diversity / self.total
        cpus, memory, cpu_part, memory_part = vm.cpus, vm.memory, self.cpu_part, self.memory_part
        free_cpus, free_memory, used, others = self.cpus, self.memory, self.used, self.spread
        offers = [
            (cost[at] + spread * used[at] + (spread + others[at]) * (cpus * cpu_part[at] + memory * memory_part[at]), at)
            for at in among
            if free_cpus[at] >= cpus and free_memory[at] >= memory
        ]
        if need.diversity or any(self.diversity):
            more = [wish * (count + 1) + weight / self.total for count, weight in zip(self.vms_of, self.diversity)]
            offers = [(offer + more[self.provider[at]], at) for offer, at in offers]
        if need.pulls:
            offers = [(offer + self._pulled(need, at), at) for offer, at in offers]
        return offers

    def _pulled(self, need: Need, at: int) -> float:
        total = 0.0
        for key, other, weight in need.pulls:
            there = self.place_of[other]
            if there != NOWHERE:
                total += weight * self.between(key, at, there)
        return total

    def between(self, key: str, one: int, other: int) -> float:
        if (key, one, other) not in self._between:
            self._between[key, one, other] = self.wishes.between(key, self.places[one], self.places[other])
        return self._between[key, one, other]


def matches(offered: Sequence[Offered], asked: Sequence[Device]) -> bool:
    """Whether each device that is asked for can be given one of its own: a bipartite matching, by augmenting paths."""
    units = [one for one in offered for _each in range(one.free)]
    wanted = [device for device in asked for _each in range(device.count)]
    given_to: dict[int, int] = {}

    def give(number: int, tried: set[int]) -> bool:
        for unit, have in enumerate(units):
            if unit not in tried and is_such(have, wanted[number]):
                tried.add(unit)
                if unit not in given_to or give(given_to[unit], tried):
                    given_to[unit] = number
                    return True
        return False

    return all(give(number, set()) for number in range(len(wanted)))


def is_such(have: Offered, asked: Device) -> bool:
    """Whether a device is one that was asked for: of the kind, by part of its name or by PCI ID."""
    return have.kind == asked.kind and all(
        not name or name.casefold() in have.name.casefold() or name.casefold().removeprefix("0x") == pci_id.casefold()
        for name, pci_id in zip((asked.vendor, asked.product), have.ids)
    )
