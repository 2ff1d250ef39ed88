# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of one hypervisor: capacity, CPU, devices, versions, pools, networks, health. Sizes are bytes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from ...errors import FederationError
from ...model import Site
from . import domain_parts, domains, host_devices, volumes
from .connection import libvirt, told
from .domains import Domain
from .host_capabilities import Accelerator, DomainCapabilities, choose_accelerator, machine_types, memory_statistics
from .registry import POOL as REGISTRY_POOL

_FULL = 0.9  # part of a pool in use from which it is a fault of health


def read(conn: Any, site: Site, uri: str, hypervisor: str = "") -> dict[str, Any]:
    """Everything that ``site_info`` returns; it changes nothing.

    :param hypervisor: its name, so that copies of VMs that another one owns do not count as its own; empty: they do
    """
    accelerator = choose_accelerator(conn, "auto", uri)
    capabilities = DomainCapabilities(conn, accelerator)
    vms = domains.every(conn)
    with told("reading the hypervisor"):
        host = ET.fromstring(conn.getCapabilities())
        pools = [_pool(conn, pool, site) for pool in conn.listAllStoragePools() if pool.name() != REGISTRY_POOL]
        networks = [_network(network, site) for network in conn.listAllNetworks()]
        faults = [*_mapping_faults(site, pools, networks), *_pool_faults(pools)]
        if accelerator.warning:
            faults.append(accelerator.warning)
        return {
            "hostname": conn.getHostname(),
            "capacity": {**_capacity(conn), **_stopped(vms, hypervisor)},
            "cpu": _cpu(host, accelerator, capabilities),
            "host_cpu": capabilities.host_cpu(hypervisor).to_dict(),
            "firmware": ["bios", "uefi"] if capabilities.has_uefi else ["bios"],
            "devices": host_devices.read(conn, [root for vm in vms for root in (vm.live, vm.config)]),
            "numa": _numa(host),
            "machine_types": machine_types(conn),
            "versions": versions(conn),
            "pools": sorted(pools, key=lambda pool: str(pool["name"])),
            "networks": sorted(networks, key=lambda network: str(network["name"])),
            "healthy": not faults,
            "faults": faults,
        }


def versions(conn: Any) -> dict[str, str]:
    """Of libvirt and QEMU."""
    with told("reading the versions of the hypervisor"):
        return {"libvirt": _version(conn.getLibVersion()), "qemu": _version(conn.getVersion())}


def _capacity(conn: Any) -> dict[str, int]:
    """What the host has, what running VMs hold of it, and the memory that is free now."""
    info = conn.getInfo()
    statistics = memory_statistics(conn)
    running = [domain.info() for domain in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)]
    return {
        "cpus": info[2],
        "cpus_used": sum(domain[3] for domain in running),
        "memory": statistics["total"],
        "memory_used": sum(domain[1] for domain in running) * 1024,
        # What the page cache holds can be had.
        "memory_free": sum(statistics.get(key, 0) for key in ("free", "buffers", "cached")),
        "vms": conn.numOfDomains() + conn.numOfDefinedDomains(),
        "vms_running": len(running),
    }


def _stopped(vms: list[Domain], hypervisor: str) -> dict[str, int]:
    """What VMs that are off get when they are started; the copies that VMs left here when they moved on are only counted."""
    off = [vm for vm in vms if not vm.active]
    kept = [vm for vm in off if hypervisor and vm.owner is not None and vm.owner.hypervisor != hypervisor]
    own = [vm.config for vm in off if vm not in kept]
    return {
        "cpus_stopped": sum(domain_parts.cpus(root) for root in own),
        "memory_stopped": sum(domain_parts.most_memory(root) for root in own),
        "vms_kept": len(kept),
    }


def _numa(host: ET.Element) -> list[dict[str, Any]]:
    """``{id, cpus, memory}`` of each NUMA cell."""
    return [
        {
            "id": int(cell.get("id", "0")),
            "cpus": int(domain_parts.attribute(cell, "cpus", "num") or 0),
            "memory": domain_parts.most_memory(cell),
        }
        for cell in host.iterfind("host/topology/cells/cell")
    ]


def _cpu(host: ET.Element, accelerator: Accelerator, capabilities: DomainCapabilities) -> dict[str, Any]:
    try:
        computed, features = capabilities.baseline().to_dict(), capabilities.features([capabilities.host_model])
    except FederationError:
        # A host whose CPU libvirt cannot name has none; its named models are still true.
        computed, features = {"model": "", "features": []}, []
    return {
        "model": host.findtext("host/cpu/model") or "",
        "vendor": host.findtext("host/cpu/vendor") or "",
        "accelerator": accelerator.name,
        "baseline": computed,
        "features": features,
        "models": capabilities.cpu_models(),
        "most_cpus": capabilities.most_cpus,
        "uefi": capabilities.has_uefi,
    }


def _pool(conn: Any, pool: Any, site: Site) -> dict[str, Any]:
    active = bool(pool.isActive())
    free = volumes.free_bytes(conn, pool.name()) if active else 0
    _state, capacity, allocation, _available = pool.info()
    root = ET.fromstring(pool.XMLDesc())
    return {
        "name": pool.name(),
        "storage": sorted(logical for logical, local in site.storage.items() if local == pool.name()),
        "type": root.get("type", ""),
        "path": root.findtext("target/path") or "",
        "active": active,
        "capacity": capacity,
        "used": allocation,
        "free": free,
    }


def _network(network: Any, site: Site) -> dict[str, Any]:
    root = ET.fromstring(network.XMLDesc())
    forward = root.find("forward")
    bridge = root.find("bridge")
    return {
        "name": network.name(),
        "networks": sorted(logical for logical, local in site.networks.items() if local == network.name()),
        "forward": "isolated" if forward is None else forward.get("mode", "nat"),
        "bridge": "" if bridge is None else bridge.get("name", ""),
        "active": bool(network.isActive()),
    }


def _mapping_faults(site: Site, pools: list[dict[str, Any]], networks: list[dict[str, Any]]) -> list[str]:
    """Logical names behind which there is nothing that works."""
    faults = []
    for kind, mapping, present in (("storage pool", site.storage, pools), ("network", site.networks, networks)):
        found = {one["name"]: one["active"] for one in present}
        for logical, local in sorted(mapping.items()):
            if local not in found:
                faults.append(f"{logical} is mapped to the {kind} {local}, which does not exist")
            elif not found[local]:
                faults.append(f"{logical} is mapped to the {kind} {local}, which is not active")
    return faults


def _pool_faults(pools: list[dict[str, Any]]) -> list[str]:
    full = [pool for pool in pools if pool["capacity"] and pool["free"] < (1 - _FULL) * pool["capacity"]]
    return [f"the storage pool {pool['name']} is more than {_FULL:.0%} full" for pool in full]


def _version(number: int) -> str:
    """libvirt's 1000000 * major + 1000 * minor + release."""
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"
