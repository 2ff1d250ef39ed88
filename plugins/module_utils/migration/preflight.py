# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""May this VM go there? Pure: facts read from both ends in, a plan with blockers, warnings, steps and an estimate out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

from ..backends.facts import SourceFacts, TargetFacts
from ..errors import InputError
from ..model import Portable, Site
from ..sizes import show_size


@dataclass(frozen=True)
class Request:
    """What a person asked for; ``storage`` and ``networks`` change logical names on the way."""

    source: str
    target: str
    source_site: Site
    target_site: Site
    storage: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Blocker(Portable):
    """One reason why not, as one sentence with its remedy."""

    check: str
    message: str


@dataclass(frozen=True)
class Plan(Portable):
    """``disks`` maps a device to ``{storage, pool, path, volume, capacity, format}`` at the target, in the VM's order.

    ``networks`` are the target's own names, in the order of the VM's interfaces. ``estimate`` is in bytes.
    """

    vm: str
    source: str
    target: str
    blockers: tuple[Blocker, ...]
    warnings: tuple[str, ...]
    steps: tuple[str, ...]
    disks: dict[str, dict[str, Any]]
    networks: tuple[str, ...]
    estimate: dict[str, int]


def plan(request: Request, source: SourceFacts, target: TargetFacts) -> Plan:
    """The plan; it may be carried out only when it has no blockers."""
    blockers: list[Blocker] = []
    disks = _map_disks(request, source, target, blockers)
    networks = _map_networks(request, source, blockers)
    for check, judge in _CHECKS:
        message = judge(request, source, target)
        if message:
            blockers.append(Blocker(check, message))
    blockers += _room(disks, target) + _network_there(networks, request, target)
    return Plan(
        vm=source.vm.name,
        source=request.source,
        target=request.target,
        blockers=tuple(blockers),
        warnings=tuple(_warnings(source)),
        steps=tuple(_steps(request, source, disks)),
        disks=disks,
        networks=tuple(networks),
        estimate={
            "disk_bytes": sum(disk.allocation for disk in source.disks),
            "memory_bytes": source.vm.memory,
            "bytes": sum(disk.allocation for disk in source.disks) + source.vm.memory,
        },
    )


def _map_disks(request: Request, source: SourceFacts, target: TargetFacts, blockers: list[Blocker]) -> dict[str, dict[str, Any]]:
    logical = {disk.name: disk.storage for disk in source.vm.disks}
    mapped: dict[str, dict[str, Any]] = {}
    for disk in source.disks:
        storage = request.storage.get(logical.get(disk.name, ""), logical.get(disk.name, ""))
        pool = ""
        if not storage:
            message = f"disk {disk.name} at {disk.path} is in no pool that site {request.source_site.name} maps; map its pool in the federation file"
            blockers.append(Blocker("storage", message))
        else:
            try:
                pool = request.target_site.local_storage(storage, f"disk {disk.name}: storage")
            except InputError as error:
                blockers.append(Blocker("storage", str(error)))
        volume = disk.path.rsplit("/", 1)[-1]
        path = f"{target.pool_paths.get(pool, '')}/{volume}"
        mapped[disk.name] = {
            "storage": storage,
            "pool": pool,
            "path": path,
            "volume": volume,
            "capacity": disk.capacity,
            "format": disk.format,
        }
    return mapped


def _map_networks(request: Request, source: SourceFacts, blockers: list[Blocker]) -> list[str]:
    mapped: list[str] = []
    for nic, local in zip(source.vm.nics, source.networks):
        logical = request.networks.get(nic.network, nic.network)
        if not logical:
            message = f"network {local or 'of interface ' + nic.mac} is not mapped by site {request.source_site.name}; map it in the federation file"
            blockers.append(Blocker("network", message))
            mapped.append("")
            continue
        try:
            mapped.append(request.target_site.local_network(logical, f"interface {nic.mac}: network"))
        except InputError as error:
            blockers.append(Blocker("network", str(error)))
            mapped.append("")
    return mapped


def _running(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.state == "running":
        return ""
    return f"VM {source.vm.name} is {source.state} at {request.source}, and mode live moves running VMs only; start it first"


def _persistent(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.persistent:
        return ""
    return f"VM {source.vm.name} is transient, so no copy of it would stay at {request.source}; define it first"


def _idle(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    return f"a job is active on VM {source.vm.name} at {request.source}; wait for it or abort it" if source.busy else ""


def _owned(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.owner in ("", request.source):
        return ""
    return f"the owner of VM {source.vm.name} is {source.owner}, not {request.source}; migrate it from there"


def _name_free(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if not target.name_taken:
        return ""
    return f"another VM named {source.vm.name} is at {request.target}; rename or remove it there"


def _no_copy(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if target.copy_state == "absent":
        return ""
    return (
        f"a copy of VM {source.vm.name} ({target.copy_state}) is at {request.target}, kept by an earlier migration; "
        f"release that migration (state: released) before moving the VM back"
    )


def _resident(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    allowed = source.vm.allowed_countries
    country = request.target_site.country
    if not allowed or country in allowed:
        return ""
    return (
        f"VM {source.vm.name} may run in {', '.join(allowed)} only, and site {request.target_site.name} is in {country}; "
        f"choose a site in an allowed country or change the VM's allowed_countries"
    )


def _memory(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if target.free_memory >= source.vm.memory:
        return ""
    need, free = show_size(source.vm.memory), show_size(target.free_memory)
    return f"VM {source.vm.name} needs {need} of memory and {request.target} has {free} free; free some or choose another target"


def _cpu(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.cpu_mode in ("host-passthrough", "maximum"):
        return f"VM {source.vm.name} uses CPU mode {source.cpu_mode}, which ties it to one host; give it a named cpu_model and restart it"
    return (
        f"the CPU of VM {source.vm.name} does not fit {request.target}: {target.cpu}; choose a lower cpu_model"
        if target.cpu
        else ""
    )


def _machine(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if not target.machine:
        return ""
    return f"machine type {source.vm.machine} ({source.virt_type}) is not at {request.target}: {target.machine}; choose a type that both have"


def _snapshots(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.snapshots:
        return f"VM {source.vm.name} has {source.snapshots} snapshot(s), which cannot follow it; delete them first"
    if source.checkpoints:
        return f"VM {source.vm.name} has {source.checkpoints} backup checkpoint(s), which cannot follow it; delete them first"
    return ""


def _devices(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if not source.unmovable:
        return ""
    return f"VM {source.vm.name} has {', '.join(source.unmovable)}, which cannot follow it; detach it first"


def _macs(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    doubled = sorted(target.macs & {nic.mac for nic in source.vm.nics})
    return f"MAC address {doubled[0]} is in use at {request.target} already; change one of the two" if doubled else ""


_Check = Callable[[Request, SourceFacts, TargetFacts], str]
_CHECKS: tuple[tuple[str, _Check], ...] = (
    ("state", _running),
    ("transient", _persistent),
    ("job", _idle),
    ("owner", _owned),
    ("name", _name_free),
    ("copy", _no_copy),
    ("residency", _resident),
    ("memory", _memory),
    ("cpu", _cpu),
    ("machine", _machine),
    ("snapshots", _snapshots),
    ("devices", _devices),
    ("mac", _macs),
)


def _room(disks: dict[str, dict[str, Any]], target: TargetFacts) -> list[Blocker]:
    """Sums are taken by pool: two disks that fit one by one may not fit together."""
    blockers: list[Blocker] = []
    needed: dict[str, int] = {}
    for name, disk in disks.items():
        if not disk["pool"]:
            continue
        needed[disk["pool"]] = needed.get(disk["pool"], 0) + disk["capacity"]
        if f"{disk['pool']}/{disk['volume']}" in target.volumes:
            message = f"volume {disk['volume']} of disk {name} is in pool {disk['pool']} already; look whose it is and remove or rename it"
            blockers.append(Blocker("volume", message))
    for pool, size in needed.items():
        if pool not in target.pools:
            blockers.append(
                Blocker("storage", f"pool {pool} is not there or not active at the target; run the kvm_host role or start it")
            )
        elif target.pools[pool] < size:
            free = show_size(target.pools[pool])
            blockers.append(
                Blocker(
                    "storage", f"the disks need {show_size(size)} in pool {pool}, which has {free} free; free some or map another"
                )
            )
    return blockers


def _network_there(networks: list[str], request: Request, target: TargetFacts) -> list[Blocker]:
    missing = sorted({name for name in networks if name and name not in target.networks})
    text = "network {} is not there or not active at {}; run the kvm_host role or start it"
    return [Blocker("network", text.format(name, request.target)) for name in missing]


def _warnings(source: SourceFacts) -> list[str]:
    warnings = []
    if source.virt_type == "qemu":
        warnings.append(f"VM {source.vm.name} runs under TCG (no KVM), so it is slow")
    if not source.vm.allowed_countries:
        warnings.append(f"VM {source.vm.name} has no allowed_countries, so residency was not checked")
    return warnings


def _steps(request: Request, source: SourceFacts, disks: dict[str, dict[str, Any]]) -> list[str]:
    steps = [
        f"make volume {disk['volume']} ({show_size(disk['capacity'])}) in pool {disk['pool']} at {request.target}"
        for disk in disks.values()
    ]
    steps.append(
        f"copy {len(disks)} disk(s) and {show_size(source.vm.memory)} of memory from {request.source} to {request.target} under TLS"
    )
    steps.append(f"when both ends say that it came over, resume {source.vm.name} at {request.target} and make it the owner")
    steps.append(f"keep the stopped copy at {request.source} until it is released")
    return steps
