#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Bring an image of the library to a hypervisor, and take it away
version_added: 0.1.0
description:
  - Brings an image into the pool of the hypervisor where the module runs, as the volume C(<name>-<version>.<format>).
  - It comes from the nearest hypervisor of O(peers) that has it, hypervisor to hypervisor by libvirt under TLS; if none can give it, from
    its O(source).
  - It is written to a temporary volume and hashed meanwhile. Only when the digest is right it gets its name; otherwise nothing is left.
  - An image that names other files (a backing file, an external data file) or is of another format than it says is refused.
  - Whoever asks for the same image at the same time waits, and finds it.
  - Its digest is recorded in O(state_path), with the size, time and inode of its file, so that a second run need not read it again.
  - An image is not removed while a VM, or a volume, backs on it.
  - While it works the progress is shown.
extends_documentation_fragment:
  - virt8ra.federation.attributes
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
  - virt8ra.federation.site.hypervisor
options:
  name:
    description: Name of the image, without its version.
    type: str
    required: true
  version:
    description:
      - Its version. An image of one version never changes; another digest needs another version.
      - Needed with O(state=present), and with O(state=absent) unless O(keep) is given.
    type: str
  sha256:
    description: The SHA-256 digest of the file. Needed with O(state=present).
    type: str
  source:
    description: Where it comes from when no other hypervisor has it; one of its keys. Needed with O(state=present).
    type: dict
    suboptions:
      url:
        description: URL with V(https), V(http), or V(file) for a file of the hypervisor.
        type: str
      file:
        description: Path of a file on the controller.
        type: str
      site:
        description: Name of the site whose library has it.
        type: str
  format:
    description: Format of the file.
    type: str
    choices: [qcow2, raw]
    default: qcow2
  size:
    description: Size of the file, in bytes or with a binary unit. A file of another size is refused.
    type: str
  os_variant:
    description: What is in it, as libosinfo names it; free text.
    type: str
    default: ""
  architecture:
    description: The processor architecture that it is for.
    type: str
    default: x86_64
  firmware:
    description: The firmware that it boots with.
    type: str
    choices: [any, bios, uefi]
    default: any
  state:
    description:
      - V(present) has the image here, its digest checked.
      - V(absent) removes it, and fails while somebody backs on it. With O(keep) it removes old versions only.
    type: str
    choices: [present, absent]
    default: present
  storage:
    description: Logical storage that holds the library. Its pool here must be one of files.
    type: str
    default: images
  peers:
    description:
      - The federation's sites, each as C(federation_site) has it. Their hypervisors but this one are asked, the nearest first, by the round
        trip of TCP handshakes that are measured now; where a URI names no host, by distance.
      - One that does not answer is passed over.
    type: list
    elements: dict
    default: []
  verify:
    description: Read the image again, whatever its record says. A damaged one that nobody backs on is fetched anew.
    type: bool
    default: false
  keep:
    description: Keep so many of the newest versions of this name and remove older ones, but those that somebody backs on.
    type: int
  state_path:
    description: Folder of the collection's state on the hypervisor, as the role P(virt8ra.federation.kvm_host#role) makes it.
    type: path
    default: /var/lib/virt8ra
  pushed_path:
    description: Where O(source.file) was put on the hypervisor. The action plugin gives it.
    type: path
  progress_path:
    description: File on the hypervisor for the progress. The action plugin gives it.
    type: path
seealso:
  - module: virt8ra.federation.image_info
  - module: virt8ra.federation.vm
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Bring an image to this hypervisor
  virt8ra.federation.image:
    name: debian
    version: "12.8"
    sha256: 5a93fbc7b2b35f0f4e1f3d0c4c1a5d7e0e5b6f0c9b6ce7b7a3d1c7a3a3f0c2d1
    source: {url: "https://images.example/debian-12.8.qcow2"}
    peers: "{{ groups.hypervisors | map('extract', hostvars, 'federation_site') | unique }}"
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"

- name: Bring a file of the controller, and keep two versions of this image
  virt8ra.federation.image:
    name: appliance
    version: "7"
    sha256: 0f4e1f3d0c4c1a5d7e0e5b6f0c9b6ce7b7a3d1c7a3a3f0c2d15a93fbc7b2b35f
    format: raw
    source: {file: images/appliance.raw}
    keep: 2
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"

- name: Remove all versions but the newest
  virt8ra.federation.image:
    name: debian
    state: absent
    keep: 1
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
"""

RETURN = r"""
image:
  description: The image as the library here knows it, with the keys of RV(ignore:images) of M(virt8ra.federation.image_info) but C(used_by).
  returned: with O(state=present), when it is here
  type: dict
  sample:
    name: debian
    version: "12.8"
    format: qcow2
    sha256: 5a93fbc7b2b35f0f4e1f3d0c4c1a5d7e0e5b6f0c9b6ce7b7a3d1c7a3a3f0c2d1
    size: 349044736
    virtual_size: 3221225472
    checked: "2026-11-25T01:10:00+00:00"
    origin: es-madrid-1
    pool: images
    volume: debian-12.8.qcow2
    path: /var/lib/libvirt/images/debian-12.8.qcow2
    intact: true
fetched_from:
  description: The hypervisor, URL or file that it was fetched from; empty where it was here.
  returned: with O(state=present)
  type: str
  sample: es-madrid-1
removed:
  description: Versions that were removed.
  returned: success
  type: list
  elements: str
  sample: ["12.6"]
in_use:
  description: Old versions that O(keep) would have removed, with those who back on them.
  returned: success
  type: dict
  sample: {"12.7": ["VM web-1"]}
push:
  description: File on the controller that has to be brought to the hypervisor first. The action plugin does so, and runs the module again.
  returned: when nobody else has the image, and the module is run without its action plugin
  type: str
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.library.request import carry_out
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import image_spec
from ansible_collections.virt8ra.federation.plugins.module_utils.progress import ProgressFile


def work(module: FederationModule) -> dict[str, Any]:
    progress = ProgressFile(module.params["progress_path"])
    progress.report("starting", {})
    return carry_out(module.params, module.site, module.connection, progress, check=module.check_mode)


def main() -> None:
    run_module(
        image_spec(),
        work,
        required_if=[("state", "present", ("version", "sha256", "source")), ("state", "absent", ("version", "keep"), True)],
    )


if __name__ == "__main__":
    main()
