# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions, the order of turns, and what is refused before a node is touched."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.k3s import Member, NodeState, Version, Wanted, hindrance, plan

OLD, NEW = "v1.34.1+k3s1", "v1.35.0+k3s1"


def version(text):
    return Version.parse(text, "k3s_cluster_version")


def member(name, role="server", **data):
    return Member.from_dict({"host": name, "node": name, "role": role, **data})


def held(name, role="server", installed=OLD, **data):
    return member(name, role, installed=installed, datastore="etcd" if role == "server" else "", answers=role == "server", **data)


def node(name, role="server", kubelet=OLD, ready=True, cluster="edge", etcd=True, voter=True, **spec):
    roles = ["control-plane", *(["etcd"] if etcd else [])] if role == "server" else []
    conditions = [{"type": "Ready", "status": str(ready), "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]
    if roles and etcd:
        conditions.append({"type": "EtcdIsVoter", "status": str(voter)})
    return NodeState.from_object(
        {
            "metadata": {
                "name": name,
                "labels": {
                    "federation.virt8ra.eu/cluster": cluster,
                    **{f"node-role.kubernetes.io/{each}": "true" for each in roles},
                },
            },
            "spec": spec,
            "status": {
                "conditions": conditions,
                "nodeInfo": {"kubeletVersion": kubelet},
                "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "192.0.2.7"}],
            },
        }
    )


def planned(members, nodes=(), wanted=OLD, datastore="etcd", batch=1):
    return plan(Wanted("edge", version(wanted), datastore, batch), list(members), list(nodes))


def test_versions_are_ordered_as_they_came_out():
    texts = [
        "v1.33.9+k3s1",
        "v1.34.0-alpha1+k3s1",
        "v1.34.0-rc1+k3s1",
        "v1.34.0-rc2+k3s1",
        "v1.34.0+k3s1",
        "v1.34.0+k3s2",
        "v1.34.1+k3s1",
    ]
    assert sorted([*texts[3:], *texts[:3]], key=version) == texts
    assert [str(version(text)) for text in texts] == texts


@pytest.mark.parametrize("text", ["1.34.1+k3s1", "v1.34.1", "latest", "v1.34.1+k3s1 ", "v1.34+k3s1", ""])
def test_what_is_no_version_is_refused_with_the_option(text):
    with pytest.raises(InputError, match="as upstream names its releases"):
        version(text)


def test_a_node_is_read_as_kubernetes_has_it():
    seen = node("a", unschedulable=True)
    assert (seen.ready, seen.server, seen.etcd, seen.voter, seen.schedulable) == (True, True, True, True, False)
    assert (seen.address, seen.version, seen.cluster) == ("192.0.2.7", OLD, "edge")
    assert node("b", "agent").server is False
    assert NodeState.from_object({"metadata": {"name": "bare"}}).ready is False


def test_a_new_cluster_is_begun_by_its_first_server_and_agents_join_at_once():
    made = planned([member("w1", "agent"), member("s1"), member("s2"), member("s3"), member("w2", "agent")])
    assert (made.initialise, made.seed) == ("s1", "s1")
    assert made.batches == [["s1"], ["s2"], ["s3"], ["w1", "w2"]]
    assert made.steps[0] == f"begin the cluster on s1, server, with {OLD}"


def test_an_upgrade_takes_servers_one_by_one_and_agents_in_batches():
    members = [held(name) for name in ("s1", "s2", "s3")] + [held(f"w{n}", "agent") for n in range(5)]
    nodes = [node(each.host, "server" if each.server else "agent") for each in members]
    made = planned(members, nodes, NEW, batch=2)
    assert made.batches == [["s1"], ["s2"], ["s3"], ["w0", "w1"], ["w2", "w3"], ["w4"]]
    assert made.upgrading == [each.host for each in members] and made.joining == []
    assert f"upgrade w4, agent, from {OLD} to {NEW}" in made.steps


def test_a_version_that_was_written_and_never_started_is_still_an_upgrade():
    made = planned([held("s1", installed=NEW)], [node("s1", kubelet=OLD)], NEW)
    assert made.upgrading == ["s1"]


def test_who_has_a_cluster_is_asked_and_new_servers_come_after_those_that_are_there():
    made = planned([member("s0"), held("s1"), held("s2")], [node("s1"), node("s2")])
    assert (made.initialise, made.seed) == ("", "s1")
    assert made.batches == [["s1"], ["s2"], ["s0"]] and made.joining == ["s0"]


def test_nodes_that_are_no_longer_in_the_inventory_leave_and_others_are_let_alone():
    nodes = [node("s1"), node("gone", ready=False), node("going", "agent"), node("elses", "agent", cluster="")]
    made = planned([held("s1")], nodes)
    assert [each["name"] for each in made.dead] == ["gone"]
    assert [each["name"] for each in made.leaving] == ["going"]


def test_a_machine_made_anew_under_its_old_name_is_forgotten_before_it_joins():
    made = planned([held("s1"), held("s2"), member("s3")], [node("s1"), node("s2"), node("s3", ready=False)])
    assert [each["name"] for each in made.dead] == ["s3"] and made.joining == ["s3"]


@pytest.mark.parametrize(
    ("members", "nodes", "options", "says"),
    [
        ([member("s1"), member("s2")], [], {}, "has 2 servers .s1, s2.*one, three or five"),
        ([member("w1", "agent")], [], {}, "has no server"),
        ([member("s1"), member("s2"), member("s3")], [], {"datastore": "sqlite"}, "there are 3; use etcd"),
        ([held("s1")], [node("s1")], {"datastore": "sqlite"}, "is not what the cluster has"),
        ([held("s1", installed=NEW)], [node("s1", kubelet=NEW)], {}, f"is older than {NEW[:6]}"),
        ([held("s1", installed="v1.33.4+k3s1")], [], {"wanted": NEW}, "skips a minor.*go to v1.34 first"),
        ([member("s1"), member("s2", seen=False, in_play=False), member("s3")], [], {}, "s2.*cannot be reached and may hold"),
        ([member("s1", in_play=False), member("s2"), member("s3")], [], {}, "s1.*first server of a cluster that is not there"),
        (
            [held("s1", in_play=False), held("w1", "agent")],
            [node("s1"), node("w1", "agent")],
            {"wanted": NEW},
            "upgrade the servers first",
        ),
    ],
)
def test_what_must_not_be_done_is_refused_in_one_sentence(members, nodes, options, says):
    with pytest.raises(InputError, match=says):
        planned(members, nodes, **options)


def test_two_hosts_of_one_node_name_are_refused():
    twins = [member("s1"), Member.from_dict({"host": "s2", "node": "s1", "role": "agent"})]
    with pytest.raises(InputError, match="s1 and of s2; give each host"):
        planned(twins)


def test_an_agent_too_far_behind_that_is_left_out_stops_an_upgrade_of_servers():
    members = [held("s1", installed="v1.36.0+k3s1"), held("w1", "agent", installed="v1.33.0+k3s1", in_play=False)]
    nodes = [node("s1", kubelet="v1.36.0+k3s1"), node("w1", "agent", kubelet="v1.33.0+k3s1")]
    assert planned(members, nodes, "v1.36.1+k3s1").upgrading == ["s1"]
    with pytest.raises(InputError, match="too far from agent w1"):
        planned(members, nodes, "v1.37.0+k3s1")


def test_a_server_is_spared_only_while_the_others_are_well_and_keep_the_quorum():
    three = [node("s1"), node("s2"), node("s3")]
    assert hindrance(three, ["s1"]) == ""
    assert hindrance([node("s1"), node("s2", ready=False), node("s3")], ["s1"]) == "server s2 is not ready"
    assert hindrance([node("s1"), node("s2", voter=False), node("s3")], ["s1"]) == "server s2 does not vote in etcd yet"
    assert hindrance([node("s1"), node("s2")], ["s1"]) == "etcd needs 2 of 2 members, and 1 would be left"
    assert hindrance([node("s1")], ["s1"]) == ""
    assert hindrance([node("s1"), node("s2", ready=False), node("w", "agent")], ["w"]) == ""
    assert hindrance([node("s1"), node("s2", ready=False)], []) == "server s2 is not ready"
