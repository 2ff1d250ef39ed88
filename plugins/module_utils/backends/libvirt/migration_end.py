# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One end of a migration, as libvirt shows it: reading its state, starting, watching and stopping the move."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from ...errors import NotFoundError, UnreachableError
from ...model import Observed
from . import metadata, states
from .connection import libvirt, told, within

T = TypeVar("T")
_ANSWER_SECONDS = 35.0  # longer than libvirt waits for a domain that is in use


@dataclass(frozen=True)
class LiveOptions:
    """How a live migration is run. ``bandwidth`` in MiB/s for each stream (0: no cap)."""

    uri: str
    migrate_uri: str
    tls_destination: str
    domain_xml: str
    persistent_xml: str
    disks: tuple[str, ...]
    bandwidth: int = 0
    auto_converge: bool = True
    tls: bool = True


class MigrationEnd:
    """A hypervisor, asked about one domain (by UUID, which both ends share).

    :param connect: opens a connection; called again when the daemon went away meanwhile
    """

    def __init__(self, connect: Callable[[], Any], hypervisor: str) -> None:
        self._connect = connect
        self._connection = connect()
        self.hypervisor = hypervisor
        self.uuid = ""

    @property
    def connection(self) -> Any:
        """The virConnect; a new one where the old one is dead. UnreachableError when there is none to be had."""
        try:
            alive = self._connection.isAlive()
        except libvirt.libvirtError:
            alive = False
        if not alive:
            self._connection = self._connect()
        return self._connection

    def domain(self) -> Any:
        with told(f"looking up VM {self.uuid} at {self.hypervisor}"):
            return self.connection.lookupByUUIDString(self.uuid)

    def find(self) -> Any | None:
        """The domain, or None when this end has none of that UUID."""
        try:
            return self.domain()
        except NotFoundError:
            return None

    def observe(self) -> Observed:
        """The end as it is now; one that does not answer, not even on a new connection, reads as unreachable."""
        try:
            domain = self.connection.lookupByUUIDString(self.uuid)
            state, reason = domain.state()
            busy, stuck = (False, False) if state == libvirt.VIR_DOMAIN_SHUTOFF else _job(domain)
        except libvirt.libvirtError as error:
            return Observed("absent" if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN else "unreachable")
        except UnreachableError:
            return Observed("unreachable")
        name = states.word(state)
        incoming = (libvirt.VIR_DOMAIN_PAUSED_MIGRATION, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)
        return Observed(
            name,
            migrated=name == "stopped" and reason == libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED,
            arrived=name == "paused" and reason not in incoming,
            busy=busy,
            stuck=stuck,
            died=name == "crashed" or (name == "stopped" and reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED),
        )

    def xml(self, *, persistent: bool = False) -> str:
        """The domain's XML with its secrets: live and migratable, or as it would start the next time."""
        flags = libvirt.VIR_DOMAIN_XML_SECURE
        flags |= libvirt.VIR_DOMAIN_XML_INACTIVE if persistent else libvirt.VIR_DOMAIN_XML_MIGRATABLE
        with told(f"reading the XML of VM {self.uuid} at {self.hypervisor}"):
            xml: str = self.domain().XMLDesc(flags)
            return xml

    def read_metadata(self, kind: str) -> dict[str, Any] | None:
        """The payload at this end; None when the domain or the payload is not there."""
        domain = self.find()
        if domain is None:
            return None
        with told(f"reading metadata {kind} of VM {self.uuid} at {self.hypervisor}"):
            return metadata.read(ET.fromstring(domain.XMLDesc()), kind)

    def write_metadata(self, kind: str, payload: dict[str, Any] | None) -> None:
        """Into the running domain, where it runs, and into its persistent XML."""
        domain = self.domain()
        text = None if payload is None else metadata.element_text(kind, payload)
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        with told(f"writing metadata {kind} of VM {self.uuid} at {self.hypervisor}"):
            if domain.isActive():
                flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
            element = libvirt.VIR_DOMAIN_METADATA_ELEMENT
            domain.setMetadata(element, text, metadata.prefix(kind), metadata.namespace(kind), flags)

    def autostart(self) -> bool:
        with told(f"reading the autostart of VM {self.uuid} at {self.hypervisor}"):
            return bool(self.domain().autostart())

    def set_autostart(self, wanted: bool) -> None:
        if self.autostart() == wanted:
            return
        with told(f"setting the autostart of VM {self.uuid} at {self.hypervisor}"):
            self.domain().setAutostart(int(wanted))

    def migrate(self, options: LiveOptions) -> None:
        """Push the domain to the other end and return when libvirt is done; it arrives there paused."""
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_PERSIST_DEST
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK | libvirt.VIR_MIGRATE_PAUSED
        if options.tls:
            flags |= libvirt.VIR_MIGRATE_TLS
        if options.auto_converge:
            flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
        parameters: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_URI: options.migrate_uri,
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: options.domain_xml,
            libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: options.persistent_xml,
            libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS: list(options.disks),
        }
        if options.tls:
            parameters[libvirt.VIR_MIGRATE_PARAM_TLS_DESTINATION] = options.tls_destination
        if options.bandwidth:
            parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = options.bandwidth
        with told(f"migrating VM {self.uuid} from {self.hypervisor}"):
            self.domain().migrateToURI3(options.uri, parameters, flags)

    def set_max_downtime(self, milliseconds: int) -> bool:
        """False as long as the job is not far enough to take it."""
        try:
            self._asked(lambda: self.domain().migrateSetMaxDowntime(milliseconds))
        except (libvirt.libvirtError, NotFoundError, UnreachableError):
            return False
        return True

    def job(self, *, completed: bool = False) -> dict[str, Any]:
        """libvirt's job statistics (bytes, ms); empty when there are none or the end does not answer."""
        # Without the second flag, to read the figures once would clear them.
        flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED if completed else 0
        try:
            statistics: dict[str, Any] = self._asked(lambda: self.connection.lookupByUUIDString(self.uuid).jobStats(flags))
        except (libvirt.libvirtError, UnreachableError):
            return {}
        return {} if statistics.get("type", 0) == libvirt.VIR_DOMAIN_JOB_NONE else statistics

    def abort_job(self) -> None:
        """Ask the job to end. Silent where it has ended, or has hold of the domain: what came of it is read afterwards."""
        with contextlib.suppress(libvirt.libvirtError, UnreachableError):
            self._asked(lambda: self.domain().abortJob())

    def suspend(self) -> None:
        with told(f"suspending VM {self.uuid} at {self.hypervisor}"):
            self._asked(lambda: self.domain().suspend())

    def _asked(self, call: Callable[[], T]) -> T:
        """What needs an answer of a QEMU that may have stopped answering: libvirt waits for it without an end."""
        return within(_ANSWER_SECONDS, call, f"asking the QEMU of VM {self.uuid} at {self.hypervisor}")

    def resume(self) -> None:
        with told(f"resuming VM {self.uuid} at {self.hypervisor}"):
            self.domain().resume()

    def cpu_time(self) -> int:
        """Nanoseconds of processor time the running domain has had."""
        with told(f"reading the processor time of VM {self.uuid} at {self.hypervisor}"):
            return int(self.domain().info()[4])

    def has_block_jobs(self) -> bool:
        """Whether a disk is still being copied; to be read by a backup is no copying."""
        domain = self.domain()
        with told(f"reading the block jobs of VM {self.uuid} at {self.hypervisor}"):
            targets = ET.fromstring(domain.XMLDesc()).findall("devices/disk[@device='disk']/target")
            jobs = [domain.blockJobInfo(target.get("dev")) for target in targets]
        return any(job and job["type"] != libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP for job in jobs)

    def define(self, xml: str) -> None:
        """Define the domain, or define it anew."""
        with told(f"defining VM {self.uuid} at {self.hypervisor}"):
            self.connection.defineXML(xml)

    def remove(self) -> None:
        """Stop and undefine the domain if it is there; its disks are not touched."""
        domain = self.find()
        if domain is None:
            return
        with told(f"removing the copy of VM {self.uuid} at {self.hypervisor}"):
            # A domain that was not persistent is gone as soon as it stops.
            persistent = domain.isPersistent()
            if domain.isActive():
                domain.destroy()
            if persistent:
                flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                flags |= libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
                domain.undefineFlags(flags)


def _job(domain: Any) -> tuple[bool, bool]:
    """Whether a job is active, and whether it lets nobody ask, for half a minute in which libvirt waited for it."""
    try:
        job = within(_ANSWER_SECONDS, domain.jobInfo, "asking for the job")
        return bool(job[0] != libvirt.VIR_DOMAIN_JOB_NONE), False
    except UnreachableError:
        return True, True
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_TIMEOUT:
            return True, True
        # Asked of the receiving end of a migration: the job is the sender's.
        if error.get_error_code() in (libvirt.VIR_ERR_OPERATION_UNSUPPORTED, libvirt.VIR_ERR_OPERATION_INVALID):
            return False, False
        raise
