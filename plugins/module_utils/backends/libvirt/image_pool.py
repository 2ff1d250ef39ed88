# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pool that holds a hypervisor's part of the image library: its folder, who backs on its volumes, and another one's streams."""

from __future__ import annotations

import contextlib
import os
import xml.etree.ElementTree as ET
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, Union
from urllib.parse import urlsplit

from ...errors import BackendError, FederationError, InputError, NotFoundError
from ...qcow2 import backing_chain
from . import volumes
from .connection import libvirt, told

# Bytes of the file, or the length of a hole in it.
Piece = Union[bytes, int]
_PIECE = 2**20
_AT_A_HOLE = -3


class ImagePool:
    """A pool of files at this hypervisor.

    :param conn: an open virConnect to this very host: the files are written here
    :param pool: the pool's own name; ``logical`` is what the option ``storage`` says
    :raises InputError: the pool is not there, holds no files, or is another host's
    """

    def __init__(self, conn: Any, pool: str, logical: str) -> None:
        self._conn = conn
        self.name = pool
        if urlsplit(conn.getURI()).hostname is not None:
            remedy = "run the module on the hypervisor"
            raise InputError("is another host's, and images are written here", option="uri", value=conn.getURI(), remedy=remedy)
        try:
            self._pool = volumes.active_pool(conn, pool)
            kind = volumes.pool_type(conn, pool)
        except FederationError as error:
            what = f"is the storage pool {pool} here, which cannot be used ({error.what})"
            raise InputError(what, option="storage", value=logical, remedy=error.remedy) from error
        if kind not in volumes.FILE_POOLS:
            remedy = f"map it to a pool of type {', '.join(volumes.FILE_POOLS)}"
            raise InputError(f"is a pool of type {kind}, which holds no files", option="storage", value=logical, remedy=remedy)
        with told(f"reading the pool {pool}"):
            self.folder = Path(ET.fromstring(self._pool.XMLDesc()).findtext("target/path") or "")
        if not self.folder.is_dir():
            raise InputError(
                f"is at {self.folder}, which is no folder here", option="storage", value=logical, remedy="start the pool"
            )

    def free(self) -> int:
        """Bytes that can be written here."""
        return volumes.free_bytes(self._conn, self.name)

    def show(self) -> None:
        """Have libvirt see what came and went."""
        volumes.refresh(self._pool)

    def users(self) -> dict[str, list[str]]:
        """Who reads each file here, by its path: ``VM web-1``, or a volume that backs on it and is no VM's."""
        used: dict[str, set[str]] = {}
        for name, path in _domain_files(self._conn):
            for file in (path, *_below(path)):
                used.setdefault(file, set()).add(f"VM {name}")
        for label, path, backing in _volume_files(self._conn):
            readers = used.get(path, {label})
            for file in (*_below(path), *([backing, *_below(backing)] if backing else [])):
                used.setdefault(file, set()).update(readers)
        return {path: sorted(names) for path, names in used.items()}


def _below(path: str) -> list[str]:
    """Real paths of the chain below a file, as the files themselves say."""
    return [os.path.realpath(one) for one in backing_chain(Path(path))]


def _domain_files(conn: Any) -> list[tuple[str, str]]:
    """(VM, real path) of every disk and disc of every VM here, with the chains that libvirt shows: as they run, and as they start."""
    found: list[tuple[str, str]] = []
    with told("listing the VMs"):
        for domain in conn.listAllDomains():
            # A domain that went away meanwhile reads nothing any more.
            with contextlib.suppress(libvirt.libvirtError):
                name, texts = domain.name(), [domain.XMLDesc()]
                if domain.isActive() and domain.isPersistent():
                    texts.append(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
                for text in texts:
                    found += [(name, path) for path in _paths(conn, ET.fromstring(text))]
    return found


def _paths(conn: Any, root: ET.Element) -> Iterable[str]:
    for source in root.findall("devices/disk//source"):
        path = source.get("file") or source.get("dev") or ""
        if source.get("pool") and source.get("volume"):
            with contextlib.suppress(FederationError, libvirt.libvirtError):
                volume = volumes.find_volume(conn, source.get("pool", ""), source.get("volume", ""))
                path = "" if volume is None else volume.path()
        if path:
            yield os.path.realpath(path)


def _volume_files(conn: Any) -> list[tuple[str, str, str]]:
    """(label, real path, path of its backing file) of every volume of every active pool here."""
    found = []
    with told("listing the volumes"):
        for pool in conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            volumes.refresh(pool)
            for volume in pool.listAllVolumes():
                with contextlib.suppress(libvirt.libvirtError):
                    backing = ET.fromstring(volume.XMLDesc()).findtext("backingStore/path")
                    label = f"the volume {volume.name()} in pool {pool.name()}"
                    found.append((label, os.path.realpath(volume.path()), os.path.realpath(backing) if backing else ""))
    return found


def download(conn: Any, pool: str, name: str) -> tuple[int, Generator[Piece, None, None]]:
    """A volume at another hypervisor: about how many bytes (0: not known), and they themselves, with holes as lengths.

    :raises NotFoundError: it has no such volume
    """
    volume = volumes.find_volume(conn, pool, name)
    if volume is None:
        raise NotFoundError(f"has no volume {name} in pool {pool}")
    size = 0
    with contextlib.suppress(libvirt.libvirtError):
        size = int(volume.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])
    return size, _stream(conn, volume)


def _stream(conn: Any, volume: Any) -> Generator[Piece, None, None]:
    with told(f"fetching the volume {volume.name()}"):
        stream = conn.newStream()
        volume.download(stream, 0, 0, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
    ended = False
    try:
        while True:
            with told("fetching the volume"):
                piece = stream.recvFlags(_PIECE, libvirt.VIR_STREAM_RECV_STOP_AT_HOLE)
                if piece == _AT_A_HOLE:
                    piece = int(stream.recvHole())
                elif isinstance(piece, int):
                    raise BackendError("the stream would block", remedy="run it again")
                elif not piece:
                    stream.finish()
                    ended = True
                    return
            yield piece
    finally:
        if not ended:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
