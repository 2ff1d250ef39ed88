# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a VM's disks, discs, networks and MAC addresses go at the target. Pure; what has no place becomes a blocker."""

from __future__ import annotations

import hashlib
from typing import Any

from ..backends.facts import DiskFacts, SourceFacts, TargetFacts
from ..cloud_init.seed import seed_volume
from ..errors import InputError
from .plan import KEEP, Blocker, Request

_BLOCK_POOLS = ("logical", "disk")
_SUFFIXES = (".qcow2", ".raw", ".img")


def map_disks(request: Request, source: SourceFacts, target: TargetFacts, blockers: list[Blocker]) -> dict[str, dict[str, Any]]:
    """``Plan.disks``."""
    logical = {disk.name: disk.storage for disk in source.vm.disks}
    mapped: dict[str, dict[str, Any]] = {}
    for disk in source.disks:
        storage = request.storage.get(logical.get(disk.name, ""), logical.get(disk.name, ""))
        pool = ""
        if not storage:
            message = f"disk {disk.name} at {disk.path} is in no pool that site {request.source_site.name} maps; map its pool in the federation file"
            blockers.append(Blocker("storage", message))
        else:
            try:
                pool = request.target_site.local_storage(storage, f"disk {disk.name}: storage")
            except InputError as error:
                blockers.append(Blocker("storage", str(error)))
        format = request.formats.get(disk.name) or ("raw" if target.pool_types.get(pool) in _BLOCK_POOLS else disk.format)
        if target.pool_types.get(pool) in _BLOCK_POOLS and format != "raw":
            blockers.append(
                Blocker("format", f"disk {disk.name} cannot be {format} in pool {pool}, which holds block devices; use raw")
            )
        volume = _volume_name(disk, format, target.pool_types.get(pool, ""))
        path = f"{target.pool_paths.get(pool, '')}/{volume}"
        mapped[disk.name] = {
            "storage": storage,
            "pool": pool,
            "path": path,
            "volume": volume,
            "capacity": disk.capacity,
            "format": format,
            "source_format": disk.format,
            "source_path": disk.path,
        }
    for name in sorted(set(request.formats) - set(mapped)):
        blockers.append(Blocker("format", f"formats names disk {name}, which VM {source.vm.name} does not have; leave it out"))
    return mapped


def _volume_name(disk: DiskFacts, format: str, pool_type: str) -> str:
    name = disk.path.rsplit("/", 1)[-1]
    stem = next((name[: -len(suffix)] for suffix in _SUFFIXES if name.endswith(suffix)), name)
    if pool_type in _BLOCK_POOLS:
        return stem
    return name if format == disk.format else f"{stem}.{format}"


def map_media(
    request: Request, source: SourceFacts, target: TargetFacts, disks: dict[str, dict[str, Any]], blockers: list[Blocker]
) -> dict[str, str]:
    """Path at the target of each disc in a drive; empty for one that is taken out."""
    if "media" in request.clear:
        return dict.fromkeys(source.media, "")
    pools = [disk["pool"] for disk in disks.values() if target.pool_types.get(disk["pool"]) not in _BLOCK_POOLS]
    folder = next((target.pool_paths[pool] for pool in pools if pool in target.pool_paths), "")
    if source.media and not folder:
        names = ", ".join(source.media.values())
        message = f"{names} in a drive of VM {source.vm.name} has no file pool at {request.target} to go to; take it out by clear: [media]"
        blockers.append(Blocker("media", message))
    seed = seed_volume(source.vm.name)
    return {
        drive: f"{folder}/{seed if disc.endswith(f'/{seed}') else f'{source.vm.name}-{drive}.iso'}"
        for drive, disc in source.media.items()
    }


def map_macs(request: Request, source: SourceFacts, target: TargetFacts, blockers: list[Blocker]) -> tuple[str, ...]:
    """Addresses at the target, in the order of the interfaces; new ones are the same at every try, and free there."""
    if request.macs == KEEP:
        return tuple(nic.mac for nic in source.vm.nics)
    if request.mode == "live":
        blockers.append(Blocker("mac", "a running guest keeps its MAC addresses; use macs: keep, or mode warm or cold"))
    new: list[str] = []
    for number, nic in enumerate(source.vm.nics):
        attempt = 0
        while True:
            seed = f"{source.vm.uuid} {request.target} {number} {nic.mac} {attempt}"
            digits = hashlib.sha256(seed.encode()).hexdigest()
            mac = f"52:54:00:{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
            if mac not in target.macs and mac not in new:
                break
            attempt += 1
        new.append(mac)
    return tuple(new)


def map_networks(request: Request, source: SourceFacts, blockers: list[Blocker]) -> list[str]:
    """``Plan.networks``."""
    mapped: list[str] = []
    for nic, local in zip(source.vm.nics, source.networks):
        logical = request.networks.get(nic.network, nic.network)
        if not logical:
            message = f"network {local or 'of interface ' + nic.mac} is not mapped by site {request.source_site.name}; map it in the federation file"
            blockers.append(Blocker("network", message))
            mapped.append("")
            continue
        try:
            mapped.append(request.target_site.local_network(logical, f"interface {nic.mac}: network"))
        except InputError as error:
            blockers.append(Blocker("network", str(error)))
            mapped.append("")
    return mapped
