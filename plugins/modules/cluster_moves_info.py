#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_moves_info
short_description: Say in which order the nodes of a cluster move, and whether the next one may
description:
  - For a cluster whose nodes are VMs of the federation. They move one at a time, agents first, and only while every other node is ready and
    every other member of etcd has its vote, so that its quorum is never lost.
  - Nodes that are at their target are left alone; one that an earlier run had begun comes first.
  - It contacts nobody; what it knows is given to it. The playbook C(migrate_cluster) uses it with C(method=nodes).
author:
  - The virt8ra.federation authors (@virt8ra)
version_added: 0.2.0
options:
  nodes:
    description: The nodes, as the API server has them (C(kind) Node).
    type: list
    elements: dict
    required: true
  vms:
    description:
      - The VMs of the federation, each with C(vm), its C(hypervisor), and the C(migration) that it has, if any, as the inventory's
        C(federation_migration).
    type: list
    elements: dict
    default: []
  hypervisors:
    description: All hypervisors of the inventory.
    type: list
    elements: str
    default: []
  targets:
    description: Where each node goes, as V(node) to V(hypervisor); nodes that are not in it stay. Give this or O(to).
    type: dict
    default: {}
  to:
    description: Hypervisors over which all nodes are spread, servers apart from each other as far as that goes. Give this or O(targets).
    type: list
    elements: str
    default: []
  node_vms:
    description: Names of VMs that have another name than their nodes, as V(node) to V(vm).
    type: dict
    default: {}
  mode:
    description: Mode in which the VMs are moved, for what is to be warned of.
    type: str
    choices: [auto, live, warm, cold]
    default: auto
  turn:
    description: A node whose turn it is. The module fails when it may not go now. Only O(nodes) is looked at then.
    type: str
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: N/A
seealso:
  - module: virt8ra.federation.vm_migration
"""

EXAMPLES = r"""
- name: Read the nodes
  kubernetes.core.k8s_info:
    kubeconfig: edge.yaml
    kind: Node
  register: seen

- name: See in which order they would move
  virt8ra.federation.cluster_moves_info:
    nodes: "{{ seen.resources }}"
    vms:
      - {vm: edge-1, hypervisor: kvm1}
      - {vm: edge-2, hypervisor: kvm1}
    hypervisors: [kvm1, kvm3]
    to: [kvm3]

- name: See whether edge-1 may go now
  virt8ra.federation.cluster_moves_info:
    nodes: "{{ seen.resources }}"
    turn: edge-1
"""

RETURN = r"""
moves:
  description:
    - All nodes that were asked for, in their order, each with C(node), C(vm), C(source), C(target), whether it is a C(server), and its C(step),
      which is V(move), V(uncordon) or V(done).
  returned: when no turn was asked for
  type: list
  elements: dict
  sample: [{node: edge-2, vm: edge-2, source: kvm1, target: kvm3, step: move, server: false}]
left:
  description: Those of them that are not done, in the order in which they have to go on.
  returned: when no turn was asked for
  type: list
  elements: dict
blockers:
  description: What stands in the way; nothing may be moved then.
  returned: when no turn was asked for
  type: list
  elements: str
told:
  description: What a person should know before.
  returned: when no turn was asked for
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.nodes import (
    Machine,
    Member,
    Wanted,
    check_turn,
    next_moves,
    plan_nodes,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    members = [Member.from_object(node) for node in params["nodes"]]
    if params["turn"]:
        check_turn(members, params["turn"])
        return {}
    machines = [Machine.from_dict(vm, f"vms[{number}]") for number, vm in enumerate(params["vms"])]
    wanted = Wanted(params["targets"], params["to"], params["node_vms"], params["mode"])
    plan = plan_nodes(members, machines, wanted, params["hypervisors"])
    return {
        "moves": [move.to_dict() for move in plan.moves],
        "left": [move.to_dict() for move in next_moves(plan, members)],
        "blockers": list(plan.blockers),
        "told": list(plan.warnings),
    }


def main() -> None:
    many = {"type": "list", "elements": "str", "default": []}
    run_module(
        {
            "nodes": {"type": "list", "elements": "dict", "required": True},
            "vms": {"type": "list", "elements": "dict", "default": []},
            "hypervisors": many,
            "targets": {"type": "dict", "default": {}},
            "to": many,
            "node_vms": {"type": "dict", "default": {}},
            "mode": {"type": "str", "choices": ["auto", "live", "warm", "cold"], "default": "auto"},
            "turn": {"type": "str"},
        },
        work,
    )


if __name__ == "__main__":
    main()
