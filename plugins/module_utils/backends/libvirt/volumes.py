# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools and volumes: exact virtual sizes, never a rounded one. Sizes are bytes; libvirt's faults come as BackendError."""

from __future__ import annotations

import contextlib
import os
import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from ...errors import BackendError, ExistsError, FederationError
from .connection import is_there_already, libvirt, one_line, told

# Pools whose volumes are files, and pools whose volumes are block devices of the exact size.
FILE_POOLS = ("dir", "fs", "netfs")
BLOCK_POOLS = ("logical", "disk")
_PRIVATE = "0600"
_PIECE = 2**18


def pool_paths(conn: Any) -> dict[str, str]:
    """Names of all pools by their target path (``{"/var/lib/libvirt/images": "images"}``); pools without one are left out."""
    paths = {}
    with told("listing the storage pools"):
        for pool in conn.listAllStoragePools():
            path = ET.fromstring(pool.XMLDesc()).findtext("target/path")
            if path:
                paths[path.rstrip("/")] = pool.name()
    return paths


def volume_sizes(conn: Any, paths: Iterable[str]) -> dict[str, int]:
    """Virtual bytes of the volumes at these paths; a path that no active pool knows is left out."""
    sizes = {}
    for path in paths:
        with contextlib.suppress(libvirt.libvirtError):
            sizes[path] = int(conn.storageVolLookupByPath(path).info()[1])
    return sizes


def backing_files(conn: Any, path: str) -> list[str]:
    """Paths of the files below a volume, nearest first, as far as active pools tell."""
    below: list[str] = []
    with contextlib.suppress(libvirt.libvirtError):
        while path and path not in below[:-1]:
            path = ET.fromstring(conn.storageVolLookupByPath(path).XMLDesc()).findtext("backingStore/path") or ""
            if path:
                below.append(path)
    return below


def allocation(conn: Any, path: str) -> int | None:
    """Bytes that a volume takes up; None where no active pool knows it."""
    try:
        return int(conn.storageVolLookupByPath(path).info()[2])
    except libvirt.libvirtError:
        return None


def volume_at(conn: Any, path: str) -> Any:
    """The virStorageVol behind a path; NotFoundError when no active pool holds it."""
    with told(f"looking up the volume {path}", remedy="refresh or start the pool that holds it"):
        return conn.storageVolLookupByPath(path)


def pool_type(conn: Any, pool: str) -> str:
    """libvirt's type of a pool, such as ``dir`` or ``logical``."""
    with told(f"reading the pool {pool}"):
        return ET.fromstring(conn.storagePoolLookupByName(pool).XMLDesc()).get("type", "")


def holds_bitmaps(conn: Any, path: str) -> bool:
    """Whether the qcow2 volume is of version 3, which dirty bitmaps need; False where no pool tells."""
    try:
        root = ET.fromstring(conn.storageVolLookupByPath(path).XMLDesc())
    except libvirt.libvirtError:
        return False
    return root.findtext("target/compat", "0.10") != "0.10"


def pool_of(conn: Any, path: str) -> Any:
    """The virStoragePool that holds the volume at a path; NotFoundError when none does."""
    volume = volume_at(conn, path)
    with told(f"looking up the pool of {path}"):
        return volume.storagePoolLookupByVolume()


def find_volume(conn: Any, pool: str, name: str) -> Any | None:
    """The virStorageVol, or None; NotFoundError when there is no such pool, BackendError when it is not active."""
    holder = active_pool(conn, pool)
    for _attempt in ("as libvirt knows it", "after a refresh"):
        with contextlib.suppress(libvirt.libvirtError):
            return holder.storageVolLookupByName(name)
        refresh(holder)
    return None


def refresh(pool: Any) -> None:
    """See files that came or went behind libvirt's back; it refuses while a volume is being made there, which does no harm."""
    with contextlib.suppress(libvirt.libvirtError):
        pool.refresh(0)


def active_pool(conn: Any, pool: str) -> Any:
    """The virStoragePool; NotFoundError when there is none, BackendError when it is not active."""
    with told(f"looking up the storage pool {pool}", remedy="define the pool, or map the logical name to one that exists"):
        holder = conn.storagePoolLookupByName(pool)
    if not holder.isActive():
        raise BackendError(f"the storage pool {pool} is not active", remedy="start it")
    return holder


def free_bytes(conn: Any, pool: str) -> int:
    """What guests can still write into a pool."""
    holder = active_pool(conn, pool)
    refresh(holder)
    with told(f"reading the space of pool {pool}"):
        free = int(holder.info()[3])
        root = ET.fromstring(holder.XMLDesc())
        here = urlsplit(conn.getURI()).hostname is None
    if here and root.get("type") in FILE_POOLS:
        # libvirt counts the blocks that a file system reserves for root; QEMU does not run as root.
        with contextlib.suppress(OSError):
            space = os.statvfs(root.findtext("target/path") or "")
            free = min(free, space.f_bavail * space.f_frsize)
    return free


def create_volume(conn: Any, pool: str, name: str, size: int, format: str, backing: tuple[str, str] | None = None) -> str:
    """Make an empty thin volume of exactly ``size`` virtual bytes; its path. A volume of that name is an error, never overwritten.

    :param backing: path and format of the file that shows through where nothing was written
    """
    holder = active_pool(conn, pool)
    what = f"creating the volume {name} in pool {pool}"
    with told(what):
        try:
            volume = holder.createXML(_volume_xml(name, _whole_kib(size), format, backing))
        except libvirt.libvirtError as error:
            if is_there_already(error):
                raise ExistsError(f"{what} failed: {one_line(error)}", remedy="look whose volume that is") from error
            raise
    return _grown(volume, size)


def clone_image(conn: Any, image_pool: str, image_volume: str, pool: str, name: str, size: int, format: str) -> str:
    """Copy an image into a new volume and grow it to exactly ``size`` virtual bytes; the new volume's path."""
    image = find_volume(conn, image_pool, image_volume)
    if image is None:
        raise BackendError(f"there is no volume {image_volume} in pool {image_pool}", remedy="upload the image first")
    holder = active_pool(conn, pool)
    with told(f"copying the image {image_volume} to the volume {name} in pool {pool}"):
        own_size = int(image.info()[1])
        volume = holder.createXMLFrom(_volume_xml(name, max(_whole_kib(size), own_size), format), image, 0)
    return _grown(volume, size)


def upload_volume(conn: Any, pool: str, name: str, content: bytes) -> str:
    """Make a raw volume that holds these bytes, for root and QEMU alone; its path. All or nothing."""
    holder = active_pool(conn, pool)
    with told(f"creating the volume {name} in pool {pool}"):
        volume = holder.createXML(_volume_xml(name, len(content), "raw", mode=_PRIVATE))
    with _deleted_on_failure(volume), told(f"writing the volume {name} in pool {pool}"):
        stream = conn.newStream()
        volume.upload(stream, 0, len(content))
        rest = memoryview(content)
        while rest:
            rest = rest[stream.send(bytes(rest[:_PIECE])) :]
        stream.finish()
        return str(volume.path())


def volume_behind(conn: Any, path: str) -> Any | None:
    """The virStorageVol at a path, also one that was written behind libvirt's back; None where there is none."""
    if not path:
        return None
    with contextlib.suppress(libvirt.libvirtError):
        return conn.storageVolLookupByPath(path)
    pool = pool_paths(conn).get(posixpath.dirname(path))
    with contextlib.suppress(FederationError):
        return None if pool is None else find_volume(conn, pool, posixpath.basename(path))
    return None


def delete_volume(conn: Any, path: str) -> None:
    """Delete the volume at a path; one that is gone already is no fault."""
    try:
        volume = conn.storageVolLookupByPath(path)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return
        raise
    with told(f"deleting the volume {path}"):
        volume.delete()


def erase_volume(conn: Any, path: str) -> None:
    """Delete the volume at a path and see that it is gone; BackendError when it is not."""
    # A migration may have brought it without libvirt's knowing.
    if volume_behind(conn, path) is None:
        return
    pool = pool_of(conn, path)
    delete_volume(conn, path)
    refresh(pool)
    try:
        conn.storageVolLookupByPath(path)
    except libvirt.libvirtError:
        return
    raise BackendError(f"the volume {path} is still there after it was deleted", remedy="look at its pool and release again")


def _whole_kib(size: int) -> int:
    """libvirt makes qcow2 volumes in whole KiB and rounds up, so that an odd number of sectors has to be grown into."""
    return size - size % 1024 or size


def _grown(volume: Any, size: int) -> str:
    """The path of a volume that was just made, grown to its exact size; pools that round (LVM, ZFS) are refused here."""
    with _deleted_on_failure(volume), told(f"growing the volume {volume.name()} to {size} bytes"):
        if int(volume.info()[1]) < size:
            volume.resize(size)
        found = int(volume.info()[1])
        if found != size:
            remedy = "use a size that is a multiple of 1 KiB and of the pool's extents"
            raise BackendError(f"the volume {volume.name()} came out with {found} bytes instead of {size}", remedy=remedy)
        return str(volume.path())


@contextlib.contextmanager
def _deleted_on_failure(volume: Any) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            volume.delete()
        raise


def _volume_xml(name: str, size: int, format: str, backing: tuple[str, str] | None = None, *, mode: str = "") -> str:
    root = ET.Element("volume")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "capacity", unit="bytes").text = str(size)
    ET.SubElement(root, "allocation", unit="bytes").text = "0"
    target = ET.SubElement(root, "target")
    ET.SubElement(target, "format", type=format)
    if format == "qcow2":
        # libvirt's own default is version 2, which cannot hold the bitmaps that warm migrations and backups need.
        ET.SubElement(target, "compat").text = "1.1"
    if backing is not None:
        store = ET.SubElement(root, "backingStore")
        ET.SubElement(store, "path").text = backing[0]
        # Written into the volume, so that nobody has to guess it from what a guest wrote.
        ET.SubElement(store, "format", type=backing[1])
    if mode:
        ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = mode
    return ET.tostring(root, encoding="unicode")
