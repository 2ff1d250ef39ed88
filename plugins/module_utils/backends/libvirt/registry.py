# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor's registry of owners, which its owner guard reads: who may start a VM there, whatever its XML says.

It is a folder that only root may enter and a libvirt pool, so that the other end of a migration can write it by libvirt's own
API under TLS. libvirt makes a volume of a name only once: that is the test-and-set by which one migration can win an epoch.

| file                   | holds                                | meaning                                                 |
|------------------------|--------------------------------------|---------------------------------------------------------|
| ``UUID.EPOCH.json``    | ``uuid, hypervisor, epoch, disks``   | the owner; the highest epoch counts                     |
| ``UUID.fence.json``    | ``uuid, migration, hypervisor``      | a migration has the VM stopped: nobody may start it     |
| ``UUID.permit.json``   | ``uuid, migration``                  | that migration may start it once, paused                |
| ``UUID.aside.json``    | ``uuid, records``                    | its snapshots, while it is migrated live                |
"""

from __future__ import annotations

import json
import uuid as uuidlib
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import MigrationBlocked, MigrationFailed
from ...model import Owner
from .connection import is_there_already, libvirt, one_line, told

POOL = "virt8ra-owners"
PROBE = "virt8ra-guard-probe-"
_FENCE, _PERMIT, _ASIDE = "fence", "permit", "aside"
_LONGEST = 64 * 2**20
_PIECE = 256 * 1024


@dataclass(frozen=True)
class Entry:
    """Who owns a VM, as one hypervisor was told; ``disks`` are the paths that its copy has there."""

    uuid: str
    owner: Owner
    disks: tuple[str, ...]


class Registry:
    """The registry of one hypervisor, here or far away.

    :param connection: an open virConnect to it
    """

    def __init__(self, connection: Any, hypervisor: str) -> None:
        self._connection = connection
        self._hypervisor = hypervisor

    def _pool(self) -> Any:
        try:
            pool = self._connection.storagePoolLookupByName(POOL)
            if not pool.isActive():
                pool.create(0)
            return pool
        except libvirt.libvirtError as error:
            raise MigrationBlocked(
                f"{self._hypervisor} has no owner registry ({one_line(error)})",
                remedy="run the kvm_host role there (playbooks/provision.yml)",
            ) from error

    def entry(self, uuid: str) -> Entry | None:
        """The entry of the highest epoch that was filled; a claim that was never filled has won nothing, for nobody acted on it."""
        pool = self._pool()
        for epoch in reversed(self._epochs(pool, uuid)):
            found = self._entry(pool, uuid, epoch)
            if found is not None:
                return found
        return None

    def _entry(self, pool: Any, uuid: str, epoch: int) -> Entry | None:
        """None where whoever claimed the epoch died before it was written down."""
        try:
            data = json.loads(self._read(pool, f"{uuid}.{epoch}.json"))
            return Entry(uuid, Owner(str(data["hypervisor"]), int(data["epoch"])), tuple(data["disks"]))
        except (ValueError, KeyError, TypeError):
            return None

    def _epochs(self, pool: Any, uuid: str) -> list[int]:
        with told(f"reading the owner registry of {self._hypervisor}"):
            names = pool.listVolumes()
        parts = [name.split(".") for name in names if name.startswith(uuid)]
        return sorted(int(part[1]) for part in parts if len(part) == 3 and part[1].isdigit())

    def claim(self, uuid: str, owner: Owner, disks: Sequence[str], *, resume: bool = False) -> None:
        """Write down that the VM is ``owner``'s from its epoch on; nothing to do where that is written already.

        :param resume: complete an entry that whoever began it never filled; only the holder of the VM's journal may
        :raises MigrationFailed: another owner has that epoch, or there is a later one
        """
        pool = self._pool()
        later = []
        for epoch in self._epochs(pool, uuid):
            if epoch > owner.epoch and self._entry(pool, uuid, epoch) is not None:
                later.append(epoch)
            elif epoch > owner.epoch and resume:
                self._delete(pool, f"{uuid}.{epoch}.json")
        if later:
            raise MigrationFailed(
                f"the VM has epoch {later[-1]} at {self._hypervisor}, later than {owner.epoch}", remedy="look who owns it now"
            )
        name = f"{uuid}.{owner.epoch}.json"
        content = {"uuid": uuid, "hypervisor": owner.hypervisor, "epoch": owner.epoch, "disks": list(disks)}
        if not self._create(pool, name, content):
            self._complete(pool, name, content, resume)
        for epoch in self._epochs(pool, uuid):
            if epoch < owner.epoch:
                self._delete(pool, f"{uuid}.{epoch}.json")

    def _complete(self, pool: Any, name: str, content: dict[str, Any], resume: bool) -> None:
        """The entry was there; it must be ours, or be made ours where it was left empty."""
        try:
            there = json.loads(self._read(pool, name))
        except ValueError:
            there = None
        if there is None and resume:
            self._delete(pool, name)
            if self._create(pool, name, content):
                return
        if there is None or there.get("hypervisor") != content["hypervisor"]:
            owner = "an unfinished claim" if there is None else there.get("hypervisor")
            raise MigrationFailed(
                f"epoch {content['epoch']} of the VM is {owner}'s at {self._hypervisor}",
                remedy="only one migration of a VM at a time can win",
            )

    def drop_unfilled(self, uuid: str) -> None:
        """Take away claims that were never filled; only the migration that has the VM fenced may."""
        pool = self._pool()
        for epoch in self._epochs(pool, uuid):
            if self._entry(pool, uuid, epoch) is None:
                self._delete(pool, f"{uuid}.{epoch}.json")

    def fence(self, uuid: str, migration: str, target: str) -> None:
        """Have nobody start the VM here until the migration is over. MigrationFailed where another one has it fenced."""
        pool = self._pool()
        name = f"{uuid}.{_FENCE}.json"
        if self._create(pool, name, {"uuid": uuid, "migration": migration, "hypervisor": target}):
            return
        try:
            there = json.loads(self._read(pool, name)).get("migration")
        except ValueError:
            there = None
        if there not in (None, migration):
            raise MigrationFailed(
                f"another migration of the VM is under way at {self._hypervisor}", remedy="complete or abort that one first"
            )
        if there is None:
            self._delete(pool, name)
            self._create(pool, name, {"uuid": uuid, "migration": migration, "hypervisor": target})

    def unfence(self, uuid: str) -> None:
        self._delete(self._pool(), f"{uuid}.{_FENCE}.json")

    def permit(self, uuid: str, migration: str) -> None:
        """Let that migration start the VM here once; the guard uses it up."""
        pool = self._pool()
        # The guard takes the file away by itself, which libvirt does not see.
        self._delete(pool, f"{uuid}.{_PERMIT}.json")
        self._create(pool, f"{uuid}.{_PERMIT}.json", {"uuid": uuid, "migration": migration})

    def revoke(self, uuid: str) -> None:
        self._delete(self._pool(), f"{uuid}.{_PERMIT}.json")

    def put_aside(self, uuid: str, records: Sequence[dict[str, Any]]) -> None:
        """Keep the records of a VM's snapshots, for whoever finishes its migration or takes it back."""
        self._create(self._pool(), f"{uuid}.{_ASIDE}.json", {"uuid": uuid, "records": list(records)})

    def aside(self, uuid: str) -> list[dict[str, Any]]:
        """What was put aside, in its order; empty for nothing, and where whoever began to has taken nothing out yet."""
        pool = self._pool()
        name = f"{uuid}.{_ASIDE}.json"
        with told(f"reading the owner registry of {self._hypervisor}"):
            if name not in pool.listVolumes():
                return []
        try:
            records: list[dict[str, Any]] = json.loads(self._read(pool, name))["records"]
        except ValueError:
            self.forget_aside(uuid)
            return []
        return records

    def forget_aside(self, uuid: str) -> None:
        self._delete(self._pool(), f"{uuid}.{_ASIDE}.json")

    def let_disks_go(self, uuid: str) -> None:
        """The VM's copy here is deleted: its owner stays written down, and its disks' paths are free for others."""
        entry = self.entry(uuid)
        if entry is not None and entry.disks:
            self._delete(self._pool(), f"{uuid}.{entry.owner.epoch}.json")
            self.claim(uuid, entry.owner, [])

    def forget(self, uuid: str) -> None:
        """Take away all that is written about a VM; silent where there is no registry."""
        try:
            pool = self._pool()
        except MigrationBlocked:
            return
        for epoch in self._epochs(pool, uuid):
            self._delete(pool, f"{uuid}.{epoch}.json")
        for kind in (_FENCE, _PERMIT, _ASIDE):
            self._delete(pool, f"{uuid}.{kind}.json")

    def _create(self, pool: Any, name: str, content: dict[str, Any]) -> bool:
        """False where a file of that name is there already."""
        data = json.dumps(content, sort_keys=True).encode()
        root = ET.Element("volume")
        ET.SubElement(root, "name").text = name
        ET.SubElement(root, "capacity", unit="bytes").text = str(len(data))
        target = ET.SubElement(root, "target")
        ET.SubElement(target, "format", type="raw")
        with told(f"writing {name} in the owner registry of {self._hypervisor}"):
            try:
                volume = pool.createXML(ET.tostring(root, encoding="unicode"))
            except libvirt.libvirtError as error:
                if not is_there_already(error):
                    raise
                return False
            stream = self._connection.newStream()
            volume.upload(stream, 0, len(data), 0)
            while data:
                # A stream takes what it has room for.
                data = data[stream.send(data[:_PIECE]) :]
            stream.finish()
        return True

    def _read(self, pool: Any, name: str) -> str:
        with told(f"reading {name} in the owner registry of {self._hypervisor}"):
            volume = pool.storageVolLookupByName(name)
            stream = self._connection.newStream()
            volume.download(stream, 0, 0, 0)
            read = bytearray()
            while len(read) < _LONGEST:
                piece = stream.recv(_PIECE)
                if not piece:
                    break
                read += piece
            stream.finish()
        return read.decode(errors="replace")

    def _delete(self, pool: Any, name: str) -> None:
        try:
            pool.storageVolLookupByName(name).delete(0)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
                return
            # The guard took the file away: libvirt has to see that before a new one can be made.
            with told(f"refreshing the owner registry of {self._hypervisor}"):
                pool.refresh(0)

    def check_guard(self) -> None:
        """Try to start a VM that the guard refuses by its name; MigrationBlocked where nobody refuses it, or another name is told."""
        name = f"{PROBE}{uuidlib.uuid4().hex[:12]}"
        xml = f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>1</memory><os><type>hvm</type></os></domain>"
        flags = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
        remedy = "run the kvm_host role there (playbooks/provision.yml)"
        try:
            domain = self._connection.createXML(xml, flags)
        except libvirt.libvirtError as error:
            if f"virt8ra owner guard of {self._hypervisor} is awake" in one_line(error):
                return
            raise MigrationBlocked(
                f"the owner guard at {self._hypervisor} does not answer as it should ({one_line(error)})", remedy=remedy
            ) from error
        with told(f"ending the probe {name}"):
            domain.destroy()
        raise MigrationBlocked(f"the owner guard at {self._hypervisor} is missing or not executable", remedy=remedy)
