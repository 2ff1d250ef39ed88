# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused before a VM is made or changed; reads the hypervisor, touches nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import InputError
from ...model import Disk, Nic, Site, Vm
from ...sizes import show_size
from . import metadata
from .connection import libvirt, told
from .domain_parts import disk_sources, macs
from .domains import Domain
from .host_capabilities import DomainCapabilities, memory_statistics

# Phases in which a migration's journal no longer holds the VM.
_SETTLED = ("completed", "released", "aborted")


def check_ownership(domain: Domain, hypervisor: str, adopt: bool) -> None:
    """Refuse a VM that is another's: of another hypervisor, in a migration, or not of the federation."""
    owner = domain.owner
    if owner is not None and owner.hypervisor != hypervisor:
        what = f"belongs to the hypervisor {owner.hypervisor} (epoch {owner.epoch}), and here is {hypervisor}"
        raise InputError(what, option="name", value=domain.name, remedy="ask its owner, or migrate it here")
    journal = metadata.read(domain.config, "migration") or metadata.read(domain.live, "migration")
    if journal is not None and journal.get("phase") not in _SETTLED:
        what = f"is being migrated ({journal.get('source')} to {journal.get('target')})"
        remedy = "bring the migration to its end with vm_migration, state completed or aborted"
        raise InputError(what, option="name", value=domain.name, remedy=remedy)
    if not adopt and not domain.adopted:
        remedy = "choose another name, or take the VM over with adopt=true"
        raise InputError("is a VM that the federation does not manage", option="name", value=domain.name, remedy=remedy)


def check_accelerator(domain: Domain, asked: str) -> None:
    """A VM keeps the accelerator that it was made with; ``auto`` asks for none."""
    present = "kvm" if domain.config.get("type") == "kvm" else "tcg"
    if asked not in ("auto", present):
        remedy = "leave it out, or create the VM anew"
        raise InputError(f"cannot be changed, the VM has {present}", option="accelerator", value=asked, remedy=remedy)


def check_size(conn: Any, vm: Vm, capabilities: DomainCapabilities) -> None:
    """vCPUs that the machine type can have, memory that the hypervisor has."""
    if vm.cpus > capabilities.most_cpus:
        remedy = f"use {capabilities.most_cpus} or fewer"
        raise InputError(f"is more than {capabilities.machine} can have", option="cpus", value=vm.cpus, remedy=remedy)
    total = memory_statistics(conn)["total"]
    if vm.memory > total:
        what = f"is more than the hypervisor has ({show_size(total)})"
        raise InputError(what, option="memory", value=vm.memory, remedy="use less")


def check_firmware(vm: Vm, capabilities: DomainCapabilities) -> None:
    if vm.firmware == "uefi" and not capabilities.has_uefi:
        remedy = "install OVMF (the package ovmf or edk2-ovmf) there, or use bios"
        raise InputError("is not installed on this hypervisor", option="firmware", value=vm.firmware, remedy=remedy)


def check_uuid(conn: Any, uuid: str) -> None:
    if not uuid:
        return
    try:
        taken = conn.lookupByUUIDString(uuid).name()
    except libvirt.libvirtError:
        return
    raise InputError(f"is the UUID of the VM {taken} already", option="uuid", value=uuid, remedy="leave it out for a new one")


def check_nics(conn: Any, site: Site, nics: Sequence[tuple[str, Nic]], other_macs: Iterable[str], must_run: bool) -> None:
    """Networks that are mapped, exist and (for a VM that will run) are active; MAC addresses that nobody else has."""
    taken = set(other_macs)
    for option, nic in nics:
        local = site.local_network(nic.network, f"{option}.network")
        try:
            active = bool(conn.networkLookupByName(local).isActive())
        except libvirt.libvirtError as error:
            what = f"is the network {local} here, which does not exist"
            remedy = "define it, or map the logical name to one that exists"
            raise InputError(what, option=f"{option}.network", value=nic.network, remedy=remedy) from error
        if must_run and not active:
            what = f"is the network {local} here, which is not active"
            raise InputError(what, option=f"{option}.network", value=nic.network, remedy="start the network")
        if nic.mac in taken:
            remedy = "leave it out for a new one"
            raise InputError("is the address of another VM here", option=f"{option}.mac", value=nic.mac, remedy=remedy)


def check_kept(current: Vm, target: Vm, option_of: dict[str, str]) -> None:
    """Refuse changes that would need another VM: identity, firmware, and what a disk is.

    :param option_of: where each disk was written, by its name
    """
    for key in ("uuid", "firmware"):
        if getattr(current, key) != getattr(target, key):
            remedy = f"leave it out or keep {getattr(current, key)}"
            raise InputError("cannot be changed once the VM exists", option=key, value=getattr(target, key), remedy=remedy)
    present = {disk.name: disk for disk in current.disks}
    for disk in target.disks:
        if disk.name in present:
            _check_disk_kept(present[disk.name], disk, option_of.get(disk.name, "disks"))


def _check_disk_kept(old: Disk, new: Disk, option: str) -> None:
    for key in ("storage", "format", "bus"):
        if getattr(old, key) != getattr(new, key):
            what = f"cannot be changed, it is {getattr(old, key) or 'not mapped by this site'}"
            remedy = "leave it out, or add a disk of another name"
            raise InputError(what, option=f"{option}.{key}", value=getattr(new, key), remedy=remedy)
    if new.image is not None and old.image is not None and new.image != old.image:
        remedy = f"leave it out or keep {old.image}: an image is only copied when a disk is made"
        raise InputError("cannot be changed", option=f"{option}.image", value=new.image, remedy=remedy)
    if new.size < old.size:
        what = f"is smaller than the disk, which has {old.size} bytes ({show_size(old.size)})"
        raise InputError(what, option=f"{option}.size", value=new.size, remedy="keep its size or make it larger")


def removable_paths(conn: Any, domain: Domain, names: Iterable[str]) -> list[str]:
    """Paths of the volumes behind these disks; InputError when one is in no pool, or another VM uses it."""
    others = list(_other_roots(conn, domain.name))
    paths = []
    for name in names:
        path = domain.sources.get(name)
        try:
            conn.storageVolLookupByPath(path or "")
        except libvirt.libvirtError as error:
            remedy = "remove it by hand, then use remove_disks=false"
            raise InputError(
                f"the disk {name} ({path}) is in no active pool", option="remove_disks", value=True, remedy=remedy
            ) from error
        used_by = next((root.findtext("name") for root in others if path in disk_sources(root).values()), None)
        if used_by is not None:
            remedy = "use remove_disks=false, or take it from that VM first"
            raise InputError(
                f"the disk {name} ({path}) is used by the VM {used_by} too", option="remove_disks", value=True, remedy=remedy
            )
        paths.append(str(path))
    return paths


def other_macs(conn: Any, name: str) -> set[str]:
    """MAC addresses of all VMs here but one, running or not."""
    return {mac for root in _other_roots(conn, name) for mac in macs(root)}


def _other_roots(conn: Any, name: str) -> Iterable[ET.Element]:
    """XML of the other VMs: as they run, and as they will start."""
    with told("listing the VMs"):
        for handle in conn.listAllDomains():
            if handle.name() == name:
                continue
            yield ET.fromstring(handle.XMLDesc())
            if handle.isActive() and handle.isPersistent():
                yield ET.fromstring(handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
