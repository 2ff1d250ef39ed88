# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that belong to a VM and are no disks of it: fetched from another hypervisor through libvirt's own streams, written here."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import BackendError, NotFoundError
from . import volumes
from .connection import libvirt, one_line, told

_OURS = "virt8ra-files-"
_PIECE = 2**20
_PATIENCE = 20.0


def nvram_path(name: str) -> str:
    """Where libvirt keeps the firmware's variables of a VM whose definition does not say otherwise."""
    return f"/var/lib/libvirt/qemu/nvram/{name}_VARS.fd"


def tpm_folder(uuid: str) -> str:
    """Where libvirt keeps the state of a VM's emulated TPM, in a folder for each version."""
    return f"/var/lib/libvirt/swtpm/{uuid}"


def fetch(connection: Any, source: str, target: str, *, mode: int | None = 0o600) -> int:
    """Copy the file ``source`` of the other hypervisor to ``target`` here, whole or not at all; its bytes.

    :param mode: who may read it here; None: those who may there
    """
    partial = Path(f"{target}.{uuid.uuid4().hex[:8]}.partial")
    partial.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    try:
        with _volume(connection, source) as volume, told(f"fetching {source}"), partial.open("wb") as file:
            partial.chmod(_mode(volume) if mode is None else mode)
            stream = connection.newStream()
            volume.download(stream, 0, 0, 0)
            while piece := stream.recv(_PIECE):
                file.write(piece)
            stream.finish()
            file.flush()
            os.fsync(file.fileno())
        size = partial.stat().st_size
        partial.replace(target)
        return size
    except OSError as error:
        raise BackendError(
            f"{target} cannot be written ({error.strerror})", remedy="free some space here and run it again"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _mode(volume: Any) -> int:
    """Reading and writing as at the other hypervisor; root alone where that is not told."""
    told_mode = ET.fromstring(volume.XMLDesc()).findtext("target/permissions/mode") or "0600"
    return int(told_mode, 8) & 0o666


def names_in(connection: Any, folder: str) -> list[str]:
    """Names of the files in a folder of the other hypervisor."""
    with _pool(connection, folder) as pool, told(f"listing {folder}"):
        found: list[str] = pool.listVolumes()
        return sorted(found)


def folders_in(connection: Any, folder: str) -> list[str]:
    """Names of the folders in a folder of the other hypervisor."""
    with _pool(connection, folder) as pool, told(f"listing {folder}"):
        return sorted(volume.name() for volume in pool.listAllVolumes() if volume.info()[0] == libvirt.VIR_STORAGE_VOL_DIR)


@contextlib.contextmanager
def _volume(connection: Any, path: str) -> Iterator[Any]:
    known = None
    with contextlib.suppress(libvirt.libvirtError):
        known = connection.storageVolLookupByPath(path)
    if known is not None:
        yield known
        return
    folder, name = path.rsplit("/", 1)
    with _pool(connection, folder) as pool:
        try:
            volume = pool.storageVolLookupByName(name)
        except libvirt.libvirtError as error:
            raise NotFoundError(f"{path} is not there ({one_line(error)})") from error
        yield volume


@contextlib.contextmanager
def _pool(connection: Any, folder: str) -> Iterator[Any]:
    """The pool over the folder, or one for as long as it is needed; libvirt allows one a folder, so another run's is waited for."""
    with told(f"looking for the pool over {folder}"):
        known = volumes.pool_paths(connection).get(folder.rstrip("/"), _OURS)
        if not known.startswith(_OURS):
            pool = volumes.active_pool(connection, known)
            volumes.refresh(pool)
            yield pool
            return
    root = ET.Element("pool", type="dir")
    ET.SubElement(root, "name").text = f"{_OURS}{uuid.uuid4().hex[:12]}"
    target = ET.SubElement(root, "target")
    ET.SubElement(target, "path").text = folder
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            pool = connection.storagePoolCreateXML(ET.tostring(root, encoding="unicode"), 0)
            break
        except libvirt.libvirtError as error:
            if "already" not in one_line(error) or time.monotonic() > deadline:
                raise NotFoundError(f"{folder} cannot be read ({one_line(error)})") from error
        time.sleep(0.2)
    try:
        yield pool
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            pool.destroy()
