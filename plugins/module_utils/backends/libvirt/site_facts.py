# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of one hypervisor: capacity, CPU, versions, pools, networks, health. Sizes are bytes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from ...errors import FederationError
from ...model import Site
from . import volumes
from .connection import libvirt, told
from .host_capabilities import Accelerator, DomainCapabilities, choose_accelerator, machine_types, memory_statistics
from .registry import POOL as REGISTRY_POOL

_FULL = 0.9  # part of a pool in use from which it is a fault of health


def read(conn: Any, site: Site, uri: str) -> dict[str, Any]:
    """``{capacity, cpu, machine_types, versions, pools, networks, healthy, faults}``; nothing of it is changed."""
    accelerator = choose_accelerator(conn, "auto", uri)
    with told("reading the hypervisor"):
        pools = [_pool(conn, pool, site) for pool in conn.listAllStoragePools() if pool.name() != REGISTRY_POOL]
        networks = [_network(network, site) for network in conn.listAllNetworks()]
        faults = [*_mapping_faults(site, pools, networks), *_pool_faults(pools)]
        if accelerator.warning:
            faults.append(accelerator.warning)
        return {
            "hostname": conn.getHostname(),
            "capacity": _capacity(conn),
            "cpu": _cpu(conn, accelerator),
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


def _cpu(conn: Any, accelerator: Accelerator) -> dict[str, Any]:
    capabilities = DomainCapabilities(conn, accelerator)
    host = ET.fromstring(conn.getCapabilities()).find("host/cpu")
    try:
        baseline = capabilities.baseline()
        computed: dict[str, Any] = {
            "model": baseline.model,
            "features": [{"policy": policy, "name": name} for policy, name in baseline.features],
        }
    except FederationError:
        # A host whose CPU libvirt cannot name has none; its named models are still true.
        computed = {"model": "", "features": []}
    return {
        "model": "" if host is None else host.findtext("model") or "",
        "vendor": "" if host is None else host.findtext("vendor") or "",
        "accelerator": accelerator.name,
        "baseline": computed,
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
