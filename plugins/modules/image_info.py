#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image_info
short_description: Read what is in the image library of a hypervisor
version_added: 0.1.0
description:
  - Returns the images that the module M(virt8ra.federation.image) brought to the hypervisor where it runs, and who backs on them.
  - It does not read the images again; RV(images[].intact) tells whether their files are those that were checked.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
options:
  name:
    description: Only the versions of this image.
    type: str
  storage:
    description: Logical storage that holds the library.
    type: str
    default: images
  state_path:
    description: Folder of the collection's state on the hypervisor.
    type: path
    default: /var/lib/virt8ra
seealso:
  - module: virt8ra.federation.image
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Read the library of this hypervisor
  virt8ra.federation.image_info:
    site: "{{ federation_site }}"
  register: library

- name: Tell which images nobody uses
  ansible.builtin.debug:
    msg: "{{ library.images | rejectattr('used_by') | map(attribute='volume') }}"
"""

RETURN = r"""
images:
  description: The images, by name, and of each name the newest version first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the image.
      type: str
    version:
      description: Its version.
      type: str
    format:
      description: V(qcow2) or V(raw).
      type: str
    sha256:
      description: SHA-256 digest of its file.
      type: str
    size:
      description: Bytes of its file.
      type: int
    virtual_size:
      description: Bytes of the disk that is in it.
      type: int
    checked:
      description: When its digest was last checked (ISO 8601, UTC).
      type: str
    origin:
      description: The hypervisor, URL or file that it was fetched from.
      type: str
    os_variant:
      description: What is in it, as libosinfo names it.
      type: str
    architecture:
      description: The processor architecture that it is for.
      type: str
    firmware:
      description: V(any), V(bios) or V(uefi).
      type: str
    pool:
      description: The pool.
      type: str
    volume:
      description: Its volume there.
      type: str
    path:
      description: The path of that volume.
      type: str
    intact:
      description: Whether the file still has the size, time and inode that it had when it was checked.
      type: bool
    used_by:
      description: VMs whose disks back on it, and volumes that do so and are no VM's.
      type: list
      elements: str
      sample: [VM web-1]
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.library.request import list_images
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import library_spec, libvirt_spec, site_spec


def work(module: FederationModule) -> dict[str, Any]:
    return {"images": list_images(module.params, module.site, module.connection)}


def main() -> None:
    run_module({"name": {"type": "str"}, **libvirt_spec(), **site_spec(), **library_spec()}, work)


if __name__ == "__main__":
    main()
