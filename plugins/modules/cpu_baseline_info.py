#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cpu_baseline_info
short_description: Compute the CPU that a VM can have at several hypervisors
version_added: 0.1.0
description:
  - Asks the libvirt where the module runs for the richest CPU that this hypervisor and all of the others in O(cpus) can give to a guest.
  - A VM with that CPU can run at each of them, and move between them while it runs.
  - Where there is none, the module fails, names the hypervisor that breaks it, and the named models that all of them can run.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
options:
  hypervisor:
    description:
      - The name of this hypervisor in the federation, normally C(inventory_hostname). An entry of O(cpus) with this name is passed over.
      - If not set, the environment variable E(VIRT8RA_HYPERVISOR) is used.
    type: str
    required: true
  cpus:
    description:
      - The processors of the other hypervisors, each as M(virt8ra.federation.site_info) returned it there as C(facts.host_cpu).
    type: list
    elements: dict
    required: true
    suboptions:
      hypervisor:
        description: The hypervisor's name.
        type: str
        required: true
      accelerator:
        description: What its guests get.
        type: str
        choices: [kvm, tcg]
        required: true
      description:
        description: Its processor as XML; empty where its libvirt cannot name it.
        type: str
        required: true
      models:
        description: The named CPU models that can run there as they are.
        type: list
        elements: str
        required: true
      known_models:
        description: All CPU models that its QEMU has.
        type: list
        elements: str
        required: true
  accelerator:
    description: What the VM is to get, as O(virt8ra.federation.vm#module:accelerator).
    type: str
    choices: [auto, kvm, tcg]
    default: auto
seealso:
  - module: virt8ra.federation.site_info
  - module: virt8ra.federation.vm
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Read the processors of all hypervisors
  virt8ra.federation.site_info:
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
  register: seen

- name: Compute what all of them can give
  virt8ra.federation.cpu_baseline_info:
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
    cpus: "{{ ansible_play_hosts | map('extract', hostvars, ['seen', 'facts', 'host_cpu']) }}"
  run_once: true
  register: shared
"""

RETURN = r"""
baseline:
  description: The CPU, as a named model and the features that it adds to it or takes away.
  returned: success
  type: dict
  sample: {model: EPYC-Rome, features: [{policy: require, name: x2apic}, {policy: disable, name: xsaves}]}
features:
  description: The names of all features that a guest has with it.
  returned: success
  type: list
  elements: str
  sample: [aes, avx2, sse4.2, x2apic]
accelerator:
  description: For which accelerator it was computed.
  returned: success
  type: str
  sample: kvm
hypervisors:
  description: The hypervisors over which it was computed.
  returned: success
  type: list
  elements: str
  sample: [es-madrid-1, de-berlin-1]
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.host_cpu import read_cpus
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import (
    cpus_spec,
    hypervisor_spec,
    libvirt_spec,
    site_spec,
)


def work(module: FederationModule) -> dict[str, Any]:
    others = read_cpus(module.params["cpus"], "cpus")
    return module.backend().cpu_baseline(module.params["hypervisor"], others, module.params["accelerator"])


def main() -> None:
    options = {
        "cpus": {**cpus_spec(), "required": True},
        "accelerator": {"type": "str", "choices": ["auto", "kvm", "tcg"], "default": "auto"},
    }
    run_module({**options, **libvirt_spec(), **site_spec(), **hypervisor_spec()}, work)


if __name__ == "__main__":
    main()
