# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The soft rules. Each costs a VM from 0 (as good as it gets) to 1; a score is the weighted part that is not lost. Pure.

Prices, energy, round trips and distances are relative to the worst of all places that were offered; what is not told is
as bad as the worst.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..model import Vm
from ..rules import RoundTrip
from .places import Place
from .reach import Reaches

_DEFAULT = {"spread": 1.0}
_GIB = 2**30


def shares(vm: Vm) -> dict[str, float]:
    """The weights of a VM, made to add up to 1; empty where all are 0."""
    weights = {key: weight for key, weight in sorted((vm.rules.weights or _DEFAULT).items()) if weight > 0}
    total = sum(weights.values())
    return {key: weight / total for key, weight in weights.items()}


@dataclass(frozen=True)
class Scales:
    """The worst round trip (ms) and distance (km) between sites, to which those between VMs are relative."""

    ms: float
    km: float


class Wishes:
    """What the places cost by themselves, computed once for all VMs that wish the same."""

    def __init__(self, places: Sequence[Place], reaches: Reaches) -> None:
        self._places = places
        self._reaches = reaches
        self._found: dict[object, list[float]] = {}
        firsts = list({place.site.name: place for place in places}.values())
        pairs = [(one, other) for one in firsts for other in firsts]
        times = [reach.ms for one, other in pairs if (reach := reaches.to_place(one, other)) is not None]
        lengths = [km for one, other in pairs if (km := reaches.km_between(one.site.name, other.site.name)) is not None]
        self.scales = Scales(max(times, default=0.0), max(lengths, default=0.0))

    def costs(self, key: str, vm: Vm) -> list[float]:
        """Of one wish at every place; for those that do not depend on what else runs there."""
        if key == "price":
            return self._once((key, vm.cpus, vm.memory), lambda place: _price(place, vm))
        if key == "energy":
            return self._once(key, lambda place: place.site.energy)
        total = [0.0] * len(self._places)
        trips = vm.rules.round_trips
        for trip in trips:
            if not trip.vm:
                for index, cost in enumerate(self._trip(key, trip)):
                    total[index] += cost / len(trips)
        return total

    def _trip(self, key: str, trip: RoundTrip) -> list[float]:
        known = (trip.site, trip.point, trip.latitude, trip.longitude)
        if key == "distance":
            return self._once((key, known), lambda place: self._reaches.km_to_trip(place, trip))
        return self._once((key, known), lambda place: self._ms(place, trip))

    def _ms(self, place: Place, trip: RoundTrip) -> float | None:
        reach = self._reaches.to_trip(place, trip)
        return None if reach is None else reach.ms

    def _once(self, key: object, amount: Callable[[Place], float | None]) -> list[float]:
        if key not in self._found:
            amounts = [amount(place) for place in self._places]
            worst = max((one for one in amounts if one is not None), default=0.0)
            self._found[key] = [relative(one, worst) for one in amounts]
        return self._found[key]

    def between(self, key: str, place: Place, other: Place) -> float:
        """The cost of a round trip or distance to another VM's place."""
        if key == "distance":
            return relative(self._reaches.km_between(place.site.name, other.site.name), self.scales.km)
        reach = self._reaches.to_place(place, other)
        return relative(None if reach is None else reach.ms, self.scales.ms)


def relative(amount: float | None, worst: float) -> float:
    if amount is None:
        return 1.0
    return min(1.0, amount / worst) if worst > 0 else 0.0


def _price(place: Place, vm: Vm) -> float | None:
    site = place.site
    if site.cpu_price is None and site.memory_price is None:
        return None
    return vm.cpus * (site.cpu_price or 0.0) + vm.memory / _GIB * (site.memory_price or 0.0)
