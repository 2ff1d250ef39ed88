# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A k3s control plane moves to new servers by a snapshot of etcd: what is to be done next, from what the hosts show. Pure.

From its snapshot on, the source's API takes nothing more, so that nothing is lost. Two control planes of one cluster never run: the source's
servers are stopped and disabled before the snapshot is restored, and they are started again only when every server of the target is
stopped and disabled. Whatever died, the hosts' own units and marks say how far it came: a mark is a file on the host that holds the name
of the migration and a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, MigrationFailed
from ..fields import Fields

SOURCE, TARGET = "source", "target"
ENDS = (SOURCE, TARGET)
ROLES = ("server", "agent")
STATES = ("planned", "synced", "completed", "aborted", "released")

# Marks, in the order in which a host can come by them.
FENCED = "fenced"
RESTORING = "restoring"
RESTORED = "restored"
COMPLETED = "completed"
RELEASED = "released"
MARKS = ("", FENCED, RESTORING, RESTORED, COMPLETED, RELEASED)

# Steps.
SEED = "seed"
NOTE = "note"
SNAPSHOT = "snapshot"
FENCE = "fence"
COLLECT = "collect"
DELTA = "delta"
RESTORE = "restore"
JOIN = "join"
SETTLE = "settle"
WITHDRAW = "withdraw"
UNFENCE = "unfence"
RETURN = "return"
THAW = "thaw"
RELEASE = "release"


@dataclass(frozen=True)
class Host:
    """What one host showed. ``node``: its name as a node; ``active``, ``enabled``: its unit of k3s; ``data``: it has a datastore.

    ``datastore`` is ``etcd``, ``sqlite`` or ``external`` on a server; ``mark`` that of this migration, ``foreign`` the name of another
    migration whose mark is there. ``version`` is empty where k3s is not installed.
    """

    name: str
    end: str
    role: str
    node: str
    active: bool = False
    enabled: bool = False
    data: bool = False
    datastore: str = ""
    mark: str = ""
    foreign: str = ""
    version: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "hosts") -> Host:
        fields = Fields(data, where)
        name = fields.text("name", required=True)
        read = cls(
            name=name,
            end=fields.choice("end", ENDS, SOURCE),
            role=fields.choice("role", ROLES, "agent"),
            node=fields.text("node", name),
            active=fields.boolean("active", False),
            enabled=fields.boolean("enabled", False),
            data=fields.boolean("data", False),
            datastore=fields.text("datastore"),
            mark=fields.choice("mark", MARKS, ""),
            foreign=fields.text("foreign"),
            version=fields.text("version"),
        )
        fields.finish()
        return read

    @property
    def may_run(self) -> bool:
        """Now, or by itself after its next boot."""
        return self.active or self.enabled


@dataclass(frozen=True)
class Steps:
    """What is to be done, in order; with a blocker, nothing is. ``pairs``: hosts of the same node, as source to target."""

    steps: tuple[str, ...]
    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    pairs: Mapping[str, str] | None = None


def next_steps(state: str, hosts: Sequence[Host], *, volumes: Mapping[str, Sequence[str]], version: str = "") -> Steps:
    """From what there is to the state that was asked for.

    :param volumes: names of local volumes at the source, by node
    :param version: of k3s at the target, as it is going to be installed; empty where it is not known
    :raises InputError: when there are no servers at one of the ends, or the target's are an even number
    :raises MigrationFailed: when both control planes run, or the state cannot be reached any more
    """
    servers = {end: [host for host in hosts if (host.end, host.role) == (end, "server")] for end in ENDS}
    _check_servers(hosts, servers)
    _check_one_runs(servers)
    mark = max((host.mark for host in hosts if host.end == TARGET), key=MARKS.index, default="")
    pairs = _pairs(hosts)
    if state == "aborted":
        return Steps(_back(servers, hosts, mark), pairs=pairs)
    if state == "released":
        if mark not in (COMPLETED, RELEASED):
            raise MigrationFailed(
                "it is not completed, so that nothing can be released", remedy="bring it to state=completed first"
            )
        left = [host for host in hosts if host.end == SOURCE and host.version]
        return Steps((RELEASE,) if left else (), pairs=pairs)
    steps = _forward(servers, hosts, mark)
    if state == "synced":
        steps = (SEED,) if steps[:1] == (SEED,) else ()
    begun = any(host.mark for host in hosts)
    blockers = [] if not steps else [*_foreign(hosts), *([] if begun else _blockers(servers, hosts, version))]
    blockers += _lost_volumes(hosts, volumes) if steps else []
    return Steps(steps, tuple(blockers), tuple(_warnings(hosts, servers)), pairs)


def local_volumes(volumes: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Names of the PersistentVolumes that are bound to a node by its name, by node."""
    found: dict[str, list[str]] = {}
    for volume in volumes:
        required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required") or {}
        for term in required.get("nodeSelectorTerms") or ():
            for rule in (*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ())):
                if rule["key"] in ("kubernetes.io/hostname", "metadata.name") and rule["operator"] == "In":
                    for node in rule.get("values") or ():
                        found.setdefault(node, []).append(volume["metadata"]["name"])
    return found


def _check_servers(hosts: Sequence[Host], servers: Mapping[str, Sequence[Host]]) -> None:
    for end in ENDS:
        if not servers[end]:
            raise InputError("has no servers", option=f"{end}_cluster", remedy="give at least one of its nodes the role server")
    count = len(servers[TARGET])
    if count % 2 == 0:
        raise InputError(
            f"has {count} servers, an even number, which etcd's quorum gains nothing from",
            option="target_cluster",
            remedy=f"declare {count - 1} or {count + 1} of them",
        )
    both = sorted({host.name for host in hosts if host.end == SOURCE} & {host.name for host in hosts if host.end == TARGET})
    if both:
        remedy = "leave it out of the target; once that is completed, declare it there, and the role has it join"
        raise InputError("is a host of the source too", option="target_cluster", value=both[0], remedy=remedy)
    names = [host.node for host in hosts if host.end == TARGET]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError("is the name of two nodes", option="target_cluster", value=twice[0], remedy="give each its own node name")


def _check_one_runs(servers: Mapping[str, Sequence[Host]]) -> None:
    """A target's server that carries our mark belongs to the same cluster as the source's."""
    target = [host.name for host in servers[TARGET] if host.active and host.mark]
    source = [host.name for host in servers[SOURCE] if host.active]
    if target and source:
        raise MigrationFailed(
            f"servers of both ends run, {', '.join(source)} and {', '.join(target)}, so that there are two of the same cluster",
            remedy="stop k3s on those whose state you do not want to keep, and run this again",
        )


def _forward(servers: Mapping[str, Sequence[Host]], hosts: Sequence[Host], mark: str) -> tuple[str, ...]:
    if mark in (COMPLETED, RELEASED):
        return () if all(host.mark == mark for host in hosts if host.end == TARGET) else (SETTLE,)
    fenced = [host for host in servers[SOURCE] if host.mark == FENCED]
    if mark == RESTORED:
        return (JOIN, SETTLE)
    if mark == RESTORING:
        # Its pods may have begun to write: the data that is there is not touched any more.
        return (FENCE, COLLECT, RESTORE, JOIN, SETTLE)
    if all(host.mark == FENCED and not host.may_run for host in servers[SOURCE]):
        # Their pods may still be there: fencing is what ends them.
        return (FENCE, COLLECT, DELTA, RESTORE, JOIN, SETTLE)
    # A snapshot from before somebody could write again is worth nothing.
    again = (UNFENCE, RETURN) if fenced else ()
    return (*again, SEED, NOTE, SNAPSHOT, FENCE, COLLECT, DELTA, RESTORE, JOIN, SETTLE)


def _back(servers: Mapping[str, Sequence[Host]], hosts: Sequence[Host], mark: str) -> tuple[str, ...]:
    if mark in (COMPLETED, RELEASED):
        raise MigrationFailed(
            "it is completed, and what was written at the target since would be lost",
            remedy="migrate it back as a migration of its own, with source and target the other way round",
        )
    fenced = any(host.mark == FENCED for host in hosts if host.end == SOURCE)
    began = any(host.mark for host in hosts if host.end == TARGET)
    if not fenced and not began:
        # A run that was cut off behind its snapshot has left the API frozen.
        return (THAW,)
    return ((WITHDRAW,) if began else ()) + (UNFENCE, RETURN)


def _foreign(hosts: Sequence[Host]) -> list[str]:
    return [
        f"{host.name} belongs to the migration {host.foreign}; finish or abort that one, or give its name"
        for host in hosts
        if host.foreign
    ]


def _blockers(servers: Mapping[str, Sequence[Host]], hosts: Sequence[Host], version: str) -> list[str]:
    """What only has to hold before anything was begun."""
    found = [
        f"{host.name} keeps the cluster in {host.datastore or 'something unknown'}, and only embedded etcd has snapshots; "
        "turn it into etcd first by starting its server once with cluster-init"
        for host in servers[SOURCE]
        if host.datastore != "etcd"
    ]
    found += [
        f"server {host.name} does not run; mend it, for the snapshot is to be of a whole cluster"
        for host in servers[SOURCE]
        if not host.active
    ]
    found += [
        f"{host.name} has k3s and a datastore of its own; uninstall it there, or name another host"
        for host in servers[TARGET]
        if host.active or host.data
    ]
    versions = sorted({host.version for host in servers[SOURCE] if host.version})
    if len(versions) > 1:
        found.append(f"the servers have different versions, {' and '.join(versions)}; finish the upgrade first")
    there = sorted({host.version for host in hosts if host.end == TARGET and host.version} | ({version} if version else set()))
    found += [
        f"k3s is to be {other} at the target and is {versions[0]} at the source; restore to the same version, and upgrade before or after"
        for other in there
        if versions and other != versions[0]
    ]
    return found


def _pairs(hosts: Sequence[Host]) -> dict[str, str]:
    target = {host.node: host.name for host in hosts if host.end == TARGET}
    return {host.name: target[host.node] for host in hosts if host.end == SOURCE and host.node in target}


def _lost_volumes(hosts: Sequence[Host], volumes: Mapping[str, Sequence[str]]) -> list[str]:
    """A local volume belongs to a node by name: without one of that name at the target, its pods would wait for ever."""
    names = {host.node for host in hosts if host.end == TARGET}
    return [
        f"node {node} has {len(held)} local volume{'s' if len(held) > 1 else ''} ({', '.join(sorted(held)[:3])}"
        f"{', …' if len(held) > 3 else ''}) and no namesake at the target; give one of the target's hosts its node name"
        for node, held in sorted(volumes.items())
        if held and node not in names
    ]


def _warnings(hosts: Sequence[Host], servers: Mapping[str, Sequence[Host]]) -> list[str]:
    names = {host.node for host in hosts if host.end == TARGET}
    left = sorted({host.node for host in hosts if host.end == SOURCE} - names)
    found = [] if not left else [f"{', '.join(left)} will not be nodes of the cluster any more: no host of the target has the name"]
    if len(servers[TARGET]) < len(servers[SOURCE]):
        found.append(f"the cluster has {len(servers[SOURCE])} servers now and will have {len(servers[TARGET])}")
    return found
