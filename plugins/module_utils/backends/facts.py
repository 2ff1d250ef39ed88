# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a back end tells of the two ends before a migration; plain data, judged by ``migration.preflight``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..model import Vm


@dataclass(frozen=True)
class DiskFacts:
    """A disk at the source: ``capacity`` and ``allocation`` in bytes; ``name`` is the device, vda.

    ``bitmaps``: its format can hold dirty bitmaps, so that what was written since can be told. ``backing``: the files below
    it, which stay at the source; ``allocation`` counts what they hold, for it is copied too.
    """

    name: str
    path: str
    format: str
    capacity: int
    allocation: int
    bitmaps: bool = False
    backing: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceFacts:
    """The VM as it is at the source; ``unmovable`` names devices and media that cannot follow it.

    ``media``: paths of the discs in drives, by device; ``nvram``: path of the firmware's variables; ``tpm``: it has an emulated one.
    ``checkpoints``: names of those that no migration made; ``backup``: what another tool's backup does now, or empty.
    """

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
    checkpoints: tuple[str, ...] = ()
    backup: str = ""
    unmovable: tuple[str, ...] = ()
    media: dict[str, str] = field(default_factory=dict)
    nvram: str = ""
    tpm: bool = False


@dataclass(frozen=True)
class TargetFacts:
    """The target as it is.

    ``pools`` maps active pools to free bytes, ``pool_paths`` to their folders and ``pool_types`` to libvirt's types; ``volumes`` holds ``pool/volume``.
    ``cpu`` and ``machine`` are empty where they fit, else say why not; ``tpm``: an emulated one can be had.
    ``site_facts`` as ``site_info`` returns them, and ``company``, the VMs at both hypervisors as ``vm_info`` returns them: None
    where the VM's placement policy does not ask for them.
    """

    name_taken: bool = False
    copy_state: str = "absent"
    free_memory: int = 0
    pools: dict[str, int] = field(default_factory=dict)
    pool_paths: dict[str, str] = field(default_factory=dict)
    pool_types: dict[str, str] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    macs: frozenset[str] = frozenset()
    cpu: str = ""
    machine: str = ""
    tpm: bool = True
    site_facts: dict[str, Any] | None = None
    company: dict[str, list[dict[str, Any]]] | None = None
