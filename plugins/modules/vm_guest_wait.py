#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_guest_wait
short_description: Wait until the system in a VM is there
version_added: 0.2.0
description:
  - Waits, on the hypervisor that runs the VM, until the guest agent answers, cloud-init has set the guest up, and it has an
    address. What it waits for is shown meanwhile.
  - Fails with the first error that cloud-init tells, or when it takes too long.
  - In check mode it does not wait, and tells what is there.
extends_documentation_fragment:
  - virt8ra.federation.libvirt
attributes:
  check_mode:
    description: Tells what is there, and neither waits nor touches a cable.
    support: full
  diff_mode:
    description: Changes nothing that could be shown before and after.
    support: none
options:
  name:
    description: The VM's name.
    type: str
    required: true
  timeout:
    description: Seconds that all of it may take.
    type: int
    default: 300
  cloud_init:
    description:
      - Whether to wait for cloud-init, which the guest agent must be allowed to read files for.
      - Unless it is set, a VM is waited for so that was given data by the option O(virt8ra.federation.vm#module:cloud_init).
    type: bool
  address:
    description: Whether to wait for an address.
    type: bool
    default: true
  renew_addresses:
    description:
      - Pull and plug the cable of each NIC that has no lease of a network with DHCP at this hypervisor, so that the guest asks for one.
      - It is for a VM that came from a site with other addresses, which a guest that was migrated live does not notice by itself.
      - Needs O(address).
    type: bool
    default: false
  progress_path:
    description: File on the hypervisor for the progress, one line of JSON. The action plugin sets it and shows it.
    type: path
seealso:
  - module: virt8ra.federation.vm
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Wait until the guest is set up
  virt8ra.federation.vm_guest_wait:
    name: web-1
  register: guest

- name: Have a guest that was migrated ask for an address of this site
  virt8ra.federation.vm_guest_wait:
    name: web-1
    renew_addresses: true
"""

RETURN = r"""
guest:
  description: What is known of the guest.
  returned: success
  type: dict
  contains:
    agent:
      description: Whether the guest agent answers.
      returned: always
      type: bool
      sample: true
    hostname:
      description: The guest's own name; empty where it is not told.
      returned: always
      type: str
      sample: web-1
    system:
      description: The operating system, with the keys C(id), C(name), C(version) and C(kernel); empty without an agent.
      returned: always
      type: dict
      sample: {id: debian, name: Debian GNU/Linux 12 (bookworm), version: "12", kernel: 6.1.0-40-cloud-amd64}
    addresses:
      description: Its IP addresses, best first.
      returned: always
      type: list
      elements: str
      sample: [10.20.0.17]
    cloud_init:
      description: Whether cloud-init is C(done), from which C(datasource), and its C(errors); null where it was not looked at.
      returned: always
      type: dict
      sample: {done: true, datasource: "DataSourceNoCloud [seed=/dev/sr0][dsmode=net]", errors: []}
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.guest_wait import Awaited, GuestWait
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import libvirt_spec
from ansible_collections.virt8ra.federation.plugins.module_utils.progress import ProgressFile

OPTIONS = {
    "name": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 300},
    "cloud_init": {"type": "bool"},
    "address": {"type": "bool", "default": True},
    "renew_addresses": {"type": "bool", "default": False},
    "progress_path": {"type": "path"},
}


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    awaited = Awaited(params["timeout"], params["cloud_init"], params["address"], params["renew_addresses"])
    wait = GuestWait(module.connection(), params["name"], awaited, ProgressFile(params["progress_path"]).report)
    guest = wait.found() if module.check_mode else wait.run()
    return {"changed": wait.renewed, "guest": guest}


def main() -> None:
    run_module({**OPTIONS, **libvirt_spec()}, work)


if __name__ == "__main__":
    main()
