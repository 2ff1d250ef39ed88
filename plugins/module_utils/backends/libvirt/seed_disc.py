# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disc with a VM's cloud-init data: a volume beside its first disk, in a drive of its own.

Only the digest of what was asked for is in the metadata; the disc itself holds secrets, and is for root and QEMU alone.
"""

from __future__ import annotations

import contextlib
import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from ...cloud_init.seed import CloudInit, seed_volume
from ...errors import FederationError, InputError
from ...model import Disk, Site, Vm
from .. import nocloud
from . import domain_edit, domain_parts, domains, metadata, volumes
from .connection import told

KIND = "cloud_init"
_OPTION = "cloud_init"


def drive_of(root: ET.Element) -> ET.Element | None:
    """The drive of the disc, by the metadata."""
    device = (metadata.read(root, KIND) or {}).get("device")
    drives = (element for element in root.iterfind("devices/disk[@device='cdrom']") if domain_parts.target(element) == device)
    return next(drives, None)


def path_of(root: ET.Element) -> str:
    """Of the disc in its drive; empty without."""
    drive = drive_of(root)
    return "" if drive is None else domain_parts.source_path(drive)


def waits(running: ET.Element, config: ET.Element) -> bool:
    """Whether a running guest has the drive from its next start on only."""
    drive = drive_of(config)
    devices = [domain_parts.target(element) for element in running.iterfind("devices/disk[@device='cdrom']")]
    return drive is not None and domain_parts.target(drive) not in devices


def paths_in(xml: str) -> list[str]:
    """The path of the disc, in the XML of a domain; none where it has none."""
    path = path_of(ET.fromstring(xml))
    return [path] if path else []


class SeedDisc:
    """What becomes of the disc of one VM. The constructor refuses what cannot be, and touches nothing.

    :param root: the VM's persistent XML; None for a VM that does not exist yet
    :param asked: None leaves the disc as it is
    """

    def __init__(self, conn: Any, site: Site, vm: Vm, asked: CloudInit | None, root: ET.Element | None = None) -> None:
        self._conn = conn
        self._vm = vm
        self._asked = asked
        self._path = "" if root is None else path_of(root)
        self.before = "" if root is None else metadata.seed_digest(root)
        self.after = self.before
        self.changed = False
        if asked is None:
            return
        self.after = "" if asked.empty else asked.digest(vm.name)
        self.changed = self.after != self.before or bool(self.after and volumes.volume_behind(conn, self._path) is None)
        if self.changed and self.after:
            nocloud.check_library()
            self._pool = self._checked_pool(site)

    def _checked_pool(self, site: Site) -> str:
        """The pool of the first disk, unless a disc is in another one already."""
        volume = volumes.volume_behind(self._conn, self._path)
        if volume is not None:
            with told(f"looking up the pool of {self._path}"):
                return str(volume.storagePoolLookupByVolume().name())
        if not self._vm.disks:
            remedy = "give the VM a disk"
            raise InputError("has no place: its disc is kept beside the VM's first disk", option=_OPTION, remedy=remedy)
        pool = site.local_storage(self._vm.disks[0].storage, "disks[0].storage")
        if volumes.find_volume(self._conn, pool, seed_volume(self._vm.name)) is not None:
            what = f"has no place: the pool {pool} has a volume {seed_volume(self._vm.name)} already"
            raise InputError(what, option=_OPTION, remedy="delete that volume if nobody needs it, or give the VM another name")
        return pool

    @contextlib.contextmanager
    def made(self, uuid: str) -> Iterator[None]:
        """Make the disc in the place of an older one, or take it away; should the block fail, one that is new goes again.

        Where it cannot be made there is none, and the next run makes it.
        """
        old = self._path
        if self.changed and self._asked is not None:
            content = nocloud.disc(self._asked.files(self._vm.name, uuid)) if self.after else b""
            remove(self._conn, old)
            name = posixpath.basename(old) or seed_volume(self._vm.name)
            self._path = volumes.upload_volume(self._conn, self._pool, name, content) if self.after else ""
        try:
            yield
        except BaseException:
            if self._path and not old:
                with contextlib.suppress(FederationError):
                    remove(self._conn, self._path)
            raise

    def payload(self, root: ET.Element) -> dict[str, Any] | None:
        """The metadata, once the drive is in the XML."""
        if not self.after:
            return None
        drive = drive_of(root)
        device = _free_device(root) if drive is None else domain_parts.target(drive)
        return {"device": device, "digest": self.after}

    def edit(self, root: ET.Element) -> None:
        """Put the disc that was written (or none) into the XML of the VM, with its drive and the metadata."""
        payload = self.payload(root)
        old = drive_of(root)
        bus = "scsi" if self._asked is None else self._asked.bus
        if old is not None:
            bus = domain_parts.bus(old)
            domain_edit.remove_disk(root, old)
        metadata.write(root, KIND, payload)
        if payload is not None:
            domain_edit.add_drive(root, domain_edit.drive_element(root, payload["device"], bus, self._path))

    def waits(self, running: ET.Element) -> bool:
        """Whether a running guest has the drive from its next start on only."""
        return bool(self.after) and drive_of(running) is None

    def change_live(self, handle: Any, running: ET.Element, root: ET.Element) -> None:
        """Give a running guest the disc of the definition, where it has the drive."""
        drive, wanted = drive_of(running), drive_of(root)
        if drive is not None and wanted is not None:
            domains.change_medium(handle, wanted)

    def eject_live(self, handle: Any, running: ET.Element) -> None:
        """Take the disc from a running guest, before it is written anew."""
        drive = drive_of(running)
        if drive is not None and domain_parts.source_path(drive):
            domains.change_medium(handle, domain_edit.without_medium(drive))


def _free_device(root: ET.Element) -> str:
    """The last letter that no disk or drive has."""
    taken = {domain_parts.target(element) for element in root.iterfind("devices/disk")}
    return next(device for device in (f"sd{letter}" for letter in "zyxwvutsrqponmlkjihgfedcba") if device not in taken)


def check_names(root: ET.Element, added: list[tuple[str, Disk]]) -> None:
    """Refuse a new disk with the name of a drive."""
    drives = [element for element in root.iterfind("devices/disk") if element.get("device", "disk") not in ("disk", "lun")]
    taken = {domain_parts.target(element) for element in drives}
    for option, disk in added:
        if disk.name in taken:
            raise InputError(
                "is the name of a drive of the VM", option=f"{option}.name", value=disk.name, remedy="use another name"
            )


def remove(conn: Any, path: str) -> None:
    """Delete the disc at a path; one that is gone already is no fault."""
    volume = volumes.volume_behind(conn, path)
    if volume is not None:
        with told(f"deleting the volume {path}"):
            volume.delete()
