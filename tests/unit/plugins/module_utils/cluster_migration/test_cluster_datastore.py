# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A control plane moves by a snapshot, and wherever a run dies, never two of them run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import datastore
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.datastore import Host, next_steps
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError, MigrationFailed

VERSION = "v1.36.0+k3s1"
OLD = [Host(f"old{n}", "source", "server", f"s{n}", True, True, True, "etcd", version=VERSION) for n in (1, 2, 3)]
NEW = [Host(f"new{n}", "target", "server", f"s{n}") for n in (1, 2, 3)]
AGENT = Host("old-agent", "source", "agent", "a1", True, True, version=VERSION)
NEW_AGENT = Host("new-agent", "target", "agent", "a1")
WHOLE = [*OLD, AGENT, *NEW, NEW_AGENT]
ALL = ("seed", "note", "snapshot", "fence", "collect", "delta", "restore", "join", "settle")


def steps(hosts, state="completed", **more):
    return next_steps(state, hosts, volumes=more.pop("volumes", {}), **more)


def test_from_the_beginning():
    found = steps(WHOLE)
    assert found.steps == ALL
    assert not found.blockers
    assert not found.warnings
    assert found.pairs == {"old1": "new1", "old2": "new2", "old3": "new3", "old-agent": "new-agent"}
    assert steps(WHOLE, "planned").steps == ALL
    assert steps(WHOLE, "synced").steps == ("seed",)
    # A run that was cut off behind its snapshot may have left the API frozen.
    assert steps(WHOLE, "aborted").steps == ("thaw",)


class World:
    """Hosts on which steps have their effects; a step can be cut off after any of its effects."""

    def __init__(self):
        self.hosts = {(host.end, host.name): host for host in WHOLE}
        self.snapshot_of = None
        self.written = 0
        self.restored = None
        self.log = []

    def change(self, end, role=None, **changes):
        for key, host in self.hosts.items():
            if host.end == end and role in (None, host.role):
                yield lambda key=key, host=host: self.hosts.__setitem__(key, replace(self.hosts[key], **changes))

    def effects(self, step):
        """The single effects of a step, in order."""
        if step == "snapshot":
            yield lambda: setattr(self, "snapshot_of", self.written)
        elif step == "fence":
            yield from self.change("source", mark="fenced")
            yield from self.change("source", active=False, enabled=False)
        elif step == "restore":
            yield from self.change("target", "server", mark="restoring")
            yield from self.change("target", "server", data=True, version=VERSION)
            yield lambda: setattr(self, "restored", self.snapshot_of)
            yield from self.change("target", "server", active=True, enabled=True)
            yield from self.change("target", "server", mark="restored")
        elif step == "join":
            yield from self.change("target", "agent", active=True, enabled=True, version=VERSION)
        elif step == "settle":
            yield from self.change("target", mark="completed")
        elif step == "withdraw":
            yield from self.change("target", active=False, enabled=False)
            yield from self.change("target", data=False, mark="")
        elif step == "unfence":
            yield from self.change("source", active=True, enabled=True)
            yield from self.change("source", mark="")

    def check(self):
        """Never two control planes; and while the source's API takes writes, somebody writes."""
        active = {
            end: [h.name for h in self.hosts.values() if h.end == end and h.role == "server" and h.may_run]
            for end in ("source", "target")
        }
        assert not (active["source"] and active["target"]), active
        if sum(h.active for h in self.hosts.values() if (h.end, h.role) == ("source", "server")) >= 2:
            self.written += 1

    def run(self, state, budget=None):
        """Take the steps until ``budget`` effects have happened; True when it came to its end."""
        found = steps(list(self.hosts.values()), state)
        assert not found.blockers, found.blockers
        for step in found.steps:
            for effect in self.effects(step):
                if budget == 0:
                    return False
                effect()
                self.check()
                budget = None if budget is None else budget - 1
        return True


def count():
    world, number = World(), 0
    while not World().run("completed", number):
        number += 1
    assert world
    return number


@pytest.mark.parametrize("died", range(count() + 1))
@pytest.mark.parametrize("then", ["completed", "aborted"])
def test_wherever_a_run_dies_another_one_ends_it(died, then):
    world = World()
    world.run("completed", died)
    if then == "aborted" and any(host.mark == "completed" for host in world.hosts.values()):
        with pytest.raises(MigrationFailed, match="completed"):
            world.run("aborted")
        return
    world.run(then)
    ends = {end: [h for h in world.hosts.values() if h.end == end] for end in ("source", "target")}
    if then == "aborted":
        assert all(host.active and host.enabled and not host.mark for host in ends["source"])
        assert not any(host.may_run for host in ends["target"])
    else:
        assert all(host.active and host.mark == "completed" for host in ends["target"])
        assert not any(host.may_run for host in ends["source"])
        assert world.restored >= world.written - 6, "writes after the snapshot are only those of the moments of fencing"
        assert steps(list(world.hosts.values())).steps == ()


def test_a_snapshot_from_before_a_fence_that_failed_is_taken_anew():
    half = [replace(OLD[0], mark="fenced", active=False, enabled=False), *OLD[1:], *NEW]
    assert steps(half).steps == ("unfence", "return", *ALL)


def test_after_the_restore_began_the_data_at_the_target_is_not_written_over():
    fenced = [replace(host, mark="fenced", active=False, enabled=False) for host in OLD]
    begun = [replace(NEW[0], mark="restoring", data=True, active=True, enabled=True), *NEW[1:]]
    assert "delta" not in steps([*fenced, *begun]).steps
    assert "delta" in steps([*fenced, *NEW]).steps


def test_two_control_planes_are_told_and_not_touched():
    both = [*OLD, replace(NEW[0], mark="restored", active=True), *NEW[1:]]
    for state in datastore.STATES:
        with pytest.raises(MigrationFailed, match="servers of both ends run, old1, old2, old3 and new1"):
            steps(both, state)


def test_release_needs_a_completed_one():
    with pytest.raises(MigrationFailed, match="not completed"):
        steps(WHOLE, "released")
    fenced = [replace(host, mark="fenced", active=False, enabled=False) for host in OLD]
    done = [replace(host, mark="completed", active=True, enabled=True, version=VERSION) for host in NEW]
    assert steps([*fenced, *done], "released").steps == ("release",)
    gone = [replace(host, version="") for host in fenced]
    assert steps([*gone, *done], "released").steps == ()


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        ([replace(OLD[0], datastore="sqlite"), NEW[0]], "only embedded etcd has snapshots"),
        ([replace(OLD[0], active=False), *OLD[1:], *NEW], "server old1 does not run"),
        ([OLD[0], replace(NEW[0], data=True)], "new1 has k3s and a datastore of its own"),
        ([OLD[0], replace(NEW[0], active=True)], "new1 has k3s and a datastore of its own"),
        ([OLD[0], replace(OLD[1], version="v1.35.0+k3s1"), NEW[0]], "different versions"),
        ([OLD[0], replace(NEW[0], version="v1.35.0+k3s1")], "restore to the same version"),
        ([OLD[0], replace(NEW[0], foreign="other")], "new1 belongs to the migration other"),
    ],
)
def test_blockers(hosts, told):
    (blocker,) = steps(hosts).blockers
    assert told in blocker


def test_the_version_to_come_is_compared_too():
    assert "v1.37.0+k3s1" in steps(WHOLE, version="v1.37.0+k3s1").blockers[0]
    assert not steps(WHOLE, version=VERSION).blockers


def test_local_volumes_need_a_namesake():
    volumes = {"a1": ["pvc-1"], "s1": ["pvc-2"]}
    assert not steps(WHOLE, volumes=volumes).blockers
    found = steps([*OLD, AGENT, *NEW], volumes=volumes)
    assert found.blockers == (
        "node a1 has 1 local volume (pvc-1) and no namesake at the target; give one of the target's hosts its node name",
    )
    assert found.warnings == ("a1 will not be nodes of the cluster any more: no host of the target has the name",)


def test_local_volumes_are_found_by_their_nodes():
    def volume(name, *rules):
        terms = [{"matchExpressions": list(rules)}]
        return {"metadata": {"name": name}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}}

    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["a1"]}
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z"]}
    anywhere = {"metadata": {"name": "nfs"}, "spec": {}}
    volumes = [volume("one", here), volume("two", zone, here), volume("three", zone), anywhere]
    assert datastore.local_volumes(volumes) == {"a1": ["one", "two"]}


def test_the_playbook_takes_the_steps_in_their_order():
    """Its plays are in the order in which the module gives the steps, and there is one for each of them."""
    root = Path(__file__).resolve().parents[5]
    text = (root / "playbooks" / "migrate_cluster_datastore.yml").read_text(encoding="utf-8")
    # Hosts take a step by a group, the controller by a condition.
    named = re.findall(r"groups\.datastore_(\w+) \| default\(\[\]\) }}|'(\w+)' in datastore_plan\.steps", text)
    plays = list(dict.fromkeys(one or other for one, other in named if one not in ("source", "target")))
    forward = steps(WHOLE).steps
    fenced = [replace(OLD[0], mark="fenced", active=False, enabled=False), *OLD[1:]]
    again = steps([*fenced, *NEW]).steps
    back = steps([*fenced, replace(NEW[0], mark="restoring"), *NEW[1:]], "aborted").steps
    for wanted in (forward, again, back):
        assert [name for name in plays if name in wanted] == list(wanted)
    assert set(plays) == {*forward, *again, *back, *steps(WHOLE, "aborted").steps, "release"}


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        (NEW, "source_cluster: has no servers"),
        (OLD, "target_cluster: has no servers"),
        ([*OLD, *NEW[:2]], "has 2 servers, an even number"),
        ([*OLD, NEW[0], replace(NEW_AGENT, node="s1")], "is the name of two nodes"),
        ([*OLD, AGENT, NEW[0], replace(AGENT, end="target")], "'old-agent': is a host of the source too"),
    ],
)
def test_what_cannot_be_meant_is_refused(hosts, told):
    with pytest.raises(InputError, match=told):
        steps(hosts)


def test_a_host_is_read():
    read = Host.from_dict({"name": "old1", "end": "source", "role": "server", "active": True, "mark": "fenced"})
    assert read == Host("old1", "source", "server", "old1", active=True, mark="fenced")
    with pytest.raises(InputError, match="mark"):
        Host.from_dict({"name": "x", "mark": "somehow"})
