#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: compliance_evidence
short_description: Measure what compliance of a hypervisor and its VMs is judged by
version_added: 0.3.0
description:
  - Returns facts by area, each with the call or command by which it was got, or with the sentence why it could not be had.
  - Changes nothing, and judges nothing; M(virt8ra.federation.compliance_report) does.
  - It runs on the hypervisor, and returns it and all its VMs.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
options:
  hypervisor:
    description: The name of this hypervisor in the federation.
    type: str
    required: true
seealso:
  - module: virt8ra.federation.cluster_evidence
  - module: virt8ra.federation.compliance_report
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Gather the evidence of a hypervisor and its VMs
  virt8ra.federation.compliance_evidence:
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
  register: gathered
"""

RETURN = r"""
evidence:
  description: The time of the measurement, and the subjects with their facts by area.
  returned: success
  type: dict
  sample:
    collected: "2026-11-25T12:00:00Z"
    subjects:
      - type: hypervisor
        name: es-madrid-1
        site: es-madrid
        facts:
          plain_tcp: {how: "TCP connection to 127.0.0.1:16509", data: {open: false, sockets: {}}}
"""

import time
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.host import iso_time
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.gathering import hypervisor_evidence
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import libvirt_spec, site_spec


def work(module: FederationModule) -> dict[str, Any]:
    collected = iso_time(time.time())
    conn = module.connection(read_only=True)
    try:
        subjects = hypervisor_evidence(conn, module.params["hypervisor"], module.site.name)
    finally:
        conn.close()
    return {"evidence": {"collected": collected, "subjects": subjects}}


def main() -> None:
    run_module({**libvirt_spec(), **site_spec(), "hypervisor": {"type": "str", "required": True}}, work)


if __name__ == "__main__":
    main()
