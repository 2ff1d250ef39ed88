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
  - Returns capacity, CPU, devices, firmware, versions, storage pools, networks and health of the hypervisor where the module runs.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
options:
  hypervisor:
    description:
      - The name of this hypervisor in the federation, normally C(inventory_hostname).
      - With it, the stopped copies of VMs that moved on to another hypervisor are told apart from VMs that are only off here.
      - If not set, the environment variable E(VIRT8RA_HYPERVISOR) is used, and without it every VM that is off counts as one of this hypervisor.
    type: str
seealso:
  - module: virt8ra.federation.vm_info
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Read what this hypervisor has
  virt8ra.federation.site_info:
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
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
      description:
        - What the host has, what its running VMs hold of it, and the memory that can be had now.
        - C(cpus_stopped) and C(memory_stopped) are what the VMs that are off take when they are started. The stopped copies that VMs left here
          when they moved on are in C(vms), and in C(vms_kept) if O(hypervisor) is set, and are promised nothing then.
      returned: always
      type: dict
      sample:
        cpus: 64
        cpus_used: 12
        cpus_stopped: 2
        memory: 270582939648
        memory_used: 51539607552
        memory_stopped: 4294967296
        memory_free: 214748364800
        vms: 6
        vms_running: 4
        vms_kept: 1
    cpu:
      description:
        - The processor, the accelerator that a new VM gets, and the CPU models that a VM can have here.
        - C(baseline) is the richest of them that can be migrated, with the features that differ from the named model.
        - C(features) are the names of all features that a guest can have and keep on a migration. They are empty, like the baseline, where
          libvirt cannot name the processor.
      returned: always
      type: dict
      sample:
        model: EPYC-Rome
        vendor: AMD
        accelerator: kvm
        baseline: {model: EPYC-Rome, features: [{policy: require, name: x2apic}]}
        features: [aes, avx2, sse4.2, x2apic]
        models: [EPYC, EPYC-Rome, Nehalem]
        most_cpus: 288
        uefi: true
    host_cpu:
      description:
        - The processor as M(virt8ra.federation.cpu_baseline_info) and O(virt8ra.federation.vm#module:baseline_cpus) take it, under the name that
          O(hypervisor) gives.
        - C(description) is the processor in libvirt's XML, empty where libvirt cannot name it. C(models) can run here as they are;
          C(known_models) are all that QEMU has, also those that need features which this processor has not.
      returned: always
      type: dict
      sample:
        hypervisor: es-madrid-1
        accelerator: kvm
        description: <cpu mode="custom" match="exact"><model fallback="forbid">EPYC-Rome</model></cpu>
        models: [EPYC, EPYC-Rome, Nehalem]
        known_models: [EPYC, EPYC-Milan, EPYC-Rome, Nehalem]
    firmware:
      description: The firmware that a VM can have here.
      returned: always
      type: list
      elements: str
      sample: [bios, uefi]
    devices:
      description:
        - What a VM could be given of the host's devices, by address. M(virt8ra.federation.vm) gives none yet.
        - PCI functions that an IOMMU keeps apart, without bridges, and the slices (mdev) that devices can be cut into.
        - A PCI function is free while no VM has it, running or not, and no driver of the host's own holds it; bind it to C(vfio-pci) to offer it.
      returned: always
      type: list
      elements: dict
      contains:
        kind:
          description: V(gpu) for a display controller, V(mdev) for slices of a device, V(pci) for all else.
          returned: always
          type: str
          sample: gpu
        vendor:
          description: The vendor's PCI number, in four hexadecimal digits.
          returned: always
          type: str
          sample: 10de
        product:
          description: The product's PCI number, in four hexadecimal digits.
          returned: always
          type: str
          sample: 1eb8
        name:
          description: The names of vendor and product as the host knows them, or the name of the kind of slice.
          returned: always
          type: str
          sample: NVIDIA Corporation TU104GL [Tesla T4]
        address:
          description: The PCI address, of slices that of their device.
          returned: always
          type: str
          sample: "0000:3b:00.0"
        driver:
          description: The driver that holds the device; empty for none.
          returned: always
          type: str
          sample: vfio-pci
        type:
          description: The kind of slice, as libvirt names it; empty for a whole device.
          returned: always
          type: str
          sample: nvidia-222
        count:
          description: How many there are, with those that are taken; of slices, as many as the device can still be cut into, and those that are made.
          returned: always
          type: int
          sample: 1
        free:
          description: How many of them can be had now.
          returned: always
          type: int
          sample: 1
    numa:
      description: The NUMA cells, with the number of their CPUs.
      returned: always
      type: list
      elements: dict
      sample: [{id: 0, cpus: 32, memory: 135291469824}, {id: 1, cpus: 32, memory: 135291469824}]
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
from ansible_collections.virt8ra.federation.plugins.module_utils.options import hypervisor_spec, libvirt_spec, site_spec


def work(module: FederationModule) -> dict[str, Any]:
    return {"site": module.site.name, "facts": module.backend().facts(module.params["hypervisor"] or "")}


def main() -> None:
    run_module({**libvirt_spec(), **site_spec(), **hypervisor_spec(required=False)}, work)


if __name__ == "__main__":
    main()
