# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much a migration moves, how long it takes and how long the guest stands still, from measured rates. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Portable

# What a live migration's switch costs beside the memory that is left, as seen in the lab.
_SWITCH_SECONDS = 0.1
# Shutting a guest down and booting it are its own affair; these stand for them where nothing was measured.
STOP_SECONDS, BOOT_SECONDS = 10.0, 20.0


@dataclass(frozen=True)
class Measured(Portable):
    """Bytes per second: of the link, of memory that the guest dirties and of its disks that it writes; 0 where not measured."""

    rate: float = 0.0
    memory_dirty_rate: float = 0.0
    disk_dirty_rate: float = 0.0


@dataclass(frozen=True)
class Estimate(Portable):
    """``seconds`` and ``downtime_seconds`` are None where no rate is known. ``converges``: the link outruns the guest."""

    bytes: int
    seconds: float | None
    downtime_seconds: float | None
    converges: bool


def estimate_live(disk_bytes: int, memory_bytes: int, measured: Measured, downtime_seconds: float) -> Estimate:
    """Memory is sent again as fast as it is dirtied: a geometric series, which ends when what is left fits the downtime.

    :param downtime_seconds: what QEMU may stop the guest for
    """
    total = disk_bytes + memory_bytes
    if not measured.rate:
        return Estimate(total, None, None, converges=True)
    growth = (measured.memory_dirty_rate + measured.disk_dirty_rate) / measured.rate
    if growth >= 1:
        return Estimate(total, None, None, converges=False)
    whole = total / (1 - growth)
    return Estimate(round(whole), round(whole / measured.rate, 1), round(downtime_seconds + _SWITCH_SECONDS, 1), converges=True)


def estimate_warm(disk_bytes: int, measured: Measured) -> Estimate:
    """The disks once, and what is written meanwhile; while the guest is off, the last delta, its shutdown and its boot."""
    if not measured.rate:
        return Estimate(disk_bytes, None, None, converges=True)
    growth = measured.disk_dirty_rate / measured.rate
    if growth >= 1:
        return Estimate(disk_bytes, None, None, converges=False)
    whole = disk_bytes / (1 - growth)
    # What is written during one short round, and while the guest shuts down.
    delta = measured.disk_dirty_rate * (1 + STOP_SECONDS)
    downtime = STOP_SECONDS + delta / measured.rate + BOOT_SECONDS
    return Estimate(
        round(whole + delta),
        round((whole + delta) / measured.rate + STOP_SECONDS + BOOT_SECONDS, 1),
        round(downtime, 1),
        converges=True,
    )


def estimate_cold(disk_bytes: int, measured: Measured) -> Estimate:
    """The guest is off while all of its disks are copied."""
    if not measured.rate:
        return Estimate(disk_bytes, None, None, converges=True)
    seconds = round(disk_bytes / measured.rate + STOP_SECONDS + BOOT_SECONDS, 1)
    return Estimate(disk_bytes, seconds, seconds, converges=True)
