# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a placement came to: for each VM its place, the others in order, and why not the rest. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ..portable import Portable
from ..rules import LEVELS, WEIGHTS, RoundTrip
from .hard import Breach, cpus_breach, disk_breach, hardware_breaches, memory_breach, site_breaches, too_far, trip_breaches
from .needs import Need
from .occupancy import NOWHERE, Occupancy
from .reach import Reach
from .wishes import Wishes, shares

_MOST_TOLD = 20  # reasons in one sentence


@dataclass(frozen=True)
class Ranked(Portable):
    """A place where the VM may go. ``score`` from 0 to 1 is the sum of ``parts``, by wish; ``chosen``: it goes there."""

    hypervisor: str
    site: str
    score: float
    parts: dict[str, float]
    chosen: bool = False
    unmeasured: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exclusion(Portable):
    """A rule that excludes hypervisors of a site, in a sentence for the one that is least out; ``excess`` in ``unit``."""

    site: str
    hypervisors: tuple[str, ...]
    rule: str
    sentence: str
    excess: float
    unit: str


@dataclass(frozen=True)
class Change(Portable):
    """The least that would make a VM fit, and where."""

    vm: str
    hypervisor: str
    changes: tuple[str, ...]


class Judge:
    """Tells of one VM, with all others where they are."""

    def __init__(self, world: Occupancy, wishes: Wishes, today: date) -> None:
        self._world = world
        self._wishes = wishes
        self._today = today

    def ranking(self, need: Need, most: int = 0) -> list[Ranked]:
        """The places where it may go, its own first, then by score.

        :param most: no more than so many; 0 for all
        """
        world = self._world
        mine = world.place_of[need.number]
        if mine != NOWHERE:
            world.take(need)
        ranked = []
        if mine != NOWHERE:
            ranked.append(self._ranked(need, mine, chosen=True))
        for _cost, at in world.ranked(need):
            if most and len(ranked) >= most:
                break
            if at != mine and world.fits(need, at, hopeful=False):
                ranked.append(self._ranked(need, at, chosen=False))
        if mine != NOWHERE:
            world.put(need, mine)
        return [
            *ranked[: mine != NOWHERE],
            *sorted(ranked[mine != NOWHERE :], key=lambda one: (-one.score, one.site, one.hypervisor)),
        ]

    def score(self, need: Need) -> float:
        """Of the place that it has."""
        at = self._world.take(need)
        found = sum(self._parts(need, at).values())
        self._world.put(need, at)
        return found

    def _ranked(self, need: Need, at: int, *, chosen: bool) -> Ranked:
        place = self._world.places[at]
        parts = self._parts(need, at)
        rounded = {key: round(part, 4) for key, part in parts.items()}
        return Ranked(place.hypervisor, place.site.name, round(sum(parts.values()), 4), rounded, chosen, self._unmeasured(need, at))

    def _parts(self, need: Need, at: int) -> dict[str, float]:
        weights = shares(need.vm)
        return {key: weights[key] * (1.0 - self._cost(need, at, key)) for key in WEIGHTS if key in weights}

    def _cost(self, need: Need, at: int, key: str) -> float:
        world = self._world
        vm = need.vm
        if key in ("spread", "pack"):
            used = world.used[at] + vm.cpus * world.cpu_part[at] + vm.memory * world.memory_part[at]
            return used if key == "spread" else 1.0 - used
        if key == "provider_diversity":
            return (world.vms_of[world.provider[at]] + 1) / world.total
        cost = self._wishes.costs(key, vm)[at]
        for trip in vm.rules.round_trips:
            if trip.vm and key in ("round_trip", "distance"):
                there = self._place_of(trip.vm)
                cost += 0.0 if there == NOWHERE else world.between(key, at, there) / len(vm.rules.round_trips)
        return cost

    def _place_of(self, name: str) -> int:
        return next((self._world.place_of[need.number] for need in self._world.needs if need.name == name), NOWHERE)

    def _unmeasured(self, need: Need, at: int) -> tuple[str, ...]:
        """Limits that only the distance speaks for."""
        told = []
        for trip in need.vm.rules.round_trips:
            reach = None if trip.max_ms is None else self._reach(at, trip)
            if reach is not None and not reach.measured and reach.ms > 0:
                told.append(f"the round trip to {trip.to} is not measured; it is {reach}")
        return tuple(told)

    def _reach(self, at: int, trip: RoundTrip) -> Reach | None:
        if not trip.vm:
            return self._world.reaches.to_trip(self._world.places[at], trip)
        there = self._place_of(trip.vm)
        return None if there == NOWHERE else self._world.reach(at, there)

    def breaches(self, need: Need, at: int) -> list[Breach]:
        """Every hard rule that the place breaks, with the VM taken from where it is."""
        world, vm, place = self._world, need.vm, self._world.places[at]
        mine = world.place_of[need.number]
        if mine != NOWHERE:
            world.take(need, counted=need.fixed)
        found = [
            *_stays(need, at, place.hypervisor),
            *site_breaches(vm, place.site, self._today),
            *hardware_breaches(vm, place),
            *trip_breaches(vm, place, world.reaches),
        ]
        if place.offered and not place.fault:
            if world.cpus[at] < vm.cpus:
                found.append(cpus_breach(vm, place, world.cpus[at]))
            if world.memory[at] < vm.memory:
                found.append(memory_breach(vm, place, world.memory[at]))
            found += [disk_breach(vm, place, pool, free, size) for pool, free, size in world.short_pools(need, at)]
            if need.devices and not world.has_devices(need, at):
                found.append(_devices_breach(need, place.hypervisor))
            found += self._company(need, at)
        if mine != NOWHERE:
            world.put(need, mine, counted=need.fixed)
        return found

    def _company(self, need: Need, at: int) -> Iterator[Breach]:
        world, place = self._world, self._world.places[at]
        for rule, about in world.broken(need, at, hopeful=False):
            if rule == "round_trip":
                other, most = _partner(about)
                reach = world.reach(at, world.place_of[other])
                told = None if reach is None else (reach.ms, str(reach))
                breach = too_far(need.name, place.hypervisor, f"VM {world.needs[other].name}", most, told)
                if breach is not None:
                    yield breach
            else:
                yield self._circle_breach(need, at, rule, about)

    def _circle_breach(self, need: Need, at: int, rule: str, circle: Any) -> Breach:
        world = self._world
        level, group = circle
        key = world.keys[at][level]
        there = f"{LEVELS[level]} {world.places[at].hypervisor if level == 0 else key}"
        members = [one.name for one in world.needs if circle in one.circles and self._at(one) != NOWHERE]
        here = [
            one.name
            for one in world.needs
            if circle in one.circles and self._at(one) != NOWHERE and world.keys[self._at(one)][level] == key
        ]
        drop = f"take the group {group} out of placement.{rule}"
        if rule == "anti_affinity":
            sentence = f"{', '.join(here)} of the group {group} is at {there}, and VM {need.name} is to be apart from it"
            return Breach(
                rule, sentence, float(len(here)), "vms", float(len(here)), f"move {', '.join(here)} away from {there}, or {drop}"
            )
        if rule == "affinity":
            sentence = f"no VM of the group {group} is at {there}, where VM {need.name} needs one"
            return Breach(
                rule, sentence, 1.0, "vms", 1.0, f"place a VM of the group {group} at {there}, or {drop} of VM {need.name}"
            )
        away = sorted(set(members) - set(here))
        sentence = f"{', '.join(away)} of the group {group} is not at {there}, and VM {need.name} is to be kept together with it"
        return Breach(rule, sentence, float(len(away)), "vms", float(len(away)), f"move {', '.join(away)} to {there}, or {drop}")

    def _at(self, need: Need) -> int:
        return self._world.place_of[need.number]

    def exclusions(self, need: Need) -> list[Exclusion]:
        """By site and rule, for all places that it may not have; where the whole site is excluded, by what excludes the site."""
        found: dict[tuple[str, str], list[tuple[float, str, Breach]]] = {}
        allowed = set(need.allowed)
        mine = self._world.place_of[need.number]
        of_site: dict[str, list[Breach]] = {}
        for at, place in enumerate(self._world.places):
            site = place.site.name
            if at == mine or (at in allowed and self._may(need, at)):
                continue
            if site not in of_site:
                of_site[site] = list(site_breaches(need.vm, place.site, self._today))
            for breach in of_site[site] or self.breaches(need, at):
                found.setdefault((site, breach.rule), []).append((breach.share, place.hypervisor, breach))
        return [_exclusion(site, rule, entries) for (site, rule), entries in sorted(found.items())]

    def _may(self, need: Need, at: int) -> bool:
        mine = self._world.place_of[need.number]
        if mine == NOWHERE:
            return self._world.fits(need, at, hopeful=False)
        self._world.take(need)
        fits = self._world.fits(need, at, hopeful=False)
        self._world.put(need, mine)
        return fits

    def least_change(self, need: Need) -> Change | None:
        """At the place that breaks the fewest rules, and these by the least."""
        options = [(self.breaches(need, at), place) for at, place in enumerate(self._world.places)]
        if not options:
            return None
        breaches, place = min(options, key=lambda one: (len(one[0]), sum(breach.share for breach in one[0]), one[1].hypervisor))
        return Change(need.name, place.hypervisor, tuple(breach.change for breach in breaches))


def _stays(need: Need, at: int, hypervisor: str) -> list[Breach]:
    if not need.leaves or at != need.home:
        return []
    return [Breach("leave", f"VM {need.name} is to leave {hypervisor}", change=f"let VM {need.name} stay at {hypervisor}")]


def _exclusion(site: str, rule: str, entries: Sequence[tuple[float, str, Breach]]) -> Exclusion:
    least = min(entries, key=lambda entry: entry[:2])[2]
    hypervisors = tuple(sorted({hypervisor for _share, hypervisor, _breach in entries}))
    return Exclusion(site, hypervisors, rule, least.sentence, round(least.excess, 3), least.unit)


def _partner(about: Any) -> tuple[int, float]:
    number, most = about
    return number, most


def _devices_breach(need: Need, hypervisor: str) -> Breach:
    wanted = ", ".join(
        f"{device.count} {' '.join(filter(None, (device.vendor, device.product, device.kind)))}" for device in need.devices
    )
    count = float(sum(device.count for device in need.devices))
    sentence = f"{hypervisor} has not enough free devices for VM {need.name}, which needs {wanted}"
    return Breach("device", sentence, count, "devices", 1.0, f"free or add {wanted} at {hypervisor}")


def sentence_of_failure(missing: Sequence[Need], exclusions: dict[str, list[Exclusion]]) -> str:
    """One sentence for the first VM without a place; the rest is in the data."""
    first = missing[0]
    told = [one.sentence for one in exclusions[first.name]]
    reasons = "; ".join(told[:_MOST_TOLD]) or "there is no hypervisor"
    further = f"; and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    more = f" (nor for {len(missing) - 1} more)" if len(missing) > 1 else ""
    return f"there is no place for VM {first.name}{more}: {reasons}{further}"
