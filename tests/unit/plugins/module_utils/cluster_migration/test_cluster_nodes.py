# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes of a cluster move one at a time, and never so that etcd could lose its quorum."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.nodes import (
    CORDONED,
    Machine,
    Member,
    Wanted,
    check_turn,
    next_moves,
    plan_nodes,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError, MigrationFailed, NotFoundError

HYPERVISORS = ("kvm1", "kvm2", "kvm3")


def node(name, *, ready="True", roles=(), cordoned=False, ours=False, voter=None):
    conditions = [{"type": "Ready", "status": ready}]
    if voter is not None:
        conditions.append({"type": "EtcdIsVoter", "status": voter})
    return {
        "metadata": {
            "name": name,
            "labels": {f"node-role.kubernetes.io/{role}": "true" for role in roles},
            "annotations": {CORDONED: "yes"} if ours else {},
        },
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {"conditions": conditions},
    }


def server(name, **more):
    return Member.from_object(node(name, roles=("control-plane", "etcd"), **more))


def agent(name, **more):
    return Member.from_object(node(name, **more))


THREE = [server("s1"), server("s2"), server("s3"), agent("a1")]
AT_HOME = [Machine(name, "kvm1") for name in ("s1", "s2", "s3", "a1")]


def planned(members=None, machines=None, *, targets=None, to=("kvm2",), names=None, mode="auto"):
    wanted = Wanted(targets or {}, () if targets else to, names or {}, mode)
    members = THREE if members is None else members
    return plan_nodes(members, AT_HOME if machines is None else machines, wanted, HYPERVISORS)


def test_a_node_is_read():
    read = Member.from_object(node("s1", roles=("control-plane", "etcd"), cordoned=True, ours=True, voter="False"))
    assert read == Member("s1", ready=True, cordoned=True, server=True, etcd=True, voter=False, ours=True)
    assert not Member.from_object(node("a", ready="Unknown")).ready
    assert not Member.from_object({"metadata": {"name": "new"}}).ready


def test_agents_go_before_servers():
    plan = planned()
    assert [move.node for move in plan.moves] == ["a1", "s1", "s2", "s3"]
    assert {(move.source, move.target, move.step) for move in plan.moves} == {("kvm1", "kvm2", "move")}
    assert not plan.blockers
    assert not plan.warnings


def test_servers_are_spread():
    plan = planned(to=("kvm2", "kvm3"))
    targets = {move.node: move.target for move in plan.moves}
    assert sorted(targets[name] for name in ("s1", "s2", "s3")) in (["kvm2", "kvm2", "kvm3"], ["kvm2", "kvm3", "kvm3"])
    assert sorted(targets.values()).count("kvm2") == 2


def test_what_is_there_stays_and_is_still_uncordoned():
    members = [server("s1", ours=True, cordoned=True), server("s2"), server("s3", cordoned=True), agent("a1")]
    machines = [
        Machine("s1", "kvm2", "kvm1", "kvm2", "completed"),
        Machine("s2", "kvm1"),
        Machine("s3", "kvm2"),
        Machine("a1", "kvm3"),
    ]
    plan = planned(members, machines, to=("kvm2", "kvm3"))
    assert {move.node: move.step for move in plan.moves} == {"a1": "done", "s1": "uncordon", "s2": "move", "s3": "done"}
    assert [move.node for move in next_moves(plan, members)] == ["s1", "s2"]
    assert next(move for move in plan.moves if move.node == "s1").source == "kvm1"


def test_one_that_was_begun_goes_on_first_even_when_it_is_away():
    members = [server("s1"), server("s2", ready="Unknown", ours=True), server("s3"), agent("a1")]
    machines = [Machine("s2", "kvm1", "kvm1", "kvm2", "switching"), *(Machine(name, "kvm1") for name in ("s1", "s3", "a1"))]
    plan = planned(members, machines)
    assert not plan.blockers
    assert [move.node for move in next_moves(plan, members)] == ["s2", "a1", "s1", "s3"]


def test_one_that_is_on_its_way_elsewhere_blocks():
    machines = [Machine("s1", "kvm1", "kvm1", "kvm3", "synced"), *AT_HOME[1:]]
    (blocker,) = planned(machines=machines).blockers
    assert "on its way to kvm3" in blocker


def test_a_node_that_is_not_ready_blocks():
    (blocker,) = planned([*THREE[:3], agent("a1", ready="False")]).blockers
    assert blocker.startswith("node a1 is not ready")
    done = [Machine(name, "kvm2") for name in ("s1", "s2", "s3", "a1")]
    assert not planned([*THREE[:3], agent("a1", ready="False")], done).blockers, "nothing is left to move"


def test_nodes_without_a_vm_of_their_own_block():
    plan = planned(machines=[*AT_HOME[:3], Machine("a1", "kvm1"), Machine("a1", "kvm3")])
    assert plan.blockers == (
        "node a1: 2 VMs are named a1; give one of them another name, or leave the other's site out of the inventory",
    )
    plan = planned(machines=AT_HOME[:3])
    assert plan.blockers == ("node a1: no VM of the federation is named a1; say by node_vms which one it is",)
    plan = planned(machines=[*AT_HOME[:3], Machine("worker", "kvm1")], names={"a1": "worker"})
    assert not plan.blockers


def test_only_some_can_be_asked_for():
    plan = planned(targets={"s2": "kvm3"})
    assert [(move.node, move.target) for move in plan.moves] == [("s2", "kvm3")]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted({"s9": "kvm2"}, (), {}), "targets='s9': is no node of the cluster"),
        (Wanted({"s1": "kvm9"}, (), {}), "targets='kvm9': is no hypervisor"),
        (Wanted({}, ("kvm9",), {}), "to='kvm9': is no hypervisor"),
        (Wanted({}, ("kvm2",), {"x": "y"}), "node_vms='x': is no node"),
        (Wanted({}, (), {}), "exactly one of targets and to"),
        (Wanted({"s1": "kvm2"}, ("kvm2",), {}), "exactly one of targets and to"),
    ],
)
def test_what_cannot_be_meant_is_refused(wanted, told):
    with pytest.raises(InputError, match=told.replace("(", r"\(")):
        plan_nodes(THREE, AT_HOME, wanted, HYPERVISORS)


@pytest.mark.parametrize(("mode", "count"), [("auto", 1), ("live", 0), ("warm", 2)])
def test_a_single_server_is_warned_of_unless_it_moves_live(mode, count):
    plan = planned([server("s1"), agent("a1")], mode=mode)
    assert len(plan.warnings) == count
    if mode != "live":
        assert "the cluster has 1 server, so that its API is gone while s1 is switched" in plan.warnings[0]


def test_a_turn_needs_all_others_ready():
    check_turn(THREE, "s1")
    check_turn([server("s1", ready="False"), *THREE[1:]], "s1")
    with pytest.raises(MigrationFailed, match="node s1 stays where it is, for a1 is not ready"):
        check_turn([*THREE[:3], agent("a1", ready="Unknown")], "s1")
    with pytest.raises(MigrationFailed, match="a1 was not brought to its end"):
        check_turn([*THREE[:3], agent("a1", ours=True)], "s1")
    with pytest.raises(NotFoundError, match="turn='s9'"):
        check_turn(THREE, "s9")


def test_a_turn_needs_the_votes_of_all_other_members():
    with pytest.raises(MigrationFailed, match="the etcd of s3 has no vote"):
        check_turn([server("s1"), server("s2"), server("s3", voter="False")], "s1")
    check_turn([server("s1", voter="False"), server("s2"), server("s3")], "s1")
    check_turn([server("s1"), agent("a1")], "a1")
