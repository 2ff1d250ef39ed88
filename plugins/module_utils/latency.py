# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Round trips between hypervisors, and to points of users: what was measured, when, and what they cannot be less than; pure.

Times are milliseconds. A time stamp is ISO 8601 in UTC, such as ``2026-11-25T10:00:00Z``.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from .errors import InputError
from .fields import Fields, unique
from .model import Portable, Site

LIBVIRT_TLS_PORT = 16514
SCHEMA = 1
KM_PER_MS = 100.0
"""What light covers in glass in a millisecond, there and back."""
_EARTH_RADIUS = 6371.0  # km
_LONGEST = 3_600_000.0  # ms
_CLOCKS_DIFFER = timedelta(minutes=5)
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Target(Portable):
    """Who answers: another hypervisor, or a user's point, which has no ``site``."""

    name: str
    address: str
    port: int = LIBVIRT_TLS_PORT
    site: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "target") -> Target:
        fields = Fields(data, where)
        name = fields.name()
        read = cls(
            name=name,
            address=fields.text("address", name),
            port=fields.integer("port", LIBVIRT_TLS_PORT, 1, 65535),
            site=fields.text("site"),
        )
        fields.finish()
        return read


@dataclass(frozen=True)
class Latency(Portable):
    """Round trips from one hypervisor to a target; ``samples`` were answered, ``failed`` were not and count for nothing."""

    source: str
    source_site: str
    target: str
    target_site: str
    min_ms: float
    median_ms: float
    samples: int
    failed: int
    measured_at: str

    @classmethod
    def from_dict(cls, data: Any, where: str = "latency") -> Latency:
        fields = Fields(data, where)
        read = cls(
            source=fields.name("source"),
            source_site=fields.text("source_site"),
            target=fields.name("target"),
            target_site=fields.text("target_site"),
            min_ms=_time(fields, "min_ms"),
            median_ms=_time(fields, "median_ms"),
            samples=fields.integer("samples", None, 1, 2**31, required=True),
            failed=fields.integer("failed", 0, 0, 2**31),
            measured_at=fields.text("measured_at", required=True),
        )
        fields.finish()
        if read.median_ms < read.min_ms:
            raise InputError("is less than min_ms", option=f"{where}.median_ms", value=read.median_ms, remedy="measure it again")
        parse_stamp(read.measured_at, f"{where}.measured_at")
        return read

    @property
    def moment(self) -> datetime:
        return parse_stamp(self.measured_at, "measured_at")


def _time(fields: Fields, key: str) -> float:
    value = fields.number(key, 0, _LONGEST)
    if value is None:
        raise InputError("is required but not given", option=fields.path(key), remedy=f"add the key {key}")
    return value


def stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime(_STAMP)


def parse_stamp(text: str, option: str) -> datetime:
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        remedy = "write it in UTC, as in 2026-11-25T10:00:00Z"
        raise InputError("is no time stamp", option=option, value=text, remedy=remedy) from None


def read_targets(given: Sequence[Any], source: str, where: str = "targets") -> tuple[Target, ...]:
    """The targets but the source itself; InputError for a name that stands twice."""
    targets = [Target.from_dict(target, f"{where}[{index}]") for index, target in enumerate(given)]
    unique([target.name for target in targets], where)
    return tuple(target for target in targets if target.name != source)


def read_latencies(given: Sequence[Any], where: str) -> tuple[Latency, ...]:
    return tuple(Latency.from_dict(latency, f"{where}[{index}]") for index, latency in enumerate(given))


def summary(source: str, source_site: str, target: Target, times: Sequence[float], failed: int, moment: datetime) -> Latency:
    """What the answered samples come to, rounded to microseconds.

    :param times: milliseconds of each sample that was answered; at least one
    """
    least, middle = round(min(times), 3), round(statistics.median(times), 3)
    return Latency(source, source_site, target.name, target.site, least, middle, len(times), failed, stamp(moment))


def merged(kept: Iterable[Latency], new: Iterable[Latency], now: datetime) -> list[Latency]:
    """The latest measurement of each pair, by source and target; of two of the same moment, the new one.

    What a clock that was ahead has stamped gives way to everything else.
    """
    found: dict[tuple[str, str], Latency] = {}
    for latency in (*kept, *new):
        pair = (latency.source, latency.target)
        if pair not in found or _age_rank(latency, now) >= _age_rank(found[pair], now):
            found[pair] = latency
    return [found[pair] for pair in sorted(found)]


def _age_rank(latency: Latency, now: datetime) -> tuple[bool, datetime]:
    return latency.moment <= now + _CLOCKS_DIFFER, latency.moment


def stale(latencies: Iterable[Latency], max_age: int, now: datetime) -> list[Latency]:
    """Those that were measured more than ``max_age`` seconds ago, or by a clock that was ahead, of which nobody knows when."""
    oldest, newest = now - timedelta(seconds=max_age), now + _CLOCKS_DIFFER
    return [latency for latency in latencies if not oldest <= latency.moment <= newest]


def distance_km(first: Site, second: Site) -> float | None:
    """Along the great circle; None where a site has no coordinates."""
    if first.latitude is None or first.longitude is None or second.latitude is None or second.longitude is None:
        return None
    return great_circle_km((first.latitude, first.longitude), (second.latitude, second.longitude))


def great_circle_km(here: tuple[float, float], there: tuple[float, float]) -> float:
    """Between two points, each latitude and longitude in degrees."""
    latitudes = math.radians(here[0]), math.radians(there[0])
    across = math.radians(there[1] - here[1])
    half = math.sin((latitudes[1] - latitudes[0]) / 2) ** 2
    half += math.cos(latitudes[0]) * math.cos(latitudes[1]) * math.sin(across / 2) ** 2
    return 2 * _EARTH_RADIUS * math.asin(min(1.0, math.sqrt(half)))


def least_ms(first: Site, second: Site) -> float | None:
    """A round trip between two sites cannot be shorter than this; None where a site has no coordinates."""
    distance = distance_km(first, second)
    return None if distance is None else distance / KM_PER_MS


@dataclass(frozen=True)
class LatencyFile:
    """What is known of round trips: ``latencies`` by source and target, and which of them were ``stale`` when it was written."""

    latencies: tuple[Latency, ...] = ()
    stale: tuple[Latency, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> LatencyFile:
        """Nothing is known from an empty text. InputError names what in it cannot be meant."""
        if not text.strip():
            return cls()
        try:
            data = json.loads(text)
        except ValueError as error:
            remedy = "mend the file, or remove it and measure again"
            raise InputError(f"is no JSON ({error})", option="path", remedy=remedy) from error
        fields = Fields(data, "")
        if fields.integer("schema", None, 1, 2**31, required=True) > SCHEMA:
            remedy = "update virt8ra.federation"
            raise InputError("is newer than this collection", option="schema", value=fields.get("schema"), remedy=remedy)
        latencies = fields.each("latencies", Latency.from_dict)
        flagged = {(one.get("source"), one.get("target")) for one in fields.mappings("stale")}
        fields.finish()
        unique([f"{one.source} to {one.target}" for one in latencies], "latencies")
        return cls(latencies, tuple(one for one in latencies if (one.source, one.target) in flagged))

    def merged(self, new: Iterable[Latency], max_age: int, now: datetime) -> LatencyFile:
        """With what was measured since, and with the flags of now."""
        latencies = merged(self.latencies, new, now)
        return LatencyFile(tuple(latencies), tuple(stale(latencies, max_age, now)))

    def to_dict(self) -> dict[str, Any]:
        """``{schema, latencies, stale}``, where ``stale`` has ``{source, target, measured_at}`` of each."""
        flagged = [{"source": one.source, "target": one.target, "measured_at": one.measured_at} for one in self.stale]
        return {"schema": SCHEMA, "latencies": [one.to_dict() for one in self.latencies], "stale": flagged}

    def to_text(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def by_pair(self) -> dict[str, Any]:
        """For people to compare: the measurement of each pair, and whether it is stale."""
        return {
            f"{one.source} to {one.target}": {
                "min_ms": one.min_ms,
                "median_ms": one.median_ms,
                "measured_at": one.measured_at,
                "stale": one in self.stale,
            }
            for one in self.latencies
        }
