#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: k3s_plan
short_description: Say in which order the nodes of a k3s cluster are begun, joined, upgraded and removed
version_added: 0.1.0
description:
  - Decides, from what was seen of the hosts and of the cluster, whether a version may be installed and in which order the hosts have their turn.
  - It contacts nobody and changes nothing. The role C(virt8ra.federation.k3s_cluster) does what it says.
  - It refuses an even number of servers, a downgrade, an upgrade that skips a minor version, versions outside the supported skew, and to begin a
    cluster while a server that may hold it cannot be reached.
author:
  - The virt8ra.federation authors (@virt8ra)
options:
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  version:
    description: The version that all hosts shall have, as in V(v1.34.2+k3s1).
    type: str
    required: true
  datastore:
    description: Where the cluster's objects are kept.
    type: str
    choices: [etcd, sqlite]
    default: etcd
  agent_batch:
    description: How many agents have their turn at the same time. Servers go one by one.
    type: int
    default: 1
  members:
    description: The hosts that shall be in the cluster, in the inventory's order.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: Name in the inventory.
        type: str
        required: true
      node:
        description: Name of its Node in Kubernetes.
        type: str
        required: true
      role:
        description: What it is in the cluster.
        type: str
        choices: [server, agent]
        required: true
      installed:
        description: Version of k3s that is installed there; empty for none.
        type: str
        default: ""
      datastore:
        description: The datastore on its disk; empty for none.
        type: str
        choices: ["", etcd, sqlite]
        default: ""
      seen:
        description: Whether its disk was looked at.
        type: bool
        default: true
      answers:
        description: Whether its API server answers.
        type: bool
        default: false
      in_play:
        description: Whether this run may touch it.
        type: bool
        default: true
  nodes:
    description: The cluster's Nodes, as Kubernetes' API tells of them. Empty where there is no cluster.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
seealso:
  - plugin: virt8ra.federation.k3s_nodes
    plugin_type: filter
"""

EXAMPLES = r"""
- name: May these hosts have that version, and in which order?
  virt8ra.federation.k3s_plan:
    cluster: edge
    version: v1.34.2+k3s1
    members:
      - {host: edge-1, node: edge-1, role: server, installed: v1.33.6+k3s1, datastore: etcd, answers: true}
      - {host: edge-2, node: edge-2, role: agent}
  delegate_to: localhost
  register: planned
"""

RETURN = r"""
plan:
  description: What is to be done.
  returned: success
  type: dict
  contains:
    initialise:
      description: The host that begins the cluster; empty when there is one.
      type: str
      returned: always
    seed:
      description: The server that is asked, and that others join.
      type: str
      returned: always
    batches:
      description: Hosts in the order of their turns; those of one batch have it together.
      type: list
      elements: list
      returned: always
      sample: [[edge-1], [edge-2, edge-3]]
    joining:
      description: Hosts that are not in the cluster yet.
      type: list
      elements: str
      returned: always
    upgrading:
      description: Hosts whose version changes.
      type: list
      elements: str
      returned: always
    dead:
      description: Nodes of this cluster that are no members and do not run, as P(virt8ra.federation.k3s_nodes#filter) tells of them.
      type: list
      elements: dict
      returned: always
    leaving:
      description: Nodes of this cluster that are no members and run.
      type: list
      elements: dict
      returned: always
    steps:
      description: The same for people, a sentence each.
      type: list
      elements: str
      returned: always
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.fields import Fields
from ansible_collections.virt8ra.federation.plugins.module_utils.k3s import Member, NodeState, Version, Wanted, plan
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    given = module.params
    wanted = Wanted(
        cluster=given["cluster"],
        version=Version.parse(given["version"], "k3s_cluster_version"),
        datastore=given["datastore"],
        agent_batch=Fields(given, "").integer("agent_batch", None, 1, 2**31),
    )
    members = [Member.from_dict(member) for member in given["members"]]
    nodes = [NodeState.from_object(node) for node in given["nodes"]]
    return {"plan": plan(wanted, members, nodes).to_dict()}


def main() -> None:
    member = {
        "host": {"type": "str", "required": True},
        "node": {"type": "str", "required": True},
        "role": {"type": "str", "required": True, "choices": ["server", "agent"]},
        "installed": {"type": "str", "default": ""},
        "datastore": {"type": "str", "default": "", "choices": ["", "etcd", "sqlite"]},
        "seen": {"type": "bool", "default": True},
        "answers": {"type": "bool", "default": False},
        "in_play": {"type": "bool", "default": True},
    }
    run_module(
        {
            "cluster": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "datastore": {"type": "str", "default": "etcd", "choices": ["etcd", "sqlite"]},
            "agent_batch": {"type": "int", "default": 1},
            "members": {"type": "list", "elements": "dict", "required": True, "options": member},
            "nodes": {"type": "list", "elements": "dict", "default": []},
        },
        work,
    )


if __name__ == "__main__":
    main()
