#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_evidence
short_description: Gather evidence of a cluster for its controls
version_added: 0.2.0
description:
  - Measures what controls of clusters are judged by, as the API server tells it, for M(virt8ra.federation.compliance_report).
  - With O(k3s=true) it also reads what only the host of a k3s server knows. It runs there then, as root.
  - What cannot be measured is told as such, with the reason, and fails nothing here. Nothing is ever changed.
options:
  name:
    description: The cluster's name in the federation file.
    type: str
    required: true
  api:
    description:
      - Whether the API server is asked.
      - With O(api=false) and O(k3s=true) only the host of the server is read. Neither a kubeconfig nor the Kubernetes library for Python is needed then,
        so that it runs on servers as they are, and the API is asked from elsewhere. M(virt8ra.federation.compliance_report) puts both together.
    type: bool
    default: true
  kubeconfig:
    description:
      - The kubeconfig file that reaches the cluster, on the host where the module runs. Required with O(api=true).
      - If not set, the environment variable E(VIRT8RA_KUBECONFIG) is used.
    type: path
    required: false
  k3s:
    description:
      - Whether the module runs on a server of the cluster, and reads its files under C(/etc/rancher/k3s) and asks its C(k3s).
      - The kubeconfig of the server itself is C(/etc/rancher/k3s/k3s.yaml).
    type: bool
    default: false
  k3s_binary:
    description: How k3s is called on the server.
    type: path
    default: /usr/local/bin/k3s
  k3s_data_dir:
    description: The folder that C(--data-dir) names on the command line of k3s. If not set, it is what its files say, or C(/var/lib/rancher/k3s).
    type: path
  server:
    description:
      - The name of the server that the module runs on, with O(k3s=true). Evidence of several servers of a cluster is told apart by it.
      - If not set, it is the name of the host.
    type: str
notes:
  - With O(k3s=true), files are read without PyYAML as long as they have neither anchors, tags nor texts over several lines. Other files need
    PyYAML (python3-yaml) on the server.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.kubernetes
  - virt8ra.federation.site
seealso:
  - module: virt8ra.federation.cluster_info
  - module: virt8ra.federation.compliance_report
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Measure a cluster through its API
  virt8ra.federation.cluster_evidence:
    name: edge
    kubeconfig: ~/.kube/edge.kubeconfig
    site: "{{ federation_site }}"
  delegate_to: localhost
  register: edge

- name: Measure what only a server knows, on the server
  virt8ra.federation.cluster_evidence:
    name: edge
    server: "{{ federation_node.name }}"
    api: false
    k3s: true
    site: "{{ federation_site }}"
  become: true
"""

RETURN = r"""
evidence:
  description: What was measured, of one subject.
  returned: success
  type: dict
  contains:
    collected:
      description: When it was measured (ISO 8601, UTC).
      returned: always
      type: str
      sample: "2026-11-25T12:00:00Z"
    subjects:
      description:
        - The cluster, with C(type), C(name), C(site) and C(facts) by area.
        - Each fact has C(how) it was got, and either its C(data) or an C(error), one sentence.
        - A fact of a server's host has C(servers) as its data, with the name of the C(server) in each. What each server has of its own and could
          not be measured is also C(missing), a list of sentences.
      returned: always
      type: list
      elements: dict
      sample:
        - type: cluster
          name: edge
          site: rioja
          facts:
            images:
              how: "GET /api/v1/pods: image of each container"
              data:
                registries: [docker.io]
                images: [{image: "busybox:1.37", registry: docker.io, pods: 1}]
"""

import platform
from datetime import datetime, timezone
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.k3s_host import BINARY, K3sHost
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.k3s_areas import k3s_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import kubernetes_spec, site_spec

SPEC: dict[str, Any] = {
    **kubernetes_spec(),
    **site_spec(),
    "name": {"type": "str", "required": True},
    "api": {"type": "bool", "default": True},
    "k3s": {"type": "bool", "default": False},
    "k3s_binary": {"type": "path", "default": BINARY},
    "k3s_data_dir": {"type": "path"},
    "server": {"type": "str"},
}
# Only where the API is asked.
SPEC["kubeconfig"].pop("required")


def work(module: FederationModule) -> dict[str, Any]:
    site, now, params = module.site, datetime.now(timezone.utc), module.params
    if not (params["api"] or params["k3s"]):
        raise InputError("leaves nothing to be measured without k3s", option="api", value=False, remedy="set k3s or api to true")
    facts = _asked(module) if params["api"] else {}
    if params["k3s"]:
        host = K3sHost(binary=params["k3s_binary"], data_dir=params["k3s_data_dir"] or "")
        facts.update(k3s_facts(host, params["server"] or platform.node(), now))
    found = {"type": "cluster", "name": params["name"], "site": site.name, "facts": facts}
    return {"evidence": {"collected": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "subjects": [found]}}


def _asked(module: FederationModule) -> dict[str, Any]:
    # Only here: a server has no Kubernetes library, and needs none.
    from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.cluster_areas import cluster_facts

    api = module.cluster()
    try:
        return cluster_facts(api)
    finally:
        api.close()


def main() -> None:
    run_module(SPEC, work, required_if=[("api", True, ["kubeconfig"])])


if __name__ == "__main__":
    main()
