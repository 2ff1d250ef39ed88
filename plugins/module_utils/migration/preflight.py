# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""May this VM go there? Pure: facts read from both ends in, a plan with blockers, warnings, steps and an estimate out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

from ..backends.facts import SourceFacts, TargetFacts
from ..sizes import show_size
from .estimate import Estimate, Measured, estimate_cold, estimate_live, estimate_warm
from .mapping import map_disks, map_macs, map_media, map_networks
from .modes import COLD, LIVE, WARM, Candidate, choose
from .placement_rules import breaches
from .plan import REMAP, Blocker, Plan, Request

_LEAVE = "choose another target, {}, or say why not with override_reason"


def plan(request: Request, source: SourceFacts, target: TargetFacts, measured: Measured | None = None) -> Plan:
    """The plan; it may be carried out only when it has no blockers.

    :param measured: rates, for times in the estimate; without them it tells bytes only
    """
    blockers: list[Blocker] = []
    disks = map_disks(request, source, target, blockers)
    networks = map_networks(request, source, blockers)
    for check, judge in _CHECKS:
        message = judge(request, source, target)
        if message:
            blockers.append(Blocker(check, message))
    broken = breaches(request, source, target)
    if not request.override_reason:
        blockers += [Blocker(breach.rule, f"{breach.sentence}; {_LEAVE.format(breach.change)}") for breach in broken]
    blockers += _room(disks, target) + _network_there(networks, request, target)
    return Plan(
        vm=source.vm.name,
        source=request.source,
        target=request.target,
        blockers=tuple(blockers),
        warnings=(*_warnings(source), *(f"{breach.sentence}; overridden: {request.override_reason}" for breach in broken)),
        steps=tuple(_steps(request, source, disks)),
        disks=disks,
        networks=tuple(networks),
        mode=request.mode,
        override=request.override_reason if broken else "",
        media=map_media(request, source, target, disks, blockers),
        macs=map_macs(request, source, target, blockers),
        estimate=_estimate(request, source, measured or Measured()),
    )


def plan_best(request: Request, source: SourceFacts, target: TargetFacts, measured: Measured, budget: float | None) -> Plan:
    """The plan in the mode that ``auto`` takes, with the reason.

    :param budget: longest downtime in seconds; None for no limit
    """
    plans = {mode: plan(replace(request, mode=mode), source, target, measured) for mode in (LIVE, WARM, COLD)}
    candidates = [
        Candidate(mode, [blocker.message for blocker in made.blockers], estimate_of(mode, source, measured, 0.3))
        for mode, made in plans.items()
    ]
    choice = choose(candidates, budget)
    return replace(plans[choice.mode], reason=choice.reason)


def estimate_of(mode: str, source: SourceFacts, measured: Measured, downtime: float) -> Estimate:
    """What the mode would take; ``downtime`` in seconds is what QEMU may stop a live guest for."""
    disk_bytes = sum(disk.allocation for disk in source.disks)
    if mode == LIVE:
        return estimate_live(disk_bytes, source.vm.memory, measured, downtime)
    return estimate_warm(disk_bytes, measured) if mode == WARM else estimate_cold(disk_bytes, measured)


def _estimate(request: Request, source: SourceFacts, measured: Measured) -> dict[str, Any]:
    told = estimate_of(request.mode, source, measured, 0.3).to_dict()
    return {
        "disk_bytes": sum(disk.allocation for disk in source.disks),
        "memory_bytes": source.vm.memory if request.mode == LIVE else 0,
        **told,
        **measured.to_dict(),
    }


def _running(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.state == "running" or (request.mode == "cold" and source.state == "stopped"):
        return ""
    if request.mode == "cold":
        return f"VM {source.vm.name} is {source.state} at {request.source}; let it run or stop it first"
    return f"VM {source.vm.name} is {source.state} at {request.source}, and mode {request.mode} moves running VMs only; start it, or use mode cold"


def _persistent(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.persistent:
        return ""
    return f"VM {source.vm.name} is transient, so no copy of it would stay at {request.source}; define it first"


def _idle(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.backup:
        return f"{source.backup} is at work on VM {source.vm.name} at {request.source}; wait for it or end it"
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


def _memory(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if target.free_memory >= source.vm.memory:
        return ""
    need, free = show_size(source.vm.memory), show_size(target.free_memory)
    return f"VM {source.vm.name} needs {need} of memory and {request.target} has {free} free; free some or choose another target"


def _cpu(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.cpu_mode in ("host-passthrough", "maximum"):
        # A VM that is started anew takes the processor that it finds.
        if request.mode != "live":
            return ""
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
    if source.snapshots and "snapshots" not in request.clear:
        return (
            f"VM {source.vm.name} has {source.snapshots} snapshot(s), which cannot follow it; delete them, "
            f"or leave them behind with the source copy by clear: [snapshots]"
        )
    return ""


def _checkpoints(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if source.checkpoints and "checkpoints" not in request.clear:
        return (
            f"VM {source.vm.name} has the backup tool's checkpoint(s) {', '.join(source.checkpoints)}, which cannot follow it; "
            f"delete them, or leave them behind with the source copy by clear: [checkpoints]"
        )
    return ""


def _bitmaps(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    without = [disk.name for disk in source.disks if not disk.bitmaps]
    if request.mode != "warm" or not without:
        return ""
    return (
        f"disk(s) {', '.join(without)} of VM {source.vm.name} are not qcow2 of version 3 in a pool, so what is written meanwhile "
        f"cannot be told; use mode live or cold"
    )


def _devices(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if not source.unmovable:
        return ""
    return f"VM {source.vm.name} has {', '.join(source.unmovable)}, which cannot follow it; detach it first"


def _tpm(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if target.tpm:
        return ""
    return f"VM {source.vm.name} has an emulated TPM, and {request.target} has no swtpm; run the kvm_host role there"


def _macs(request: Request, source: SourceFacts, target: TargetFacts) -> str:
    if request.macs == REMAP:
        return ""
    doubled = sorted(target.macs & {nic.mac for nic in source.vm.nics})
    return (
        f"MAC address {doubled[0]} is in use at {request.target} already; change one of the two, or remap (macs: remap)"
        if doubled
        else ""
    )


_Check = Callable[[Request, SourceFacts, TargetFacts], str]
_CHECKS: tuple[tuple[str, _Check], ...] = (
    ("state", _running),
    ("transient", _persistent),
    ("job", _idle),
    ("owner", _owned),
    ("name", _name_free),
    ("copy", _no_copy),
    ("memory", _memory),
    ("cpu", _cpu),
    ("machine", _machine),
    ("snapshots", _snapshots),
    ("checkpoints", _checkpoints),
    ("bitmaps", _bitmaps),
    ("devices", _devices),
    ("tpm", _tpm),
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
    below = {disk.name: f", whole, without {disk.backing[0]} below it" for disk in source.disks if disk.backing}
    steps = [
        f"make volume {disk['volume']} ({show_size(disk['capacity'])}, {disk['format']}) in pool {disk['pool']} at {request.target}"
        f"{below.get(device, '')}"
        for device, disk in disks.items()
    ]
    name, source_name, target_name = source.vm.name, request.source, request.target
    if request.mode == "live":
        return [
            *steps,
            f"copy {len(disks)} disk(s) and {show_size(source.vm.memory)} of memory from {source_name} to {target_name} under TLS",
            f"when both ends say that it came over, resume {name} at {target_name} and make it the owner",
            f"keep the stopped copy at {source_name} until it is released",
        ]
    if request.mode == "warm":
        steps.append(
            f"copy {len(disks)} disk(s) from {source_name} under TLS while {name} runs, then what it wrote meanwhile, in rounds"
        )
    if source.state == "running":
        steps.append(f"shut {name} down at {source_name}")
    what = "what was written last" if request.mode == "warm" else f"{len(disks)} disk(s)"
    steps.append(f"hold {name} paused at {source_name} and copy {what}; compare every extent's digest with the target's disk")
    steps.append(
        f"make {target_name} the owner" + (f", start {name} there and wait for a sign of life" if source.state == "running" else "")
    )
    steps.append(f"keep the stopped copy at {source_name} until it is released")
    return steps
