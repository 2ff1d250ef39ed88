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
  k3s:
    description:
      - Whether the module runs on a server of the cluster, and reads its files under C(/etc/rancher/k3s) and asks its C(k3s) too.
      - The kubeconfig of the server itself is C(/etc/rancher/k3s/k3s.yaml).
    type: bool
    default: false
  k3s_binary:
    description: How k3s is called on the server.
    type: path
    default: /usr/local/bin/k3s
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

- name: Measure it on one of its servers, with what only the server knows
  virt8ra.federation.cluster_evidence:
    name: edge
    kubeconfig: /etc/rancher/k3s/k3s.yaml
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

from datetime import datetime, timezone
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.k3s_host import BINARY, K3sHost
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.cluster_areas import cluster_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.k3s_areas import k3s_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import kubernetes_spec, site_spec

SPEC = {
    **kubernetes_spec(),
    **site_spec(),
    "name": {"type": "str", "required": True},
    "k3s": {"type": "bool", "default": False},
    "k3s_binary": {"type": "path", "default": BINARY},
}


def work(module: FederationModule) -> dict[str, Any]:
    site, now = module.site, datetime.now(timezone.utc)
    api = module.cluster()
    try:
        facts = cluster_facts(api)
    finally:
        api.close()
    if module.params["k3s"]:
        facts.update(k3s_facts(K3sHost(binary=module.params["k3s_binary"]), now))
    found = {"type": "cluster", "name": module.params["name"], "site": site.name, "facts": facts}
    return {"evidence": {"collected": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "subjects": [found]}}


def main() -> None:
    run_module(SPEC, work)


if __name__ == "__main__":
    main()
