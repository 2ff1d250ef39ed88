# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks that do not exist yet: refused while nothing is touched, then made all together or not at all."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import FederationError, InputError
from ...model import Disk, Site
from ...sizes import show_size
from . import volumes
from .connection import libvirt, told


@dataclass(frozen=True)
class NewDisk:
    """A disk and where its volume will be; ``image`` is (pool, volume) to copy, ``option`` where a person wrote it."""

    disk: Disk
    option: str
    pool: str
    volume: str
    image: tuple[str, str] | None


def plan_disks(conn: Any, site: Site, vm_name: str, disks: Sequence[tuple[str, Disk]]) -> list[NewDisk]:
    """What has to be made for these (option, disk); InputError for the first that cannot be made."""
    planned = [_plan_disk(conn, site, vm_name, option, disk) for option, disk in disks]
    needed: dict[str, int] = {}
    for new in planned:
        needed[new.pool] = needed.get(new.pool, 0) + new.disk.size
        free = volumes.free_bytes(conn, new.pool)
        if needed[new.pool] > free:
            what = (
                f"does not fit: the pool {new.pool} has {show_size(free)} free and the new disks need {show_size(needed[new.pool])}"
            )
            raise InputError(what, option=f"{new.option}.size", value=new.disk.size, remedy="make it smaller, or free space there")
    return planned


def _plan_disk(conn: Any, site: Site, vm_name: str, option: str, disk: Disk) -> NewDisk:
    pool = _usable_pool(conn, site, disk.storage, f"{option}.storage")
    kind = _pool_type(pool)
    if kind not in (*volumes.FILE_POOLS, *volumes.BLOCK_POOLS):
        remedy = f"use storage on a pool of type {', '.join((*volumes.FILE_POOLS, *volumes.BLOCK_POOLS))}"
        raise InputError(f"is on a pool of type {kind}", option=f"{option}.storage", value=disk.storage, remedy=remedy)
    if kind in volumes.BLOCK_POOLS and disk.format != "raw":
        remedy = "use format raw there"
        raise InputError(f"cannot be on a pool of type {kind}", option=f"{option}.format", value=disk.format, remedy=remedy)
    name = f"{vm_name}-{disk.name}.{disk.format}"
    if volumes.find_volume(conn, pool.name(), name) is not None:
        remedy = "delete that volume if nobody needs it, or give the VM or the disk another name"
        raise InputError(
            f"the pool {pool.name()} has a volume {name} already", option=f"{option}.name", value=disk.name, remedy=remedy
        )
    return NewDisk(disk, option, pool.name(), name, _plan_image(conn, site, option, disk))


def _plan_image(conn: Any, site: Site, option: str, disk: Disk) -> tuple[str, str] | None:
    if disk.image is None:
        return None
    storage, name = (part for part in disk.image.split("/") if part)
    pool = _usable_pool(conn, site, storage, f"{option}.image").name()
    image = volumes.find_volume(conn, pool, name)
    if image is None:
        remedy = "upload the image there first, or use the name of one that is there"
        raise InputError(f"the pool {pool} has no volume {name}", option=f"{option}.image", value=disk.image, remedy=remedy)
    with told(f"reading the image {disk.image}"):
        size = int(image.info()[1])
    if size > disk.size:
        remedy = f"use at least {size} bytes ({show_size(size)})"
        raise InputError(f"is smaller than the image {disk.image}", option=f"{option}.size", value=disk.size, remedy=remedy)
    return pool, name


def _usable_pool(conn: Any, site: Site, logical: str, option: str) -> Any:
    """The active pool behind a logical name; the refusal names the option."""
    local = site.local_storage(logical, option)
    try:
        return volumes.active_pool(conn, local)
    except FederationError as error:
        what = f"is the storage pool {local} here, which cannot be used ({error.what})"
        raise InputError(what, option=option, value=logical, remedy=error.remedy) from error


def _pool_type(pool: Any) -> str:
    with told("reading a storage pool"):
        return ET.fromstring(pool.XMLDesc()).get("type", "")


@contextlib.contextmanager
def made_disks(conn: Any, planned: Sequence[NewDisk]) -> Iterator[dict[str, str]]:
    """Make the volumes and give their paths by disk name; should the block fail, they (and only they) are deleted again."""
    made: dict[str, str] = {}
    try:
        for new in planned:
            if new.image is None:
                path = volumes.create_volume(conn, new.pool, new.volume, new.disk.size, new.disk.format)
            else:
                path = volumes.clone_image(conn, *new.image, new.pool, new.volume, new.disk.size, new.disk.format)
            made[new.disk.name] = path
        yield made
    except BaseException:
        for path in made.values():
            # The fault that brought us here is the one to tell.
            with contextlib.suppress(FederationError, libvirt.libvirtError):
                volumes.delete_volume(conn, path)
        raise
