# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions of k3s, the order in which the nodes of a cluster are touched, and what stands in the way; pure.

The rules are those of Kubernetes' version skew policy, and of etcd: servers before agents, one minor at a time, never backwards,
and more than half of etcd's members at work at every instant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .errors import InputError

# How far a kubelet may be behind the API server, in minors.
KUBELET_SKEW = 3
LABEL = "federation.virt8ra.eu/cluster"
CORDONED = "federation.virt8ra.eu/cordoned"
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_ETCD = "node-role.kubernetes.io/etcd"
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)(?:-(alpha|beta|rc)\.?(\d+))?\+k3s(\d+)")


@dataclass(frozen=True, order=True)
class Version:
    """A release of k3s; ordered as they came out. A release candidate is before its release."""

    major: int
    minor: int
    patch: int
    stage: tuple[str, int]
    build: int

    @classmethod
    def parse(cls, text: str, option: str) -> Version:
        """From ``v1.34.2+k3s1``; InputError names ``option``."""
        found = _VERSION.fullmatch(text)
        if not found:
            raise InputError(
                "is no version of k3s",
                option=option,
                value=text,
                remedy="give it as upstream names its releases, as in v1.34.2+k3s1",
            )
        major, minor, patch, stage, number, build = found.groups()
        # Words sort as they should: alpha, beta, rc, and then the release.
        return cls(int(major), int(minor), int(patch), (stage, int(number)) if stage else ("release", 0), int(build))

    def __str__(self) -> str:
        stage = "" if self.stage[0] == "release" else f"-{self.stage[0]}{self.stage[1]}"
        return f"v{self.major}.{self.minor}.{self.patch}{stage}+k3s{self.build}"

    def minors_after(self, other: Version) -> int:
        """How many minors this one is after the other; a thousand for another major."""
        return (self.major - other.major) * 1000 + self.minor - other.minor


@dataclass(frozen=True)
class NodeState:
    """A Node of the cluster, as its API tells."""

    name: str
    ready: bool
    version: str
    server: bool
    etcd: bool
    voter: bool
    schedulable: bool
    cordoned_here: bool
    cluster: str
    address: str
    heartbeat: str

    @classmethod
    def from_object(cls, node: dict[str, Any]) -> NodeState:
        """From a Node as Kubernetes has it. A member of etcd that does not vote yet is a learner."""
        metadata, status = node.get("metadata") or {}, node.get("status") or {}
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        told = {each["type"]: each for each in status.get("conditions") or []}
        conditions = {kind: each.get("status") for kind, each in told.items()}
        addresses = {each["type"]: each["address"] for each in reversed(status.get("addresses") or [])}
        etcd = _ETCD in labels
        return cls(
            name=metadata["name"],
            ready=conditions.get("Ready") == "True",
            version=(status.get("nodeInfo") or {}).get("kubeletVersion", ""),
            server=_CONTROL_PLANE in labels,
            etcd=etcd,
            voter=etcd and conditions.get("EtcdIsVoter", "True") == "True",
            schedulable=not (node.get("spec") or {}).get("unschedulable"),
            cordoned_here=CORDONED in annotations,
            cluster=labels.get(LABEL, ""),
            address=addresses.get("InternalIP", ""),
            heartbeat=told.get("Ready", {}).get("lastHeartbeatTime") or "",
        )

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Member:
    """A host that shall be in the cluster.

    ``installed``: of its binary, or None. ``datastore``: what is on its disk: empty, ``sqlite`` or ``etcd``. ``seen``: whether the
    disk was looked at. ``answers``: its API server does. ``in_play``: this run may touch it.
    """

    host: str
    node: str
    server: bool
    installed: Version | None = None
    datastore: str = ""
    seen: bool = True
    answers: bool = False
    in_play: bool = True

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Member:
        installed = data.get("installed") or ""
        return cls(
            host=data["host"],
            node=data["node"],
            server=data["role"] == "server",
            installed=Version.parse(installed, f"the k3s of {data['host']}") if installed else None,
            datastore=data.get("datastore") or "",
            seen=bool(data.get("seen", True)),
            answers=bool(data.get("answers")),
            in_play=bool(data.get("in_play", True)),
        )


@dataclass(frozen=True)
class Wanted:
    """What a person asked for. ``agent_batch``: how many agents at a time."""

    cluster: str
    version: Version
    datastore: str
    agent_batch: int = 1


@dataclass
class Plan:
    """``initialise``: the host that begins the cluster, or empty. ``seed``: the server to ask and to join. ``batches``: hosts in
    the order in which they have their turn. ``dead`` and ``leaving``: Nodes to be removed, of which the first do not run."""

    initialise: str = ""
    seed: str = ""
    batches: list[list[str]] = field(default_factory=list)
    joining: list[str] = field(default_factory=list)
    upgrading: list[str] = field(default_factory=list)
    dead: list[dict[str, Any]] = field(default_factory=list)
    leaving: list[dict[str, Any]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def plan(wanted: Wanted, members: list[Member], nodes: list[NodeState]) -> Plan:
    """Who is touched when; InputError where it must not be done at all."""
    _check_names(members)
    _check_number(wanted, members)
    made = Plan()
    holders = [member for member in members if member.server and member.datastore]
    _begin(made, members, holders)
    _check_datastore(wanted, holders)
    there = {node.name: node for node in nodes}
    running = {member.node: _running(member, there.get(member.node)) for member in members}
    _check_versions(wanted, members, running)
    made.upgrading = [m.host for m in members if m.in_play and _differs(m.installed, running[m.node], wanted.version)]
    # A machine that was made anew under its old name: its Node, its password and its member of etcd are those of the old one.
    anew = {m.node for m in members if m.in_play and m.installed is None and m.node in there and not there[m.node].ready}
    known = {m.host for m in members if (m.datastore if m.server else m.node in there) and m.node not in anew}
    made.joining = [member.host for member in members if member.in_play and member.host not in known]
    made.batches = _batches(wanted, members, known, made.initialise)
    departed = [node for node in nodes if node.cluster == wanted.cluster and node.name not in running]
    made.dead = [node.to_dict() for node in nodes if node.name in anew or (node in departed and not node.ready)]
    made.leaving = [node.to_dict() for node in departed if node.ready]
    made.steps = _steps(wanted, made, {member.host: member for member in members}, running)
    return made


def _check_names(members: list[Member]) -> None:
    seen: dict[str, str] = {}
    for member in members:
        if member.node in seen:
            remedy = "give each host its own k3s_cluster_node_name"
            raise InputError(
                f"is the name of {seen[member.node]} and of {member.host}",
                option="k3s_cluster_node_name",
                value=member.node,
                remedy=remedy,
            )
        seen[member.node] = member.host


def _check_number(wanted: Wanted, members: list[Member]) -> None:
    servers = [member.host for member in members if member.server]
    if not servers:
        remedy = "give one, three or five nodes the role server in the federation file, or as k3s_cluster_role"
        raise InputError("has no server", option="k3s_cluster_name", value=wanted.cluster, remedy=remedy)
    if wanted.datastore == "sqlite" and len(servers) > 1:
        remedy = "use etcd, or one server"
        raise InputError(
            f"serves one server, and there are {len(servers)}", option="k3s_cluster_datastore", value="sqlite", remedy=remedy
        )
    if len(servers) % 2 == 0:
        what = (
            f"has {len(servers)} servers ({', '.join(servers)}), and an even number of etcd members survives no more than one less"
        )
        raise InputError(what, option="k3s_cluster_name", value=wanted.cluster, remedy="make it one, three or five")


def _begin(made: Plan, members: list[Member], holders: list[Member]) -> None:
    """Whether there is a cluster. A server that was not looked at may have it, and a second one must not be begun beside it."""
    servers = [member for member in members if member.server]
    if holders:
        made.seed = next((member.host for member in holders if member.answers), holders[0].host)
        return
    unseen = [member.host for member in servers if not member.seen]
    if unseen:
        remedy = "bring it back, or take it out of the inventory if it is gone for good"
        raise InputError(
            "cannot be reached and may hold the cluster that no other server has",
            option="server",
            value=", ".join(unseen),
            remedy=remedy,
        )
    if not servers[0].in_play:
        what = "is the first server of a cluster that is not there yet, and is not in this run"
        raise InputError(what, option="server", value=servers[0].host, remedy="run it without a limit, or with this server")
    made.initialise = made.seed = servers[0].host


def _check_datastore(wanted: Wanted, holders: list[Member]) -> None:
    kinds = {member.datastore for member in holders}
    if wanted.datastore == "sqlite" and "etcd" in kinds:
        remedy = "leave it at etcd; k3s turns SQLite into etcd, and not back"
        raise InputError(
            "is not what the cluster has, which is etcd", option="k3s_cluster_datastore", value="sqlite", remedy=remedy
        )
    if len(holders) > 1 and "sqlite" in kinds:
        alone = ", ".join(member.host for member in holders if member.datastore == "sqlite")
        remedy = "remove k3s from those that are not the cluster"
        raise InputError("has a cluster of its own in SQLite", option="server", value=alone, remedy=remedy)


def _running(member: Member, node: NodeState | None) -> Version | None:
    """What runs there, else what is installed."""
    if node is not None and _VERSION.fullmatch(node.version):
        return Version.parse(node.version, f"node {node.name}")
    return member.installed


def _differs(installed: Version | None, running: Version | None, target: Version) -> bool:
    return (installed is not None and installed != target) or (running is not None and running != target)


def _check_versions(wanted: Wanted, members: list[Member], running: dict[str, Version | None]) -> None:
    option, target = "k3s_cluster_version", wanted.version
    for member in members:
        old = running[member.node]
        if old is None or (not member.in_play and not member.server):
            continue
        if target < old:
            what = f"is older than {old} of {member.host}, and its datastore may not be readable for an older k3s"
            raise InputError(
                what, option=option, value=str(target), remedy=f"keep {old}, or restore a backup that was made with {target}"
            )
        if target.minors_after(old) > 1:
            what = f"skips a minor version, for {member.host} has {old}"
            raise InputError(what, option=option, value=str(target), remedy=f"go to v{old.major}.{old.minor + 1} first")
    _check_skew(wanted, members, running)


def _check_skew(wanted: Wanted, members: list[Member], running: dict[str, Version | None]) -> None:
    """Those that this run does not touch must be able to live with those that it does."""
    option, target = "k3s_cluster_version", wanted.version
    touched = [member for member in members if member.in_play]
    for member in members:
        old = running[member.node]
        if member.in_play or old is None:
            continue
        if member.server and old.minors_after(target) < 0 and any(not each.server for each in touched):
            what = f"would give agents a newer minor than server {member.host} has, which is {old} and not in this run"
            raise InputError(what, option=option, value=str(target), remedy="upgrade the servers first")
        behind = target.minors_after(old)
        if not member.server and any(each.server for each in touched) and not 0 <= behind <= KUBELET_SKEW:
            what = f"is too far from agent {member.host}, which is not in this run and has {old}"
            raise InputError(
                what, option=option, value=str(target), remedy=f"upgrade it first; a kubelet may be {KUBELET_SKEW} minors behind"
            )


def _batches(wanted: Wanted, members: list[Member], known: set[str], initialise: str) -> list[list[str]]:
    """Servers that are there, the one that begins, those that join, each alone; then new agents at once, then the others in batches."""
    servers = [member.host for member in members if member.server and member.in_play]
    agents = [member.host for member in members if not member.server and member.in_play]
    order = sorted(servers, key=lambda host: (host not in known, host != initialise))
    new, old = [host for host in agents if host not in known], [host for host in agents if host in known]
    size = wanted.agent_batch
    return [[host] for host in order] + ([new] if new else []) + [old[at : at + size] for at in range(0, len(old), size)]


def _steps(wanted: Wanted, made: Plan, members: dict[str, Member], running: dict[str, Version | None]) -> list[str]:
    told = [f"remove node {node['name']}, which does not run any more" for node in made.dead]
    for batch in made.batches:
        for host in batch:
            member, kind = members[host], "server" if members[host].server else "agent"
            if host == made.initialise:
                told.append(f"begin the cluster on {host}, {kind}, with {wanted.version}")
            elif host in made.joining:
                told.append(f"join {host}, {kind}, with {wanted.version}")
            elif host in made.upgrading:
                told.append(f"upgrade {host}, {kind}, from {running[member.node]} to {wanted.version}")
    return told + [f"drain and remove node {node['name']}, which is no longer in the inventory" for node in made.leaving]


def hindrance(nodes: list[NodeState], names: list[str]) -> str:
    """Why these nodes must not be stopped now, as one sentence; empty when they may. Without names: why no server may join now.

    The other servers have to be ready. Of etcd's voting members more than half have to stay, where there are several. Agents
    may be stopped at any time.
    """
    if names and not any(node.server for node in nodes if node.name in names):
        return ""
    weak = [node.name for node in nodes if node.server and node.name not in names and not node.ready]
    if weak:
        return f"server {', '.join(weak)} is not ready"
    members = [node for node in nodes if node.etcd]
    if len(members) > 1:
        learners = [node.name for node in members if not node.voter and node.name not in names]
        if learners:
            return f"server {', '.join(learners)} does not vote in etcd yet"
        left, needed = sum(node.voter and node.ready and node.name not in names for node in members), len(members) // 2 + 1
        if left < needed:
            return f"etcd needs {needed} of {len(members)} members, and {left} would be left"
    return ""
