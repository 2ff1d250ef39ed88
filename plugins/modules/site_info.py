#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: site_info
short_description: Read what a hypervisor of a site has and can
version_added: 0.1.0
description:
  - Returns capacity, CPU, versions, storage pools, networks and health of the hypervisor where the module runs.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
seealso:
  - module: virt8ra.federation.vm_info
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Read what this hypervisor has
  virt8ra.federation.site_info:
    site: "{{ federation_site }}"
  register: here

- name: Fail where something is not in order
  ansible.builtin.assert:
    that: here.facts.healthy
    fail_msg: "{{ here.facts.faults | join('; ') }}"
"""

RETURN = r"""
site:
  description: The name of the site.
  returned: success
  type: str
  sample: es-madrid
facts:
  description: What was read. Sizes are bytes.
  returned: success
  type: dict
  contains:
    hostname:
      description: The name that the hypervisor gives itself.
      returned: always
      type: str
      sample: es-madrid-1
    capacity:
      description: What the host has, what its running VMs hold of it, and the memory that can be had now.
      returned: always
      type: dict
      sample: {cpus: 64, cpus_used: 12, memory: 270582939648, memory_used: 51539607552, memory_free: 214748364800, vms: 5, vms_running: 4}
    cpu:
      description:
        - The processor, the accelerator that a new VM gets, and the CPU models that a VM can have here.
        - C(baseline) is the richest of them that can be migrated, with the features that differ from the named model.
      returned: always
      type: dict
      sample:
        model: EPYC-Rome
        vendor: AMD
        accelerator: kvm
        baseline: {model: EPYC-Rome, features: [{policy: require, name: x2apic}]}
        models: [EPYC, EPYC-Rome, Nehalem]
        most_cpus: 288
        uefi: true
    machine_types:
      description: The pinned q35 machine types, newest first.
      returned: always
      type: list
      elements: str
      sample: [pc-q35-7.2, pc-q35-7.1]
    versions:
      description: Versions of libvirt and QEMU.
      returned: always
      type: dict
      sample: {libvirt: 9.0.0, qemu: 7.2.22}
    pools:
      description: The storage pools; C(storage) has the site's logical names for each.
      returned: always
      type: list
      elements: dict
      sample:
        - {name: vms, storage: [ssd], type: dir, path: /var/lib/libvirt/vms, active: true, capacity: 1000, used: 300, free: 700}
    networks:
      description: The networks; C(networks) has the site's logical names for each.
      returned: always
      type: list
      elements: dict
      sample: [{name: public, networks: [public], forward: nat, bridge: virbr0, active: true}]
    healthy:
      description: Whether there is no fault.
      returned: always
      type: bool
      sample: true
    faults:
      description: What is not in order, a sentence each.
      returned: always
      type: list
      elements: str
      sample: []
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import libvirt_spec, site_spec


def work(module: FederationModule) -> dict[str, Any]:
    return {"site": module.site.name, "facts": module.backend().facts()}


def main() -> None:
    run_module({**libvirt_spec(), **site_spec()}, work)


if __name__ == "__main__":
    main()
