# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far it is from a place to somewhere: the measured round trip, or what the distance says it is at least."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..fields import Fields
from ..latency import KM_PER_MS, great_circle_km
from ..model import Site
from ..rules import RoundTrip
from .places import Place

_MAX_MS = 1e7


@dataclass(frozen=True)
class Reach:
    """``ms`` there and back: the measured median, or a lower bound."""

    ms: float
    measured: bool

    def __str__(self) -> str:
        return f"{self.ms:.1f} ms" if self.measured else f"at least {self.ms:.1f} ms by the distance"


@dataclass(frozen=True)
class _Entry:
    source: str
    target: str
    median: float
    measured_at: str


def _read_entry(data: Any, where: str) -> _Entry | None:
    fields = Fields(data, where)
    fields.number("min_ms", 0, _MAX_MS)
    samples = fields.get("samples")
    median = fields.number("median_ms", 0, _MAX_MS)
    source, target = fields.text("source", required=True), fields.text("target", required=True)
    at = str(fields.get("measured_at", ""))
    return None if median is None or samples == 0 else _Entry(source, target, median, at)


class Reaches:
    """All measurements, and the coordinates of the sites. A measurement holds in both directions; the newest counts."""

    def __init__(self, sites: Sequence[Site], latencies: Iterable[Any], where: str = "latencies") -> None:
        self._coordinates = {site.name: _coordinates(site.latitude, site.longitude) for site in sites}
        read = [_read_entry(data, f"{where}[{index}]") for index, data in enumerate(latencies)]
        entries = sorted((one for one in read if one is not None), key=lambda one: (one.measured_at, one.median))
        self._medians: dict[tuple[str, str], float] = {}
        for one in entries:
            self._medians[one.source, one.target] = self._medians[one.target, one.source] = one.median
        at = {hypervisor.name: site.name for site in sites for hypervisor in site.hypervisors}
        self._between_sites = _between_sites(self._medians, at)
        self._sites: dict[tuple[str, str], Reach | None] = {}
        self.finer = {name for pair in self._medians for name in pair if name in at}

    def to_trip(self, place: Place, trip: RoundTrip) -> Reach | None:
        """To a site or a point; None where it is neither measured nor has coordinates."""
        if trip.site:
            return self._to(place, "", trip.site)
        measured = self._measured(place, (trip.point,))
        if measured is not None:
            return measured
        return self._bound(place.site.name, _coordinates(trip.latitude, trip.longitude))

    def to_place(self, place: Place, other: Place) -> Reach | None:
        """To a VM at another place."""
        if place.hypervisor == other.hypervisor:
            return Reach(0.0, True)
        return self._to(place, other.hypervisor, other.site.name)

    def _to(self, place: Place, hypervisor: str, site: str) -> Reach | None:
        if not self.finer.isdisjoint((place.hypervisor, hypervisor)):
            measured = self._measured(place, (hypervisor, site))
            if measured is not None:
                return measured
        key = (place.site.name, site)
        if key not in self._sites:
            self._sites[key] = self._site_to_site(*key)
        return self._sites[key]

    def _site_to_site(self, site: str, other: str) -> Reach | None:
        median = self._medians.get((site, other), self._between_sites.get((site, other)))
        if median is not None:
            return Reach(median, True)
        if site == other:
            return Reach(0.0, False)
        return self._bound(site, self._coordinates.get(other))

    def _measured(self, place: Place, ends: tuple[str, ...]) -> Reach | None:
        for source in (place.hypervisor, place.site.name):
            for end in ends:
                if (source, end) in self._medians:
                    return Reach(self._medians[source, end], True)
        return None

    def _bound(self, site: str, there: tuple[float, float] | None) -> Reach | None:
        km = _kilometres(self._coordinates.get(site), there)
        return None if km is None else Reach(km / KM_PER_MS, False)

    def km_to_trip(self, place: Place, trip: RoundTrip) -> float | None:
        """Great circle to a site or a point; None without coordinates."""
        if trip.site:
            return self.km_between(place.site.name, trip.site)
        return _kilometres(self._coordinates.get(place.site.name), _coordinates(trip.latitude, trip.longitude))

    def km_between(self, site: str, other: str) -> float | None:
        if site == other:
            return 0.0
        return _kilometres(self._coordinates.get(site), self._coordinates.get(other))


def _between_sites(medians: Mapping[tuple[str, str], float], at: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """Where only hypervisors of two sites were measured, the slowest pair speaks for the sites."""
    worst: dict[tuple[str, str], float] = {}
    for (source, target), median in medians.items():
        pair = at.get(source, source), at.get(target, target)
        if pair != (source, target):
            worst[pair] = max(worst.get(pair, 0.0), median)
    return worst


def _coordinates(latitude: float | None, longitude: float | None) -> tuple[float, float] | None:
    return None if latitude is None or longitude is None else (latitude, longitude)


def _kilometres(here: tuple[float, float] | None, there: tuple[float, float] | None) -> float | None:
    return None if here is None or there is None else great_circle_km(here, there)


def check_trips(trips: Sequence[RoundTrip], sites: Iterable[str], vms: Iterable[str], where: str) -> None:
    """Refuse round trips to a site or a VM that there is not."""
    for index, trip in enumerate(trips):
        for kind, known in (("site", sites), ("vm", vms)):
            name = getattr(trip, kind)
            if name and name not in known:
                what = "is not a site of the federation" if kind == "site" else "is neither to be placed nor there"
                remedy = f"use one of: {', '.join(sorted(known)[:20]) or 'none'}"
                raise InputError(what, option=f"{where}[{index}].{kind}", value=name, remedy=remedy)
