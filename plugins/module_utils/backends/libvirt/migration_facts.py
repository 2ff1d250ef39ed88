# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What preflight must know of both ends, read through libvirt."""

from __future__ import annotations

import contextlib
import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any

from ...errors import NotFoundError
from ...model import Owner, Site, Vm
from ..facts import DiskFacts, SourceFacts, TargetFacts
from . import metadata, volumes
from .backend import LibvirtBackend
from .backup import foreign_checkpoints, job_of_another
from .connection import libvirt, one_line, told
from .domain_xml import read_vm
from .files import nvram_path
from .host_capabilities import has_tpm, memory_statistics
from .migration_end import MigrationEnd
from .registry import POOL as REGISTRY_POOL

_UNMOVABLE = {
    "hostdev": "a passed-through host device",
    "filesystem": "a shared host folder",
    "shmem": "shared memory",
}


def source_facts(end: MigrationEnd, site: Site) -> SourceFacts:
    """The VM at the source, with its disks' capacity and allocation in bytes."""
    domain = end.domain()
    with told(f"reading VM {end.uuid} at {end.hypervisor}"):
        root = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE))
        # What starts at the target after a warm or cold move is the persistent XML.
        next_start = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        disks = tuple(_disk(domain, element) for element in _movable_disks(root))
        persistent = bool(domain.isPersistent())
        snapshots = domain.snapshotNum()
        checkpoints = tuple(foreign_checkpoints([checkpoint.getName() for checkpoint in domain.listAllCheckpoints()]))
        backup = job_of_another(domain)
    observed = end.observe()
    vm = read_vm(root, site, volumes.pool_paths(end.connection), {disk.path: disk.capacity for disk in disks})
    owner = metadata.read_owner(root) or Owner("", 0)
    cpu = root.find("cpu")
    return SourceFacts(
        vm=vm,
        state=observed.state,
        busy=observed.busy,
        epoch=owner.epoch,
        owner=owner.hypervisor,
        virt_type=root.get("type", ""),
        cpu_mode="" if cpu is None else cpu.get("mode", ""),
        networks=tuple(_network(interface) for interface in root.findall("devices/interface")),
        disks=disks,
        persistent=persistent,
        snapshots=snapshots,
        checkpoints=checkpoints,
        backup=backup,
        unmovable=(*_unmovable(root), *_not_yet_there(root, next_start)),
        media={**_media(next_start), **_media(root)},
        nvram=_variables(root),
        tpm=root.find("devices/tpm/backend[@type='emulator']") is not None,
    )


def _variables(root: ET.Element) -> str:
    """Where the firmware's variables are: a definition that leaves the choice of firmware to libvirt names them only while it runs."""
    chosen_anew = root.find("os[@firmware='efi']") is not None and root.find("os/loader[@stateless='yes']") is None
    return root.findtext("os/nvram") or (nvram_path(root.findtext("name") or "") if chosen_anew else "")


def _movable_disks(root: ET.Element) -> Iterable[ET.Element]:
    return [disk for disk in root.findall("devices/disk") if disk.get("device", "disk") == "disk" and _path(disk)]


def _path(disk: ET.Element) -> str:
    source = disk.find("source")
    return "" if source is None else source.get("file") or source.get("dev") or ""


def _disk(domain: Any, element: ET.Element) -> DiskFacts:
    target, driver = element.find("target"), element.find("driver")
    name = "" if target is None else target.get("dev", "")
    capacity, allocation, _physical = domain.blockInfo(name)
    kind = "raw" if driver is None else driver.get("type", "raw")
    path = _path(element)
    connection = domain.connect()
    backing = _backing(connection, element, path)
    # What the files below hold is copied as well; one that no pool knows may hold all of it.
    below = [volumes.allocation(connection, file) for file in backing]
    allocation = min(capacity, allocation + sum(capacity if size is None else size for size in below)) if below else allocation
    bitmaps = kind == "qcow2" and volumes.holds_bitmaps(connection, path)
    return DiskFacts(name, path, kind, capacity, allocation, bitmaps, backing)


def _backing(connection: Any, element: ET.Element, path: str) -> tuple[str, ...]:
    """Files below a disk: as libvirt shows them of a running VM, else as its pools do."""
    shown = [source.get("file") or source.get("dev") or "" for source in element.findall(".//backingStore/source")]
    return tuple(file for file in shown if file) or tuple(volumes.backing_files(connection, path))


def _not_yet_there(root: ET.Element, next_start: ET.Element) -> Iterable[str]:
    now = {_path(disk) for disk in root.findall("devices/disk")}
    for disk in _movable_disks(next_start):
        if _path(disk) not in now:
            yield f"the disk {_path(disk)} from its next start on only"


def _media(root: ET.Element) -> dict[str, str]:
    found = {}
    for disk in root.findall("devices/disk"):
        target = disk.find("target")
        if disk.get("device", "disk") != "disk" and _path(disk) and target is not None:
            found[target.get("dev", "")] = _path(disk)
    return found


def _network(interface: ET.Element) -> str:
    source = interface.find("source")
    return "" if source is None else source.get("network", "")


def _unmovable(root: ET.Element) -> Iterable[str]:
    for tag, words in _UNMOVABLE.items():
        if root.find(f"devices/{tag}") is not None:
            yield words
    if root.find("devices/tpm/backend[@type='passthrough']") is not None:
        yield "the host's own TPM"
    for interface in root.findall("devices/interface"):
        if interface.get("type") in ("hostdev", "direct", "vhostuser", "vdpa"):
            yield f"an interface of type {interface.get('type')}"
    for disk in root.findall("devices/disk"):
        if disk.get("device", "disk") != "disk":
            continue
        if disk.get("type") not in ("file", "block"):
            yield f"a disk of type {disk.get('type')}"
        elif disk.find("shareable") is not None:
            yield f"the shared disk {_path(disk)}"


def target_facts(end: MigrationEnd, source_end: MigrationEnd, source: SourceFacts) -> TargetFacts:
    """The target as far as this VM asks of it."""
    connection = end.connection
    with told(f"reading {end.hypervisor}"):
        others = [domain for domain in connection.listAllDomains() if domain.UUIDString() != end.uuid]
        pools = connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
        names = [pool.name() for pool in pools if pool.name() != REGISTRY_POOL]
        networks = connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
        # free_bytes refreshes each pool, so that the volumes listed after it are those of now.
        free = {name: volumes.free_bytes(connection, name) for name in names}
        return TargetFacts(
            name_taken=any(domain.name() == source.vm.name for domain in others),
            copy_state=end.observe().state,
            free_memory=_free_memory(connection),
            pools=free,
            pool_types={name: volumes.pool_type(connection, name) for name in names},
            pool_paths={pool: path for path, pool in volumes.pool_paths(connection).items()},
            volumes=frozenset(
                f"{name}/{volume}" for name in names for volume in volumes.active_pool(connection, name).listVolumes()
            ),
            networks=frozenset(network.name() for network in networks),
            macs=frozenset(_macs(others)),
            cpu=_cpu_fault(connection, source_end, source),
            machine=_machine_fault(connection, source_end),
            tpm=not source.tpm or has_tpm(connection),
        )


def with_company(target: TargetFacts, vm: Vm, ends: tuple[MigrationEnd, MigrationEnd], sites: tuple[Site, Site]) -> TargetFacts:
    """What the VM's placement policy asks for beside: the target's devices and CPU features, the other VMs at both ends.

    :param ends: the target and the source; ``sites`` alike
    """
    rules = vm.rules
    here, there = (LibvirtBackend(end.connection, site, end.connection.getURI()) for end, site in zip(ends, sites))
    facts = here.facts(ends[0].hypervisor) if rules.devices or rules.cpu_features else None
    company = None
    if rules.labels or rules.affinity or any(trip.vm for trip in rules.round_trips):
        company = {end.hypervisor: [one.to_dict() for one in backend.vms()] for end, backend in zip(ends, (here, there))}
    return dataclasses.replace(target, site_facts=facts, company=company)


def _free_memory(connection: Any) -> int:
    """Bytes that can be had: free, buffers and page cache."""
    statistics = memory_statistics(connection)
    return sum(statistics.get(key, 0) for key in ("free", "buffers", "cached"))


def _macs(domains: list[Any]) -> Iterable[str]:
    for domain in domains:
        # A domain that went away meanwhile holds no address any more.
        with contextlib.suppress(libvirt.libvirtError):
            for mac in ET.fromstring(domain.XMLDesc()).findall("devices/interface/mac"):
                yield mac.get("address", "").lower()


def _cpu_fault(connection: Any, source_end: MigrationEnd, source: SourceFacts) -> str:
    root = ET.fromstring(source_end.xml())
    cpu = root.find("cpu")
    if cpu is None or cpu.find("model") is None:
        return ""
    try:
        result = connection.compareHypervisorCPU(None, None, None, source.virt_type, ET.tostring(cpu, encoding="unicode"), 0)
    except libvirt.libvirtError as error:
        return one_line(error)
    return "" if result in (libvirt.VIR_CPU_COMPARE_IDENTICAL, libvirt.VIR_CPU_COMPARE_SUPERSET) else "features are missing there"


def _machine_fault(connection: Any, source_end: MigrationEnd) -> str:
    root = ET.fromstring(source_end.xml())
    kind = root.find("os/type")
    if kind is None:
        return ""
    try:
        connection.getDomainCapabilities(None, kind.get("arch"), kind.get("machine"), root.get("type"))
    except libvirt.libvirtError as error:
        return one_line(error)
    return ""


def find_uuid(ends: Iterable[MigrationEnd], name: str) -> str:
    """The UUID of the VM at the first end that has it; NotFoundError names the ends where it was looked for."""
    looked: list[str] = []
    for end in ends:
        looked.append(end.hypervisor)
        with contextlib.suppress(NotFoundError), told(f"looking for VM {name} at {end.hypervisor}"):
            return str(end.connection.lookupByName(name).UUIDString())
    remedy = "check the name, and where the VM is now"
    raise NotFoundError(f"is neither at {' nor at '.join(looked)}", option="name", value=name, remedy=remedy)
