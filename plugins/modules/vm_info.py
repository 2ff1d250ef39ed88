#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: Read the VMs of a hypervisor
version_added: 0.1.0
description:
  - Returns the VMs of the hypervisor where the module runs, those of the federation and others, in the portable form.
  - The VMs' own words (names, descriptions) are returned as they are, and are never templated.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
options:
  name:
    description: Only the VM of this name; nothing is returned when there is none.
    type: str
seealso:
  - module: virt8ra.federation.vm
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Read all VMs of this hypervisor
  virt8ra.federation.vm_info:
    site: "{{ federation_site }}"
  register: here

- name: Read one VM
  virt8ra.federation.vm_info:
    name: guest
    site: "{{ federation_site }}"
  register: guest
"""

RETURN = r"""
vms:
  description: The VMs, sorted by name.
  returned: success
  type: list
  elements: dict
  contains:
    state:
      description: V(running), V(paused), V(stopped) or V(crashed).
      returned: always
      type: str
      sample: running
    vm:
      description:
        - The portable spec of the VM as it will start the next time, with the options of M(virt8ra.federation.vm) as keys.
        - Sizes are bytes. Storage and networks that the site does not map are empty.
      returned: always
      type: dict
      sample:
        name: guest
        cpus: 1
        memory: 268435456
        uuid: 5f1d4d5e-4d3f-4c7a-9a53-3f3f0d2f6a01
        description: ""
        cpu_model: Nehalem
        machine: pc-q35-7.2
        firmware: bios
        disks: [{name: vda, size: 67108864, storage: ssd, format: qcow2, bus: virtio, image: images/demo-guest.img, clone: full}]
        nics: [{network: public, mac: "52:3a:11:9f:04:c7", model: virtio}]
        console_log: true
        autostart: false
        allowed_countries: [ES, DE]
    owner:
      description: The one hypervisor that may run the VM, and the epoch of its ownership; null for a VM without.
      returned: always
      type: dict
      sample: {hypervisor: es-madrid-1, epoch: 1}
    addresses:
      description: The guest's IP addresses as far as they can be known, IPv4 first.
      returned: always
      type: list
      elements: str
      sample: [10.20.0.17]
    cloud_init:
      description: A digest of what the guest was given for its first boot; empty for nothing.
      returned: always
      type: str
      sample: 8d0c1c7c5b6a4e7f9a3b2d1e0f5a6c7b
    persistent:
      description: Whether the VM is still defined once it is off.
      returned: always
      type: bool
      sample: true
    managed:
      description: Whether the federation made the VM, or took it over.
      returned: always
      type: bool
      sample: true
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import libvirt_spec, site_spec


def work(module: FederationModule) -> dict[str, Any]:
    backend = module.backend()
    name = module.params["name"]
    if name is None:
        return {"vms": [status.to_dict() for status in backend.vms()]}
    found = backend.find_vm(name)
    return {"vms": [] if found is None else [found.to_dict()]}


def main() -> None:
    run_module({"name": {"type": "str"}, **libvirt_spec(), **site_spec()}, work)


if __name__ == "__main__":
    main()
