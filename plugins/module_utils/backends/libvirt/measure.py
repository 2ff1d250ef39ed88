# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measuring before a migration: how fast the link is, and how fast the guest dirties its memory and its disks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from ..facts import DiskFacts
from .connection import libvirt
from .migration_end import MigrationEnd

_SAMPLE = 8 * 2**20
_SAMPLE_SECONDS = 2.0
_DIRTY_SECONDS = 1
_MIB = 2**20


def link_rate(source: MigrationEnd, disks: Sequence[DiskFacts]) -> float:
    """Bytes/s at which a piece of a disk comes from the source under TLS, by libvirt's stream; 0 where none can be read.

    A migration's own streams are faster, so that what is estimated from it is rather too long than too short.
    """
    largest = max((disk for disk in disks if disk.allocation >= _SAMPLE), key=lambda disk: disk.allocation, default=None)
    if largest is None:
        return 0.0
    try:
        # A thin clone has little of its own.
        volume = source.connection.storageVolLookupByPath(largest.backing[-1] if largest.backing else largest.path)
        stream = source.connection.newStream()
        volume.download(stream, 0, _SAMPLE, 0)
        begun = time.monotonic()
        read = 0
        while read < _SAMPLE and time.monotonic() - begun < _SAMPLE_SECONDS:
            piece = stream.recv(256 * 1024)
            if not piece:
                break
            read += len(piece)
        seconds = time.monotonic() - begun
        stream.abort()
    except libvirt.libvirtError:
        return 0.0
    return read / seconds if seconds > 0 else 0.0


def dirty_rates(source: MigrationEnd, disks: Sequence[DiskFacts]) -> tuple[float, float]:
    """Bytes/s of memory that is dirtied and of disks that are written, over one second of the running guest."""
    domain = source.domain()
    with contextlib.suppress(libvirt.libvirtError):
        domain.startDirtyRateCalc(_DIRTY_SECONDS, 0)
    written, begun = _written(domain, disks), time.monotonic()
    time.sleep(_DIRTY_SECONDS + 0.2)
    disk_rate = (_written(domain, disks) - written) / (time.monotonic() - begun)
    memory_rate = 0.0
    with contextlib.suppress(libvirt.libvirtError):
        ((_domain, statistics),) = source.connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE)
        memory_rate = float(statistics.get("dirtyrate.megabytes_per_second", 0)) * _MIB
    return memory_rate, max(0.0, disk_rate)


def _written(domain: Any, disks: Sequence[DiskFacts]) -> int:
    total = 0
    for disk in disks:
        with contextlib.suppress(libvirt.libvirtError):
            total += int(domain.blockStats(disk.name)[3])
    return total
