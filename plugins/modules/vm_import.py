#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_import
short_description: Make a VM from a bundle
description:
  - Makes the VM of a bundle that M(virt8ra.federation.vm_export) wrote on the hypervisor where the module runs.
  - Everything is checked before anything is made. Each file's digest is compared while the disks are copied, every extent is read back from the
    volumes, and the VM is only defined when all of that is right. Otherwise nothing is left.
  - A run that was cut off is taken up by the next one with the same options. What is on the volumes by then is compared, and not copied again.
  - Of the bundle's domain only what belongs to the VM itself is taken, so that a bundle cannot point it at files or devices of the host.
author:
  - The virt8ra.federation authors (@virt8ra)
version_added: 0.1.0
options:
  path:
    description: Path of the bundle on the hypervisor, a folder or a tar.
    type: path
    required: true
  name:
    description: Name of the VM; without it the one in the bundle.
    type: str
  state:
    description: Whether the VM is only made, or started too.
    type: str
    choices: [present, running]
    default: present
  identity:
    description:
      - V(keep) the UUID and the MAC addresses, and count the owner's epoch on. It is refused where a hypervisor that is asked has the VM, or knows
        another owner of it.
      - Make V(new) ones, for a second VM. They are the same each time for the same bundle, hypervisor and O(name).
    type: str
    choices: [keep, new]
    default: keep
  storage:
    description: Other logical storage names here, as V(old) to V(new). Names that are not here stay.
    type: dict
    default: {}
  networks:
    description: Other logical network names here, as V(old) to V(new). Names that are not here stay.
    type: dict
    default: {}
  formats:
    description: Other formats of disks here, as V(vda) to V(raw).
    type: dict
    default: {}
  accelerator:
    description: V(auto) takes KVM where it is of use.
    type: str
    choices: [auto, kvm, tcg]
    default: auto
  connections:
    description: Connections that copy at the same time, over all disks of the VM together.
    type: int
    default: 4
  peers:
    description:
      - Other hypervisors that are asked whether they have the VM, as their names to their libvirt URIs. One that does not answer is a warning.
    type: dict
    default: {}
  fetch_from:
    description:
      - Libvirt URI of the hypervisor where the bundle is, at the same path. It is brought from there under TLS first, where it is not here yet.
    type: str
  state_path:
    description: Folder on the hypervisor in which the progress and the locks are.
    type: path
    default: /var/lib/virt8ra
  progress_path:
    description:
      - File on the hypervisor in which the module keeps its progress, as one line of JSON.
      - The action plugin of the same name sets it and shows what is written there.
    type: path
extends_documentation_fragment:
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
  - virt8ra.federation.site.hypervisor
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target. Digests are not compared then.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
seealso:
  - module: virt8ra.federation.vm_export
"""

EXAMPLES = r"""
- name: Make the VM of a bundle and start it
  virt8ra.federation.vm_import:
    path: /var/lib/libvirt/vms/web-1.bundle
    state: running
    hypervisor: "{{ inventory_hostname }}"
    site: "{{ federation_site }}"

- name: Make a second VM of it, on other storage
  virt8ra.federation.vm_import:
    path: /var/lib/libvirt/vms/web-1.bundle
    name: web-2
    identity: new
    storage:
      ssd: hdd
    hypervisor: "{{ inventory_hostname }}"
    site: "{{ federation_site }}"
"""

RETURN = r"""
vm:
  description: The portable spec of the VM.
  returned: when the bundle is on the hypervisor
  type: dict
bundle:
  description: What it was made from.
  returned: when the bundle is on the hypervisor
  type: dict
  contains:
    id:
      description: The bundle's UUID.
      type: str
    created:
      description: When it was made (ISO 8601, UTC).
      type: str
    source:
      description: C(site), C(hypervisor), C(provider) and C(country) where it was made.
      type: dict
    consistency:
      description: How its disks were taken, as C(method) and C(detail).
      type: dict
    copied_bytes:
      description: Bytes that were copied into the volumes in this run.
      type: int
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.importing import Import
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.request import ImportRequest
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import import_spec
from ansible_collections.virt8ra.federation.plugins.module_utils.progress import ProgressFile

KEYS = ("path", "state", "identity", "storage", "networks", "formats", "accelerator", "connections", "peers")


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    progress = ProgressFile(params["progress_path"])
    progress.report("starting", {})
    request = ImportRequest(**{key: params[key] for key in KEYS}, name=params["name"] or "", fetch_from=params["fetch_from"] or "")
    importing = Import(
        request, module.site, params["hypervisor"], module.connection, params["uri"], params["state_path"], progress.report
    )
    result = importing.run(check=module.check_mode)
    for text in result.pop("warnings"):
        module.warn(text)
    return result


def main() -> None:
    run_module(import_spec(), work)


if __name__ == "__main__":
    main()
