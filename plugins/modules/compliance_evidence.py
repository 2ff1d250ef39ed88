#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: compliance_evidence
short_description: Gather evidence of a hypervisor and its VMs
version_added: 0.1.0
description:
  - Measures what controls are judged by, at the hypervisor where the module runs, and of all its VMs. M(virt8ra.federation.compliance_report) judges it.
  - Nothing is judged here, nothing is changed, and nothing is asked of other hosts. What cannot be measured is an error of its area, with the reason.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
options:
  hypervisor:
    description:
      - The name of this hypervisor in the federation, normally C(inventory_hostname).
      - If not set, the environment variable E(VIRT8RA_HYPERVISOR) is used.
    type: str
    required: true
  address:
    description:
      - Where libvirt's own ports of this hypervisor are tried. Use the address at which other hypervisors reach it.
      - A port that is closed at another address, such as that of the host to itself, proves nothing.
    type: str
    required: true
  state_path:
    description: Where migrations keep their receipts on this hypervisor, in C(receipts) below.
    type: path
    default: /var/lib/virt8ra
  sbom:
    description: The software bill of materials of this hypervisor, CycloneDX in JSON.
    type: path
    default: /var/lib/virt8ra/sbom.cdx.json
seealso:
  - module: virt8ra.federation.compliance_report
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Gather evidence of a hypervisor and its VMs
  virt8ra.federation.compliance_evidence:
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
    address: "{{ ansible_host }}"
  register: gathered
"""

RETURN = r"""
evidence:
  description:
    - The hypervisor and its VMs as C(subjects), each with its C(facts) by area. A fact has C(how), and either C(data) or C(error).
    - The page C(docs/compliance-evidence.md) has all areas and their fields.
  returned: success
  type: dict
  sample:
    collected: "2026-11-25T12:00:00Z"
    subjects:
      - type: hypervisor
        name: es-madrid-1
        site: es-madrid
        facts:
          plain_tcp: {how: "TCP connection to 192.0.2.11:16509", data: {open: false}}
          libvirt_tls: {how: /etc/libvirt/qemu.conf, error: there is no /etc/libvirt/qemu.conf}
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.host.reading import Host
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.bulk import definitions, pool_definitions
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.hypervisor import Place, gather
from ansible_collections.virt8ra.federation.plugins.module_utils.image_records import STATE_PATH
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import hypervisor_spec, libvirt_spec, site_spec


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    place = Place(params["hypervisor"], module.site.name, params["address"], params["state_path"], params["sbom"])
    connection = module.connection(read_only=True)
    roots = definitions(connection, params["connect_timeout"])
    return {"evidence": gather(place, Host(), roots, pool_definitions(connection))}


def main() -> None:
    own = {
        "address": {"type": "str", "required": True},
        "state_path": {"type": "path", "default": STATE_PATH},
        "sbom": {"type": "path", "default": f"{STATE_PATH}/sbom.cdx.json"},
    }
    run_module({**libvirt_spec(), **site_spec(), **hypervisor_spec(), **own}, work)


if __name__ == "__main__":
    main()
