# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains: finding, reading and powering them, and the calls that change a running one."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
import xml.etree.ElementTree as ET
from typing import Any, Callable

from ...errors import BackendError, NotFoundError
from ...model import Owner, Site, Vm, VmStatus
from . import addresses, metadata, states, volumes
from .connection import libvirt, told
from .domain_parts import disk_sources, macs, target
from .domain_xml import read_vm

_POLL = 0.25  # seconds
_ASK_AGAIN = 10.0  # seconds between requests to shut down
_UNPLUG_TIME = 15.0  # seconds that a guest has to let go of a device
_BALLOON_TIME = 5.0  # seconds that a guest has to give memory back or take it
_NEXT_START = "the VM has the change from its next start on"


class Domain:
    """One existing domain, read once; ``live`` and ``config`` are its XML now and at its next start."""

    def __init__(self, conn: Any, domain: Any) -> None:
        self._conn = conn
        self.handle = domain
        with told("reading a VM"):
            self.name: str = domain.name()
            self.uuid: str = domain.UUIDString()
            self.persistent = bool(domain.isPersistent())
            self.state = states.word(domain.state()[0])
            self.active = bool(domain.isActive())
            self.live = ET.fromstring(domain.XMLDesc())
            flags = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE
            # With its secrets, because what is defined again must not lose them.
            self.config = ET.fromstring(domain.XMLDesc(flags)) if self.persistent else self.live
            self._autostart = bool(domain.autostart()) if self.persistent else False

    @property
    def owner(self) -> Owner | None:
        """What the metadata says; None when it says nothing that has an owner's shape."""
        return metadata.read_owner(self.config)

    @property
    def journal(self) -> dict[str, Any] | None:
        """Of a migration, as it was written; None for none."""
        return metadata.read(self.config, "migration")

    @property
    def managed(self) -> bool:
        return metadata.read(self.config, "vm") is not None

    @property
    def adopted(self) -> bool:
        """Whether it is the federation's and has an owner."""
        return self.managed and self.owner is not None

    @property
    def cloud_init(self) -> str:
        """The digest of what its guest was given."""
        return metadata.seed_digest(self.config)

    @property
    def sources(self) -> dict[str, str]:
        """Path of each disk at the next start, by the disk's name."""
        return disk_sources(self.config)

    def vm(self, site: Site, pools: dict[str, str], *, live: bool = False) -> Vm:
        """The portable spec, with exact disk sizes; as it will start, or as it runs."""
        root = self.live if live else self.config
        sizes = volumes.volume_sizes(self._conn, disk_sources(root).values())
        return dataclasses.replace(read_vm(root, site, pools, sizes), autostart=self._autostart)

    def status(self, site: Site, pools: dict[str, str], leases: dict[str, list[str]]) -> VmStatus:
        found = addresses.best_first(leases, macs(self.live)) if self.state == "running" else []
        if self.state == "running" and not found:
            found = addresses.asked(self.handle, macs(self.live), addresses.has_agent(self.live))
        return VmStatus(
            state=self.state,
            vm=self.vm(site, pools),
            owner=self.owner,
            addresses=tuple(found),
            persistent=self.persistent,
            managed=self.managed,
            cloud_init=self.cloud_init,
        )


def find(conn: Any, name: str) -> Domain | None:
    """The domain of that name as it is now, or None."""
    try:
        with told(f"looking up the VM {name}"):
            return Domain(conn, conn.lookupByName(name))
    except NotFoundError:
        return None


def every(conn: Any) -> list[Domain]:
    """All domains by name; one that goes away meanwhile is left out."""
    with told("listing the VMs"):
        handles = conn.listAllDomains()
    read = []
    for handle in handles:
        with contextlib.suppress(NotFoundError):
            read.append(Domain(conn, handle))
    return sorted(read, key=lambda domain: domain.name)


def start(handle: Any, name: str) -> None:
    with told(f"starting the VM {name}", remedy="mend the cause and run again; the VM is defined, and off"):
        handle.create()


def resume(handle: Any, name: str) -> None:
    with told(f"resuming the VM {name}"):
        handle.resume()


def stop(handle: Any, name: str, timeout: int, force: bool) -> None:
    """Ask the guest to shut down and wait ``timeout`` seconds; then cut the power if ``force``, else BackendError."""
    with told(f"shutting down the VM {name}"):
        paused = handle.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        if not paused and timeout > 0 and _shut_down(handle, timeout):
            return
        if force:
            handle.destroy()
            return
    remedy = "let it run longer with shutdown_timeout, or cut its power with force=true"
    raise BackendError(f"the guest of VM {name} did not shut down within {timeout} s", remedy=remedy)


def _shut_down(handle: Any, timeout: float) -> bool:
    """Whether it is off in time. The request is repeated: a guest that is still booting loses it."""
    end = time.monotonic() + timeout
    asked = 0.0
    while time.monotonic() < end:
        if not handle.isActive():
            return True
        if time.monotonic() - asked > _ASK_AGAIN:
            with contextlib.suppress(libvirt.libvirtError):
                handle.shutdown()
            asked = time.monotonic()
        time.sleep(_POLL)
    return not handle.isActive()


def undefine(handle: Any, name: str, *, remove_nvram: bool) -> None:
    """Forget a domain that is off, with its saved memory and the metadata of snapshots; never its disks."""
    flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    flags |= libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM if remove_nvram else libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
    with told(f"undefining the VM {name}"):
        handle.undefineFlags(flags)


def define(conn: Any, root: ET.Element) -> Any:
    """The virDomain of this XML, new or changed."""
    with told(f"defining the VM {root.findtext('name')}"):
        return conn.defineXMLFlags(ET.tostring(root, encoding="unicode"), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)


def show_live(handle: Any, description: str, payloads: dict[str, dict[str, Any] | None]) -> None:
    """Description and metadata (by kind, None for none) in the running domain, as its persistent XML has them already."""
    live = libvirt.VIR_DOMAIN_AFFECT_LIVE
    with told(f"writing the metadata of VM {handle.name()}"):
        handle.setMetadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, description or None, None, None, live)
        for kind, payload in payloads.items():
            text = None if payload is None else metadata.element_text(kind, payload)
            handle.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, metadata.prefix(kind), metadata.namespace(kind), live)


def unplug(handle: Any, element: ET.Element, gone: Callable[[ET.Element], bool]) -> None:
    """Take a device from a running guest, which must let go of it; BackendError when it does not in time.

    :param gone: tells from the live XML that the device is not there any more
    """
    with told(f"unplugging a {element.tag} of VM {handle.name()}", remedy=_NEXT_START):
        handle.detachDeviceFlags(ET.tostring(element, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        end = time.monotonic() + _UNPLUG_TIME
        while time.monotonic() < end:
            if gone(ET.fromstring(handle.XMLDesc())):
                return
            time.sleep(_POLL)
    raise BackendError(f"the guest of VM {handle.name()} does not let go of a {element.tag}", remedy=_NEXT_START)


def plug(handle: Any, element: ET.Element) -> None:
    """Give a device to a running guest."""
    with told(f"plugging a {element.tag} into VM {handle.name()}", remedy=_NEXT_START):
        handle.attachDeviceFlags(ET.tostring(element, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def replug(handle: Any, element: ET.Element) -> None:
    """Change a device of a running guest where it is, such as the network behind a NIC."""
    with told(f"changing a {element.tag} of VM {handle.name()}", remedy=_NEXT_START):
        handle.updateDeviceFlags(ET.tostring(element, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def change_medium(handle: Any, drive: ET.Element) -> None:
    """What is in a drive of a running guest, though the guest may have locked it."""
    flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE
    with told(f"changing the disc in drive {target(drive)} of VM {handle.name()}", remedy=_NEXT_START):
        handle.updateDeviceFlags(ET.tostring(drive, encoding="unicode"), flags)


def set_link(handle: Any, nic: ET.Element, state: str) -> None:
    """Pull (``down``) or plug (``up``) the cable of a running guest's NIC."""
    changed = copy.deepcopy(nic)
    for old in changed.findall("link"):
        changed.remove(old)
    ET.SubElement(changed, "link", state=state)
    replug(handle, changed)


def set_live_cpus(handle: Any, cpus: int) -> None:
    with told(f"plugging vCPUs into VM {handle.name()}", remedy=_NEXT_START):
        handle.setVcpusFlags(cpus, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def set_live_memory(handle: Any, memory: int) -> None:
    """Bytes. The guest's balloon moves in its own time; a guest without one keeps what it has, which is no fault."""
    with told(f"changing the memory of VM {handle.name()}", remedy=_NEXT_START):
        handle.setMemoryFlags(memory // 1024, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        end = time.monotonic() + _BALLOON_TIME
        while time.monotonic() < end and handle.memoryStats().get("actual", 0) != memory // 1024:
            time.sleep(_POLL)


def grow_live_disk(handle: Any, disk: str, size: int) -> None:
    """Bytes."""
    with told(f"growing the disk {disk} of VM {handle.name()}"):
        handle.blockResize(disk, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
