# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much a migration of workloads moves, how long it takes and how long the application is away, from measured rates. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..portable import Portable

# Stopping and starting an application are its own affair; these stand for them where nothing was measured.
STOP_SECONDS, START_SECONDS = 30.0, 30.0
# What is late is applied while the application is away: custom resources, webhooks, what is woken.
_LATE_SHARE = 0.25


@dataclass(frozen=True)
class Measured(Portable):
    """Objects per second, bytes per second of data copied and of data read for digests; 0 where not measured.

    ``changed``: the share of the data that changes between the seed and the cutover, from 0 to 1.
    """

    objects_rate: float = 0.0
    copy_rate: float = 0.0
    digest_rate: float = 0.0
    changed: float = 0.01
    stop_seconds: float = STOP_SECONDS
    start_seconds: float = START_SECONDS


@dataclass(frozen=True)
class Estimate(Portable):
    """``bytes`` is the capacity of the claims, which is the most that they hold. Times are None where a rate is not known.

    ``objects_seconds``: for the objects alone.
    """

    objects: int
    bytes: int
    delta_bytes: int
    objects_seconds: float | None
    seconds: float | None
    downtime_seconds: float | None


def estimate(objects: int, size: int, measured: Measured, *, verify: bool) -> Estimate:
    """The seed and the objects while the application runs; while it is away the delta, the digests, what is late, stop and start.

    :param size: bytes of the claims' data
    :param verify: whether all files are read again at both ends, which happens at the same time
    """
    delta = round(size * measured.changed)
    applying = round(objects / measured.objects_rate, 1) if measured.objects_rate else None
    known = measured.objects_rate and (not size or (measured.copy_rate and (measured.digest_rate or not verify)))
    if not known:
        return Estimate(objects, size, delta, applying, None, None)
    away = measured.stop_seconds + measured.start_seconds + _LATE_SHARE * objects / measured.objects_rate
    if size:
        away += delta / measured.copy_rate + (size / measured.digest_rate if verify else 0.0)
    before = objects / measured.objects_rate + (size / measured.copy_rate if size else 0.0)
    return Estimate(objects, size, delta, applying, round(before + away, 1), round(away, 1))
