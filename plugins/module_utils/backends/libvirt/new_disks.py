# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks that do not exist yet: refused while nothing is touched, then made all together or not at all."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BackendError, FederationError, InputError
from ...image_records import image_lock
from ...model import Disk, Site
from ...sizes import show_size
from . import volumes
from .connection import libvirt, told
from .local_images import LocalImage, find_in_library

_PATIENCE = 600.0


@dataclass(frozen=True)
class NewDisk:
    """A disk and where its volume will be; ``image`` is what it is made from, ``option`` where a person wrote it."""

    disk: Disk
    option: str
    pool: str
    volume: str
    image: LocalImage | None


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
    return NewDisk(disk, option, pool.name(), name, _plan_image(conn, site, option, disk, kind))


def _plan_image(conn: Any, site: Site, option: str, disk: Disk, kind: str) -> LocalImage | None:
    if disk.image is None:
        return None
    if "/" not in disk.image:
        image = find_in_library(conn, site, disk.image, f"{option}.image")
    else:
        storage, name = (part for part in disk.image.split("/") if part)
        image = LocalImage(_usable_pool(conn, site, storage, f"{option}.image").name(), name)
    if disk.clone == "thin":
        _check_thin(image, kind, f"{option}.clone")
    volume = volumes.find_volume(conn, image.pool, image.volume)
    if volume is None:
        remedy = "upload the image there first, or use the name of one that is there"
        what = f"the pool {image.pool} has no volume {image.volume}"
        raise InputError(what, option=f"{option}.image", value=disk.image, remedy=remedy)
    with told(f"reading the image {disk.image}"):
        size = int(volume.info()[1])
    if size > disk.size:
        remedy = f"use at least {size} bytes ({show_size(size)})"
        raise InputError(f"is smaller than the image {disk.image}", option=f"{option}.size", value=disk.size, remedy=remedy)
    return image


def _check_thin(image: LocalImage, kind: str, option: str) -> None:
    """Only an image of the library stays as it is, and stays at all, while disks back on it."""
    if image.record is None:
        remedy = "name an image of the library (name:version), or use clone full"
        raise InputError("backs on images of the library only", option=option, value="thin", remedy=remedy)
    if kind not in volumes.FILE_POOLS:
        remedy = f"use storage on a pool of type {', '.join(volumes.FILE_POOLS)}, or clone full"
        raise InputError(f"cannot be on a pool of type {kind}", option=option, value="thin", remedy=remedy)


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
            made[new.disk.name] = _made(conn, new)
        yield made
    except BaseException:
        for path in made.values():
            # The fault that brought us here is the one to tell.
            with contextlib.suppress(FederationError, libvirt.libvirtError):
                volumes.delete_volume(conn, path)
        raise


def _made(conn: Any, new: NewDisk) -> str:
    """The path of the volume, which is made here."""
    disk, image = new.disk, new.image
    if image is None:
        return volumes.create_volume(conn, new.pool, new.volume, disk.size, disk.format)
    if disk.clone == "full" or image.record is None:
        return volumes.clone_image(conn, image.pool, image.volume, new.pool, new.volume, disk.size, disk.format)
    # Held, so that nobody removes the image between our look and the volume that backs on it.
    with image_lock(image.state_path, image.pool, image.volume).held(_PATIENCE):
        if not image.record.is_of(Path(image.path)):
            remedy = "bring it anew with the module image, and run this again"
            raise BackendError(f"the image {image.path} was removed or changed meanwhile", remedy=remedy)
        backing = (image.path, image.record.format)
        return volumes.create_volume(conn, new.pool, new.volume, disk.size, disk.format, backing)
