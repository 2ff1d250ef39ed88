#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: datastore_steps_info
short_description: Say what is to be done next to move a k3s control plane by a snapshot
description:
  - From what the hosts of both ends show, it says which steps lead to the state that is wanted, in their order, and what stands in the way.
  - The servers of the source and those of the target never run at the same time. It fails when they do.
  - It contacts nobody; what it knows is given to it. The playbook C(migrate_cluster_datastore) looks at the hosts and takes the steps.
author:
  - The virt8ra.federation authors (@virt8ra)
version_added: 0.2.0
options:
  state:
    description: The state that is wanted.
    type: str
    choices: [planned, synced, completed, aborted, released]
    default: completed
  hosts:
    description:
      - The hosts, each with its C(name), its C(end) (V(source) or V(target)), its C(role) (V(server) or V(agent)), and its name as a C(node).
      - C(active) and C(enabled) tell of its unit of k3s, C(data) whether it has a datastore, C(datastore) of which kind (V(etcd), V(sqlite) or
        V(external)), C(version) that of its k3s, C(mark) how far this migration is there, and C(foreign) the name of another one.
    type: list
    elements: dict
    required: true
  volumes:
    description: The source's volumes, as the API server has them (C(kind) PersistentVolume). Those that are bound to a node matter.
    type: list
    elements: dict
    default: []
  version:
    description: Version of k3s that is going to be installed at the target.
    type: str
    default: ""
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
seealso:
  - module: virt8ra.federation.cluster_migration
"""

EXAMPLES = r"""
- name: See what would be done
  virt8ra.federation.datastore_steps_info:
    hosts:
      - {name: old1, end: source, role: server, active: true, enabled: true, data: true, datastore: etcd, version: v1.36.0+k3s1}
      - {name: new1, end: target, role: server, node: old1}
"""

RETURN = r"""
steps:
  description: What is to be done, in order.
  returned: success
  type: list
  elements: str
  sample: [seed, note, snapshot, fence, collect, delta, restore, join, settle]
blockers:
  description: What stands in the way; nothing may be done then.
  returned: success
  type: list
  elements: str
told:
  description: What a person should know before.
  returned: success
  type: list
  elements: str
pairs:
  description: Hosts of the source, each with the host of the target that takes its name as a node, and with it its local volumes.
  returned: success
  type: dict
  sample: {old1: new1}
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.datastore import (
    STATES,
    Host,
    local_volumes,
    next_steps,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    hosts = [Host.from_dict(host, f"hosts[{number}]") for number, host in enumerate(params["hosts"])]
    found = next_steps(params["state"], hosts, volumes=local_volumes(params["volumes"]), version=params["version"])
    return {
        "steps": list(found.steps),
        "blockers": list(found.blockers),
        "told": list(found.warnings),
        "pairs": dict(found.pairs or {}),
    }


def main() -> None:
    run_module(
        {
            "state": {"type": "str", "choices": list(STATES), "default": "completed"},
            "hosts": {"type": "list", "elements": "dict", "required": True},
            "volumes": {"type": "list", "elements": "dict", "default": []},
            "version": {"type": "str", "default": ""},
        },
        work,
    )


if __name__ == "__main__":
    main()
