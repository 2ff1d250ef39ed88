# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of a VM, put aside while it is migrated live, which libvirt refuses to do with them, and put back afterwards.

Only libvirt's records of them are taken out; what they hold stays in the disks. Meanwhile the records are in the source's registry,
before the first is taken out, so that whoever goes on with the migration can put them back.
"""

from __future__ import annotations

from typing import Any

from .connection import libvirt, told
from .migration_end import MigrationEnd
from .registry import Registry


class Snapshots:
    """The snapshots of the VM at its source."""

    def __init__(self, end: MigrationEnd) -> None:
        self._end = end

    @property
    def _registry(self) -> Registry:
        return Registry(self._end.connection, self._end.hypervisor)

    def put_aside(self) -> None:
        """Take libvirt's records of them out; nothing to do where there are none."""
        self.put_back()
        domain = self._end.domain()
        with told(f"putting aside the snapshots of VM {domain.name()} at {self._end.hypervisor}"):
            # Parents come first, as they must when they are put back.
            snapshots = domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL)
            records = [_record(snapshot) for snapshot in snapshots]
            if records:
                self._registry.put_aside(self._end.uuid, records)
            for snapshot in snapshots:
                snapshot.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)

    def put_back(self) -> None:
        """All that were put aside, each once; nothing to do where none were."""
        records = self._registry.aside(self._end.uuid)
        if not records:
            return
        domain = self._end.domain()
        with told(f"putting back the snapshots of VM {domain.name()} at {self._end.hypervisor}"):
            there = {snapshot.getName() for snapshot in domain.listAllSnapshots()}
            for record in records:
                if record["name"] not in there:
                    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
                    flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if record["current"] else 0
                    domain.snapshotCreateXML(record["xml"], flags)
        self._registry.forget_aside(self._end.uuid)


def _record(snapshot: Any) -> dict[str, Any]:
    xml = snapshot.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE)
    return {"name": snapshot.getName(), "current": bool(snapshot.isCurrent()), "xml": xml}
