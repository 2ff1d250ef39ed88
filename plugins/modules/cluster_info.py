#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Read what a k3s or Kubernetes cluster is and has
version_added: 0.2.0
description:
  - Returns version, distribution, nodes, storage classes and the number of namespaces of a cluster, as its API server tells them.
  - Runs wherever the API server can be reached, normally on the controller.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.kubernetes
seealso:
  - module: virt8ra.federation.site_info
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Read what the cluster has
  virt8ra.federation.cluster_info:
    kubeconfig: ~/.kube/edge.kubeconfig
  delegate_to: localhost
  register: edge

- name: Fail while a node is not ready
  ansible.builtin.assert:
    that: edge.facts.nodes | rejectattr('ready') | length == 0
    fail_msg: "Not ready: {{ edge.facts.nodes | rejectattr('ready') | map(attribute='name') | join(', ') }}"
"""

RETURN = r"""
facts:
  description: What was read. Sizes are bytes.
  returned: success
  type: dict
  contains:
    name:
      description: The context of the kubeconfig.
      returned: always
      type: str
      sample: edge
    server:
      description: URL of the API server.
      returned: always
      type: str
      sample: https://198.51.100.20:6443
    uid:
      description: UID of the namespace C(kube-system), which tells clusters apart whatever they are called.
      returned: always
      type: str
      sample: 1b0b5c5e-9d5c-4f9a-a1b6-8f7c8f1c9c55
    version:
      description: Version of the API server.
      returned: always
      type: str
      sample: v1.36.1+k3s1
    distribution:
      description: V(k3s), or V(other).
      returned: always
      type: str
      sample: k3s
    nodes:
      description: The nodes, by name.
      returned: always
      type: list
      elements: dict
      contains:
        name:
          description: Name of the node.
          returned: always
          type: str
          sample: edge-1
        uid:
          description: UID of the node.
          returned: always
          type: str
          sample: 0c2f3a53-3b38-4a52-8a0e-6ec3a6a5f2f1
        address:
          description: Its first InternalIP, else its first ExternalIP; empty for none.
          returned: always
          type: str
          sample: 198.51.100.21
        addresses:
          description: All of its addresses, with their types.
          returned: always
          type: list
          elements: dict
          sample: [{type: InternalIP, address: 198.51.100.21}, {type: Hostname, address: edge-1}]
        role:
          description: V(server) for a member of the control plane or of etcd, else V(agent).
          returned: always
          type: str
          sample: server
        roles:
          description: The roles in its labels.
          returned: always
          type: list
          elements: str
          sample: [control-plane, etcd]
        ready:
          description: Whether the cluster sees it ready.
          returned: always
          type: bool
          sample: true
        schedulable:
          description: Whether it takes new pods, as far as nobody cordoned it.
          returned: always
          type: bool
          sample: true
        version:
          description: Version of its kubelet.
          returned: always
          type: str
          sample: v1.36.1+k3s1
        capacity:
          description: What it has.
          returned: always
          type: dict
          sample: {cpus: 4, memory: 8326922240, storage: 52521566208, pods: 110}
        allocatable:
          description: What of it pods can have.
          returned: always
          type: dict
          sample: {cpus: 3.9, memory: 8326922240, storage: 51092979528, pods: 110}
        os_image:
          description: Its operating system, as it names itself.
          returned: always
          type: str
          sample: Debian GNU/Linux 12 (bookworm)
        architecture:
          description: Its processor architecture, as Go names it.
          returned: always
          type: str
          sample: amd64
    storage_classes:
      description: The storage classes, by name.
      returned: always
      type: list
      elements: dict
      sample:
        - name: local-path
          provisioner: rancher.io/local-path
          default: true
          reclaim_policy: Delete
          binding_mode: WaitForFirstConsumer
          expandable: false
    namespaces:
      description: The number of namespaces.
      returned: always
      type: int
      sample: 6
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.cluster_facts import cluster_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import kubernetes_spec


def work(module: FederationModule) -> dict[str, Any]:
    api = module.cluster()
    try:
        return {"facts": cluster_facts(api)}
    finally:
        api.close()


def main() -> None:
    run_module(kubernetes_spec(), work)


if __name__ == "__main__":
    main()
