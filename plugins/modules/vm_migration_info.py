#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_migration_info
short_description: Read the migrations that a hypervisor knows of
version_added: 0.1.0
description:
  - Returns the journal of every migration that left, reached or is on its way to this hypervisor, and who owns the VM.
  - A warm migration is told of by its source until its cutover; the target holds its bulk progress meanwhile.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.libvirt
options:
  name:
    description: Only the VM of this name; nothing is returned when there is none.
    type: str
  state_path:
    description: Folder on this hypervisor in which the bulk progress and the locks are.
    type: path
    default: /var/lib/virt8ra
seealso:
  - module: virt8ra.federation.vm_migration
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Read all migrations here
  virt8ra.federation.vm_migration_info:
  register: here

- name: Read the one of a VM
  virt8ra.federation.vm_migration_info:
    name: web-1
"""

RETURN = r"""
migrations:
  description: The migrations by journals in the VMs' metadata here, sorted by the VM's name.
  returned: success
  type: list
  elements: dict
  contains:
    vm:
      description: Name of the VM.
      type: str
      returned: always
    uuid:
      description: UUID of the VM.
      type: str
      returned: always
    state:
      description: State of the copy that is here.
      type: str
      returned: always
    owner:
      description: Hypervisor and epoch of the owner, by the VM's metadata here; null for none.
      type: dict
      returned: always
    journal:
      description: The journal, with C(phase), C(mode), C(source), C(target), C(volumes) and C(figures).
      type: dict
      returned: always
received:
  description: What this hypervisor has recorded of the migrations towards it that are not released yet, sorted by the VM's name.
  returned: success
  type: list
  elements: dict
  contains:
    vm:
      description: Name of the VM.
      type: str
      returned: always
    source:
      description: Hypervisor that it comes from.
      type: str
      returned: always
    pending_bytes:
      description: Bytes that were still to copy when the last round began, without those that were copied since.
      type: int
      returned: always
    rounds:
      description: The rounds that were copied.
      type: list
      elements: dict
      returned: always
    at_work:
      description: Whether a run is at work on it now.
      type: bool
      returned: always
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.migration.listing import journals_here, received_here
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import libvirt_spec


def work(module: FederationModule) -> dict[str, Any]:
    name = module.params["name"]
    return {
        "migrations": journals_here(module.connection(), name),
        "received": received_here(module.params["state_path"], name),
    }


def main() -> None:
    spec = {"name": {"type": "str"}, "state_path": {"type": "path", "default": "/var/lib/virt8ra"}}
    run_module({**spec, **libvirt_spec()}, work)


if __name__ == "__main__":
    main()
