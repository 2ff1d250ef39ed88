#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_export
short_description: Write a VM as a bundle that any tool can read
description:
  - Writes the portable spec, the disks and what else belongs to a VM into a folder or a tar on the hypervisor, with a manifest of digests and an
    OVF descriptor. C(docs/bundle.md) of the collection says how it is read without it.
  - A VM that runs goes on. All of its disks are taken at the same instant by a pull-mode backup; its file systems are frozen for that instant
    where a guest agent answers, else the copy is what a guest finds after a loss of power, and a warning says so.
  - A VM that is off cannot be started while its disks are read.
  - The bundle is made under another name and published by one rename, so that a run that dies leaves none.
author:
  - The virt8ra.federation authors (@virt8ra)
version_added: 0.1.0
options:
  name:
    description: Name of the VM.
    type: str
    required: true
  path:
    description:
      - Path of the bundle on the hypervisor, whose folder exists. Everything in it is for root alone.
      - A whole bundle of the same VM that is there already is kept, unless O(force) is set. Anything else there is refused.
    type: path
    required: true
  form:
    description: A V(folder), or a V(tar) in which every file can be read in place.
    type: str
    choices: [folder, tar]
    default: folder
  format:
    description: Format of the disks' images. V(raw) images are sparse files.
    type: str
    choices: [qcow2, raw]
    default: qcow2
  compress:
    description: Pack the clusters of qcow2 images with zstd, which C(qemu-img) 5.1 and later read by themselves; slower, and smaller.
    type: bool
    default: false
  media:
    description: Discs in drives that go along. A V(cloud-init) disc is told by its label; it may hold secrets.
    type: str
    choices: [cloud-init, all, none]
    default: cloud-init
  force:
    description: Replace the VM's bundle that is there already. It is there until the new one is published.
    type: bool
    default: false
  state_path:
    description: Folder on the hypervisor in which the locks are.
    type: path
    default: /var/lib/virt8ra
  progress_path:
    description:
      - File on the hypervisor in which the module keeps its progress, as one line of JSON.
      - The action plugin of the same name sets it and shows what is written there.
    type: path
extends_documentation_fragment:
  - virt8ra.federation.attributes
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
  - virt8ra.federation.site.hypervisor
seealso:
  - module: virt8ra.federation.vm_import
"""

EXAMPLES = r"""
- name: Export a VM while it runs
  virt8ra.federation.vm_export:
    name: web-1
    path: /var/lib/libvirt/vms/web-1.bundle
    hypervisor: "{{ inventory_hostname }}"
    site: "{{ federation_site }}"

- name: Export it as one packed file
  virt8ra.federation.vm_export:
    name: web-1
    path: /var/lib/libvirt/vms/web-1.tar
    form: tar
    compress: true
    hypervisor: "{{ inventory_hostname }}"
    site: "{{ federation_site }}"
"""

RETURN = r"""
bundle:
  description: The bundle.
  returned: success
  type: dict
  contains:
    path:
      description: Where it is.
      type: str
    form:
      description: V(folder) or V(tar).
      type: str
    bytes:
      description: Sizes of its files in all. Not in check mode, where it would be made.
      type: int
    seconds:
      description: How long it took, where it was made now.
      type: float
    manifest:
      description:
        - Its manifest, with C(id), C(vm) (the portable spec), C(files), C(consistency), C(source), C(owner) and C(software).
        - Not in check mode, where it would be made.
      type: dict
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.export import Export
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.request import ExportRequest
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import export_spec
from ansible_collections.virt8ra.federation.plugins.module_utils.progress import ProgressFile

KEYS = ("name", "path", "form", "format", "compress", "media", "force")


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    progress = ProgressFile(params["progress_path"])
    progress.report("starting", {})
    request = ExportRequest(**{key: params[key] for key in KEYS})
    export = Export(
        request, module.site, params["hypervisor"], module.connection, params["uri"], params["state_path"], progress.report
    )
    result = export.run(check=module.check_mode)
    for text in result.pop("warnings"):
        module.warn(text)
    return result


def main() -> None:
    run_module(export_spec(), work)


if __name__ == "__main__":
    main()
