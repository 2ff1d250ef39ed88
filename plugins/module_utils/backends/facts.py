# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a back end tells of the two ends before a migration; plain data, judged by ``migration.preflight``."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..model import Vm


@dataclass(frozen=True)
class DiskFacts:
    """A disk at the source: ``capacity`` and ``allocation`` in bytes; ``name`` is the device, vda."""

    name: str
    path: str
    format: str
    capacity: int
    allocation: int


@dataclass(frozen=True)
class SourceFacts:
    """The VM as it is at the source; ``unmovable`` names devices and media that cannot follow it."""

    vm: Vm
    state: str
    busy: bool
    epoch: int
    owner: str
    virt_type: str
    cpu_mode: str
    networks: tuple[str, ...]
    disks: tuple[DiskFacts, ...]
    persistent: bool = True
    snapshots: int = 0
    checkpoints: int = 0
    unmovable: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetFacts:
    """The target as it is.

    ``pools`` maps active pools to free bytes and ``pool_paths`` to their folders; ``volumes`` holds ``pool/volume``.
    ``cpu`` and ``machine`` are empty where they fit, else say why not.
    """

    name_taken: bool = False
    copy_state: str = "absent"
    free_memory: int = 0
    pools: dict[str, int] = field(default_factory=dict)
    pool_paths: dict[str, str] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    macs: frozenset[str] = frozenset()
    cpu: str = ""
    machine: str = ""
