# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster whose nodes are VMs moves node by node: which one goes where, in which order, and whether it may go now. Pure.

One goes at a time, and only while every other node is ready, so that etcd keeps its quorum whatever happens to the one that goes.
What was done is read from the cluster and from the VMs, so that a second run goes on where the first one ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, MigrationFailed, NotFoundError
from ..fields import Fields
from ..portable import Portable

# On a node that we cordoned: one that somebody else cordoned stays so.
CORDONED = "federation.virt8ra.eu/cordoned"
_SERVER = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_ETCD = "node-role.kubernetes.io/etcd"
_UNDER_WAY = ("copying", "synced", "switching")

MOVE = "move"
UNCORDON = "uncordon"
DONE = "done"


@dataclass(frozen=True)
class Member:
    """A node as the API tells of it. ``etcd``: it has a member, which may not have a vote (yet); ``ours``: the cordon is ours."""

    name: str
    ready: bool
    cordoned: bool = False
    server: bool = False
    etcd: bool = False
    voter: bool = False
    ours: bool = False

    @classmethod
    def from_object(cls, node: Mapping[str, Any]) -> Member:
        metadata, status = node["metadata"], node.get("status") or {}
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        return cls(
            name=metadata["name"],
            ready=conditions.get("Ready") == "True",
            cordoned=bool((node.get("spec") or {}).get("unschedulable")),
            server=any(label in labels for label in _SERVER),
            etcd=_ETCD in labels,
            # k3s says by a condition whether a member may vote yet.
            voter=_ETCD in labels and conditions.get("EtcdIsVoter", "True") == "True",
            ours=CORDONED in annotations,
        )


@dataclass(frozen=True)
class Machine:
    """A VM and where it is; ``source``, ``target`` and ``phase`` of the migration that it has, if any."""

    vm: str
    hypervisor: str
    source: str = ""
    target: str = ""
    phase: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "vms") -> Machine:
        fields = Fields(data, where)
        migration = fields.get("migration") or {}
        read = cls(
            vm=fields.text("vm", required=True),
            hypervisor=fields.text("hypervisor", required=True),
            **{key: str(migration.get(key) or "") for key in ("source", "target", "phase")},
        )
        fields.finish()
        return read

    @property
    def under_way(self) -> bool:
        return self.phase in _UNDER_WAY


@dataclass(frozen=True)
class Move(Portable):
    """What is to be done with a node: ``step`` is MOVE, UNCORDON (it is there, our cordon is still on) or DONE."""

    node: str
    vm: str
    source: str
    target: str
    step: str
    server: bool


@dataclass(frozen=True)
class NodesPlan:
    """The nodes in their order; with a blocker, none may go."""

    moves: tuple[Move, ...]
    blockers: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """Where nodes go: ``targets`` by node, or all of them spread over ``to``; ``names`` of VMs that are not those of their nodes."""

    targets: Mapping[str, str]
    to: Sequence[str]
    names: Mapping[str, str]
    mode: str = "auto"


def plan_nodes(members: Sequence[Member], machines: Iterable[Machine], wanted: Wanted, hypervisors: Sequence[str]) -> NodesPlan:
    """Agents first, then servers, each kind by name.

    :raises InputError: for a node, a VM or a hypervisor that does not exist
    """
    _check(members, wanted, hypervisors)
    known = list(machines)
    ordered = sorted(members, key=lambda member: (member.server, member.name))
    going = [member for member in ordered if not wanted.targets or member.name in wanted.targets]
    targets = wanted.targets or _spread(going, {machine.vm: machine for machine in known}, wanted)
    blockers: list[str] = []
    moves: list[Move] = []
    for member in going:
        name = wanted.names.get(member.name, member.name)
        same = [machine for machine in known if machine.vm == name]
        if len(same) != 1:
            blockers.append(_no_vm(member.name, name, len(same)))
            continue
        machine, target = same[0], targets[member.name]
        if machine.under_way and machine.target != target:
            blockers.append(
                f"VM {name} of node {member.name} is on its way to {machine.target}; name that target, or abort its migration first"
            )
        moves.append(_move(member, machine, target))
    left = [move for move in moves if move.step == MOVE]
    blockers += _not_ready(members) if left else []
    return NodesPlan(tuple(moves), tuple(blockers), tuple(_warnings(members, left, wanted.mode)))


def _check(members: Sequence[Member], wanted: Wanted, hypervisors: Sequence[str]) -> None:
    names = [member.name for member in members]
    for option, mapping in (("targets", wanted.targets), ("node_vms", wanted.names)):
        unknown = sorted(set(mapping) - set(names))
        if unknown:
            raise InputError(
                "is no node of the cluster", option=option, value=unknown[0], remedy=f"name some of {', '.join(names)}"
            )
    strangers = sorted({*wanted.targets.values(), *wanted.to} - set(hypervisors))
    if strangers:
        option = "to" if strangers[0] in wanted.to else "targets"
        remedy = f"name some of {', '.join(hypervisors)}"
        raise InputError("is no hypervisor of the inventory", option=option, value=strangers[0], remedy=remedy)
    if bool(wanted.targets) == bool(wanted.to):
        remedy = "say by targets where each node goes, or by to over which hypervisors all of them are spread"
        raise InputError("exactly one of targets and to is needed", remedy=remedy)


def _spread(going: Sequence[Member], machines: Mapping[str, Machine], wanted: Wanted) -> dict[str, str]:
    """What is at one of them already, or on its way there, stays with that; servers are kept apart as far as there is room."""
    kinds: dict[str, list[bool]] = {hypervisor: [] for hypervisor in wanted.to}
    chosen: dict[str, str] = {}
    for member in going:
        machine = machines.get(wanted.names.get(member.name, member.name))
        at = "" if machine is None else (machine.target if machine.under_way else machine.hypervisor)
        if at in kinds:
            chosen[member.name] = at
            kinds[at].append(member.server)
    for member in sorted(going, key=lambda one: (not one.server, one.name)):
        if member.name not in chosen:
            best = min(wanted.to, key=lambda one: (kinds[one].count(member.server), len(kinds[one]), list(wanted.to).index(one)))
            chosen[member.name] = best
            kinds[best].append(member.server)
    return chosen


def _no_vm(node: str, vm: str, count: int) -> str:
    if count:
        return f"node {node}: {count} VMs are named {vm}; give one of them another name, or leave the other's site out of the inventory"
    return f"node {node}: no VM of the federation is named {vm}; say by node_vms which one it is"


def _move(member: Member, machine: Machine, target: str) -> Move:
    if machine.hypervisor == target and not machine.under_way:
        step = UNCORDON if member.ours else DONE
        return Move(member.name, machine.vm, machine.source or machine.hypervisor, target, step, member.server)
    source = machine.source if machine.under_way else machine.hypervisor
    return Move(member.name, machine.vm, source, target, MOVE, member.server)


def _not_ready(members: Sequence[Member]) -> list[str]:
    """A node that a run that was cut off left on its way may be away: it is the first to go on."""
    return [
        f"node {member.name} is not ready; mend it, for with another one away the cluster could lose its quorum or its pods"
        for member in members
        if not member.ready and not member.ours
    ]


def _warnings(members: Sequence[Member], left: Sequence[Move], mode: str) -> Iterable[str]:
    servers = [member for member in members if member.server]
    voters = [member for member in members if member.voter]
    going = [move.node for move in left if move.server]
    if going and len(voters or servers) < 3 and mode != "live":
        count = len(voters or servers)
        yield (
            f"the cluster has {count} server{'s' if count > 1 else ''}, so that its API is gone while {' and '.join(going)} "
            f"{'is' if len(going) == 1 else 'are'} switched, unless they move live"
        )
    if mode not in ("live", "auto") and left:
        yield f"with mode={mode} each node's pods stop while it is switched, for it is not drained"


def next_moves(plan: NodesPlan, members: Sequence[Member]) -> tuple[Move, ...]:
    """What is to be done, those first that a run that was cut off had begun."""
    begun = {member.name for member in members if member.ours}
    return tuple(sorted((move for move in plan.moves if move.step != DONE), key=lambda move: move.node not in begun))


def check_turn(members: Sequence[Member], node: str) -> None:
    """MigrationFailed when this node may not go now; NotFoundError when the cluster does not have it any more."""
    if all(member.name != node for member in members):
        raise NotFoundError(
            "is no node of the cluster any more", option="turn", value=node, remedy="plan anew, by running it again"
        )
    away = [member.name for member in members if member.name != node and not member.ready]
    cordoned = [member.name for member in members if member.name != node and member.ours]
    if away or cordoned:
        what = f"{', '.join(away)} is not ready" if away else f"{', '.join(cordoned)} was not brought to its end"
        raise MigrationFailed(
            f"node {node} stays where it is, for {what}",
            remedy="mend that and run it again; nodes that are at their target are left alone",
        )
    mute = [member.name for member in members if member.name != node and member.etcd and not member.voter]
    if mute:
        raise MigrationFailed(
            f"node {node} stays where it is, for the etcd of {', '.join(mute)} has no vote, and the quorum needs every vote while one is away",
            remedy="wait until all members vote, and run it again",
        )
