# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pull-mode backups and checkpoints of a VM: how its disks are read while it runs, or while it is held paused."""

from __future__ import annotations

import contextlib
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BackendError, FederationError, NotFoundError
from ..facts import DiskFacts
from . import volumes
from .connection import libvirt, one_line, told
from .migration_end import MigrationEnd

CHECKPOINTS = "virt8ra-migration-"
_SCRATCH = ".virt8ra-scratch"
_EXPORT_SCRATCH = ".virt8ra-export"
_SCRATCH_FOLDER = "/var/lib/libvirt/qemu"  # for disks that are block devices; QEMU's own folder
_IN_USE = "in use"
_JOB_SECONDS = 60.0


@dataclass(frozen=True)
class Export:
    """Where the disks are served: each as an export of its device's name, with the bitmap ``changed`` where asked for."""

    address: str
    port: int
    bitmap: str


class LocalBackup:
    """A backup job whose disks are read on the same hypervisor, by a socket. Migrations take it for somebody else's and leave it alone."""

    def __init__(self, end: MigrationEnd) -> None:
        self._end = end

    def begin(self, disks: Sequence[DiskFacts]) -> str:
        """Freeze a view of the disks, all at the same instant; the path of the socket that serves it."""
        domain = self._end.domain()
        with told(f"finding the folder of VM {domain.name()}"):
            folders = sorted(Path(_SCRATCH_FOLDER).glob(f"domain-{domain.ID()}-*"))
        if not folders:
            raise BackendError(
                f"QEMU's folder of VM {domain.name()} is not in {_SCRATCH_FOLDER}", remedy="look whether it runs here"
            )
        socket = f"{folders[0]}/virt8ra-export.socket"
        # What a QEMU left that was killed.
        Path(socket).unlink(missing_ok=True)
        root = ET.Element("domainbackup", mode="pull")
        ET.SubElement(root, "server", transport="unix", socket=socket)
        holder = ET.SubElement(root, "disks")
        served = {disk.name: disk for disk in disks}
        with told(f"serving the disks of VM {domain.name()}", remedy="end the other job on it first, or wait for it"):
            for target in ET.fromstring(domain.XMLDesc()).findall("devices/disk/target"):
                name = target.get("dev", "")
                if name not in served:
                    ET.SubElement(holder, "disk", name=name, backup="no")
                    continue
                entry = ET.SubElement(holder, "disk", name=name, backup="yes", type="file", exportname=name)
                ET.SubElement(entry, "scratch", file=self._scratch(served[name]))
            domain.backupBegin(ET.tostring(root, encoding="unicode"), None, 0)
        return socket

    def _scratch(self, disk: DiskFacts) -> str:
        if disk.path.startswith("/dev/"):
            return f"{_SCRATCH_FOLDER}/{self._end.uuid}-{disk.name}{_EXPORT_SCRATCH}"
        return f"{disk.path}{_EXPORT_SCRATCH}"

    def end(self, disks: Sequence[DiskFacts]) -> None:
        """Stop serving, whoever began, and take the scratch files away; nothing to do where nothing is served."""
        _end_job(self._end, _EXPORT_SCRATCH)
        for disk in disks:
            # A QEMU that was killed leaves them.
            Path(self._scratch(disk)).unlink(missing_ok=True)


def _job_holds(end: MigrationEnd, scratch: str) -> bool:
    try:
        return scratch in end.domain().backupGetXMLDesc()
    except (libvirt.libvirtError, NotFoundError):
        return False


def _end_job(end: MigrationEnd, scratch: str) -> None:
    """End the backup job whose scratch files are named so, and return when it is gone."""
    if not _job_holds(end, scratch):
        return
    with contextlib.suppress(libvirt.libvirtError):
        end.domain().abortJob()
    deadline = time.monotonic() + _JOB_SECONDS
    while _job_holds(end, scratch):
        if time.monotonic() > deadline:
            raise BackendError(f"the backup job of VM {end.uuid} at {end.hypervisor} does not end")
        time.sleep(0.05)


class PullBackup:
    """The backup job and the checkpoints of one migration.

    :param address: the hypervisor's address, as others reach it
    :param ports: first and last port that may be listened on there
    :param migration: the journal's id; the names of the checkpoints hold it, so that no other tool's are touched
    """

    def __init__(self, end: MigrationEnd, address: str, ports: tuple[int, int], migration: str) -> None:
        self._end = end
        self._address = address
        self._ports = ports
        self._prefix = f"{CHECKPOINTS}{migration[:12]}-"

    def checkpoints(self) -> list[str]:
        """Names of this migration's checkpoints, oldest first."""
        domain = self._end.domain()
        with told(f"listing the checkpoints of VM {self._end.uuid}"):
            names = [checkpoint.getName() for checkpoint in domain.listAllCheckpoints()]
        return sorted((name for name in names if name.startswith(self._prefix)), key=self._number)

    def _number(self, name: str) -> int:
        tail = name[len(self._prefix) :]
        return int(tail) if tail.isdigit() else 0

    def next_checkpoint(self) -> str:
        names = self.checkpoints()
        return f"{self._prefix}{self._number(names[-1]) + 1 if names else 1}"

    def fault(self, checkpoint: str) -> str:
        """Why nothing can be told from the checkpoint; empty when libvirt finds its bitmaps whole. The VM must be active."""
        try:
            domain = self._end.domain()
            xml = domain.checkpointLookupByName(checkpoint).getXMLDesc(libvirt.VIR_DOMAIN_CHECKPOINT_XML_SECURE)
            flags = libvirt.VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE | libvirt.VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE
            domain.checkpointCreateXML(xml, flags)
        except libvirt.libvirtError as error:
            return one_line(error)
        return ""

    def begin(self, disks: Sequence[DiskFacts], *, since: str = "", checkpoint: str = "") -> Export:
        """Freeze a view of the disks and serve it under TLS; with ``since`` with what was written after that checkpoint.

        :param checkpoint: made at the same instant; empty for none
        :raises BackendError: with ``since``, mostly because the bitmaps are broken
        """
        marks = None if not checkpoint else _checkpoint_xml(checkpoint, disks)
        domain = self._end.domain()
        first, last = self._ports
        for port in range(last, first - 1, -1):
            try:
                domain.backupBegin(self._xml(disks, since, port), marks, 0)
                return Export(self._address, port, "changed" if since else "")
            except libvirt.libvirtError as error:
                if _IN_USE not in one_line(error):
                    raise BackendError(
                        f"serving the disks of VM {domain.name()} at {self._end.hypervisor} failed: {one_line(error)}"
                    ) from error
        raise BackendError(
            f"no port from {first} to {last} is free at {self._end.hypervisor}",
            remedy="wait for other migrations, or give more backup_ports",
        )

    def _xml(self, disks: Sequence[DiskFacts], since: str, port: int) -> str:
        root = ET.Element("domainbackup", mode="pull")
        if since:
            ET.SubElement(root, "incremental").text = since
        ET.SubElement(root, "server", transport="tcp", tls="yes", name=self._address, port=str(port))
        holder = ET.SubElement(root, "disks")
        for disk in disks:
            entry = ET.SubElement(holder, "disk", name=disk.name, backup="yes", type="file", exportname=disk.name)
            if since:
                entry.set("exportbitmap", "changed")
            ET.SubElement(entry, "scratch", file=self._scratch(disk))
        return ET.tostring(root, encoding="unicode")

    def _scratch(self, disk: DiskFacts) -> str:
        if disk.path.startswith("/dev/"):
            return f"{_SCRATCH_FOLDER}/{self._end.uuid}-{disk.name}{_SCRATCH}"
        return f"{disk.path}{_SCRATCH}"

    def is_active(self) -> bool:
        """Whether a backup job of this collection is there, whoever began it."""
        return _job_holds(self._end, _SCRATCH)

    def end(self) -> None:
        """Stop serving; libvirt takes the scratch files away. Nothing to do where nothing is served."""
        _end_job(self._end, _SCRATCH)

    def delete_checkpoints(self, *, but: str = "") -> None:
        """Delete this migration's checkpoints, with their bitmaps while the VM is active, oldest first."""
        domain = self._end.find()
        if domain is None:
            return
        for name in self.checkpoints():
            if name == but:
                continue
            with told(f"deleting checkpoint {name}"):
                checkpoint = domain.checkpointLookupByName(name)
                if domain.isActive():
                    # A QEMU that was killed took bitmaps with it that it had not written yet.
                    with contextlib.suppress(libvirt.libvirtError):
                        checkpoint.delete(0)
                        continue
                checkpoint.delete(libvirt.VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY)

    def delete_scratch(self, disks: Sequence[DiskFacts]) -> None:
        """Take away the scratch files that a QEMU left which was killed."""
        for disk in disks:
            if not disk.path.startswith("/dev/"):
                with contextlib.suppress(FederationError):
                    volumes.refresh(volumes.pool_of(self._end.connection, disk.path))
                    volumes.delete_volume(self._end.connection, self._scratch(disk))


def _checkpoint_xml(name: str, disks: Sequence[DiskFacts]) -> str:
    root = ET.Element("domaincheckpoint")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "description").text = "a migration of virt8ra.federation; it deletes this itself"
    holder = ET.SubElement(root, "disks")
    for disk in disks:
        ET.SubElement(holder, "disk", name=disk.name, checkpoint="bitmap")
    return ET.tostring(root, encoding="unicode")


def foreign_checkpoints(names: Sequence[str]) -> list[str]:
    """Checkpoints that are not a migration's."""
    return [name for name in names if not name.startswith(CHECKPOINTS)]


def job_of_another(domain: Any) -> str:
    """What the backup tool of somebody else is doing on the domain; empty when nothing."""
    try:
        xml = domain.backupGetXMLDesc()
    except libvirt.libvirtError:
        return ""
    return "" if _SCRATCH in xml else "a backup that this collection did not begin"
