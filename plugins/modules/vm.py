#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: vm
short_description: Create, change, start, stop and remove a VM
version_added: 0.1.0
description:
  - Brings one VM on the hypervisor where the module runs to the portable spec that its options describe.
  - What is not given stays as it is. A second run changes nothing.
  - Everything that cannot be is refused before anything is touched.
  - A VM that is there is changed in place, and while it runs where that is possible; what waits for the VM's next start is
    returned in RV(restart_fields).
extends_documentation_fragment:
  - virt8ra.federation.attributes
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
  - virt8ra.federation.site.hypervisor
options:
  name:
    description: The VM's name. It cannot be changed.
    type: str
    required: true
  state:
    description:
      - V(present) makes sure that the VM exists, and leaves it on or off as it is; a new one is off.
      - V(running) starts it, or lets it go on if it is paused.
      - V(stopped) asks its guest to shut down, see O(shutdown_timeout) and O(force).
      - V(absent) stops it and removes its definition. Its disks stay, unless O(remove_disks) is set.
    type: str
    choices: [present, running, stopped, absent]
    default: present
  cpus:
    description:
      - Number of virtual CPUs. Needed to create a VM.
      - A running VM can be given more, up to twice as many as it was created with; fewer, or still more, need a restart.
    type: int
  memory:
    description:
      - Memory, in bytes or with a binary unit such as V(512MiB). Needed to create a VM.
      - A running VM can be given less, and back up to what it was started with; more needs a restart.
    type: str
  uuid:
    description: The VM's UUID. A new VM gets one by itself; it cannot be changed.
    type: str
  description:
    description: What the VM is for, in free text.
    type: str
  cpu_model:
    description:
      - A named CPU model, or V(baseline) for the richest one of this hypervisor that can be migrated, stored under its name.
      - A baseline is computed once, when the VM is created; on a VM that exists it keeps the model that the VM has.
      - With O(baseline_cpus), it is the richest one that those hypervisors can run as well.
      - A new VM gets V(Nehalem) unless this is set, which nearly every machine of the last fifteen years can run.
    type: str
  machine:
    description:
      - A pinned machine type such as V(pc-q35-7.2).
      - A new VM gets the newest one of the hypervisor unless this is set, and keeps it.
    type: str
  firmware:
    description: A new VM gets V(bios) unless this is set; it cannot be changed.
    type: str
    choices: [bios, uefi]
  disks:
    description:
      - All disks that the VM shall have. A disk that is not in the list is taken from the VM.
      - Its volume is called C(<vm>-<disk>.<format>). It stays when the disk is taken away, unless O(remove_disks) is set.
    type: list
    elements: dict
    suboptions:
      name:
        description: The device, such as V(vda) on the bus V(virtio) or V(sda) on others.
        type: str
        required: true
      size:
        description:
          - Virtual size, in bytes or with a binary unit such as V(20GiB). Needed for a new disk.
          - A disk can grow, also while the VM runs. It never shrinks.
        type: str
      storage:
        description: Logical name of the storage, as the site maps it. Needed for a new disk.
        type: str
      format:
        description: A new disk gets V(qcow2) unless this is set; it cannot be changed.
        type: str
        choices: [qcow2, raw]
      bus:
        description: A new disk gets V(virtio) unless this is set; it cannot be changed.
        type: str
        choices: [virtio, scsi, sata]
      image:
        description:
          - What a new disk is made from. A disk that exists is never written over.
          - C(<name>:<version>) is an image of the library at this hypervisor, as M(virt8ra.federation.image) brought it; C(<name>) is the
            newest version of it there. C(<logical storage>/<volume>) is any other volume.
        type: str
      clone:
        description:
          - How a new disk is made from its image. V(full) copies it, and is what a new disk gets unless this is set.
          - V(thin) makes a qcow2 volume that backs on the image, which must be of the library, with both in pools of files. The image
            cannot be removed meanwhile. A migration brings such a disk over whole.
        type: str
        choices: [full, thin]
  nics:
    description:
      - All network interfaces that the VM shall have. One that is not in the list is taken from the VM.
      - An interface is known by its MAC address, or by its network where no address is given.
    type: list
    elements: dict
    suboptions:
      network:
        description: Logical name of the network, as the site maps it.
        type: str
        required: true
      mac:
        description: MAC address. A new interface gets one by itself, and keeps it.
        type: str
      model:
        description: A new interface gets V(virtio) unless this is set.
        type: str
        choices: [virtio, e1000e, rtl8139]
  console_log:
    description: Keep what the guest writes to its serial console in C(/var/log/libvirt/qemu/<name>-console.log) on the hypervisor.
    type: bool
  autostart:
    description: Start the VM with the hypervisor.
    type: bool
  allowed_countries:
    description:
      - ISO 3166-1 codes of the countries in which the VM may run; an empty list allows all.
      - They travel with the VM, and every migration keeps to them.
    type: list
    elements: str
  placement:
    description:
      - Where the VM may run beside O(allowed_countries), and where it had better run. M(virt8ra.federation.placement) finds the place.
      - It is replaced as a whole. It travels with the VM and holds on every migration. An empty mapping takes it away.
      - Rules that contradict each other are refused.
    type: dict
    suboptions:
      forbidden_countries:
        description: ISO 3166-1 codes of the countries in which it may not run.
        type: list
        elements: str
      allowed_providers:
        description: The only providers at whose sites it may run.
        type: list
        elements: str
      forbidden_providers:
        description: The providers at whose sites it may not run.
        type: list
        elements: str
      certifications:
        description: What the site must have attested, by the claims of its C(attestations) that have not expired.
        type: list
        elements: str
      cpu_features:
        description: Names of CPU features that a guest must be able to have there, such as V(avx2).
        type: list
        elements: str
      devices:
        description: Devices of the hypervisor that must be free there.
        type: list
        elements: dict
        suboptions:
          kind:
            description: The kind as M(virt8ra.federation.site_info) tells it, such as V(gpu).
            type: str
            required: true
          vendor:
            description: Part of the device's name such as V(NVIDIA), or the vendor's PCI ID such as V(10de). Any vendor unless this is set.
            type: str
          product:
            description: Part of the device's name, or the product's PCI ID. Any product unless this is set.
            type: str
          count:
            description: How many of them; one unless this is set.
            type: int
      groups:
        description:
          - Labels of groups that the VM belongs to. Those in O(placement.anti_affinity) and O(placement.keep_together) need not be repeated.
        type: list
        elements: str
      anti_affinity:
        description: Groups of which no two VMs run at the same place.
        type: list
        elements: dict
        suboptions:
          group:
            description: The label of the group.
            type: str
            required: true
          level:
            description: What the same place is; V(hypervisor) unless this is set.
            type: str
            choices: [hypervisor, site, provider]
      affinity:
        description: Groups of which another VM must run at the same place. The VM does not belong to the group by this.
        type: list
        elements: dict
        suboptions:
          group:
            description: The label of the group.
            type: str
            required: true
          level:
            description: What the same place is; V(hypervisor) unless this is set.
            type: str
            choices: [hypervisor, site, provider]
      keep_together:
        description: Groups all of whose VMs run at the same place.
        type: list
        elements: dict
        suboptions:
          group:
            description: The label of the group.
            type: str
            required: true
          level:
            description: What the same place is; V(hypervisor) unless this is set.
            type: str
            choices: [hypervisor, site, provider]
      round_trips:
        description:
          - What it shall be near to, each exactly one of C(site), C(vm) and C(point).
          - A measured median counts. Where nothing was measured, the distance says what it is at least.
        type: list
        elements: dict
        suboptions:
          site:
            description: The name of a site.
            type: str
          vm:
            description: The name of another VM.
            type: str
          point:
            description: The name of a point of a user's, by which it was measured or which has coordinates.
            type: str
          latitude:
            description: Degrees north of the point.
            type: float
          longitude:
            description: Degrees east of the point.
            type: float
          max_ms:
            description: The most milliseconds there and back. Without it, only the weights speak of it.
            type: float
      weights:
        description: How much each wish counts, 0 or more. Without any, V(spread) alone counts.
        type: dict
        suboptions:
          round_trip:
            description: Short round trips to O(placement.round_trips).
            type: float
          spread:
            description: Hypervisors of which most is free.
            type: float
          pack:
            description: Hypervisors of which least is free.
            type: float
          price:
            description: A low price, by the site's C(cpu_price) and C(memory_price).
            type: float
          energy:
            description: Little energy, by the site's C(energy).
            type: float
          distance:
            description: Short distances to O(placement.round_trips).
            type: float
          provider_diversity:
            description: Providers that run few of the VMs.
            type: float
      override:
        description: Why it is at a hypervisor that breaks its rules; the playbook C(deploy) writes it.
        type: dict
        suboptions:
          hypervisor:
            description: The name of that hypervisor.
            type: str
            required: true
          reason:
            description: The reason, in a sentence.
            type: str
            required: true
      unreadable:
        description: Why a policy that travelled with the VM cannot be read. Nobody writes it; such a VM goes nowhere until it has a new policy.
        type: str
  cloud_init:
    description:
      - What cloud-init in the guest is given for its first boot, by a disc of the data source NoCloud in a drive of the VM.
      - It is checked before anything is touched. An error names the key and never shows the value.
      - The disc is the volume C(<vm>-cloud-init.iso) in the pool of the VM's first disk, for root and QEMU alone. It goes along
        with every migration, and is deleted with the VM.
      - It is made anew, and changed in the drive of a running VM, when what is given here changes. Of that only a digest is
        returned and kept. A guest that has been set up heeds most of it only with another O(cloud_init.instance_id).
      - When it is not given, the disc stays as it is. An empty mapping takes it away.
    type: dict
    suboptions:
      user_data:
        description:
          - The keys of C(#cloud-config), such as C(users), C(write_files) and C(runcmd), as a mapping.
          - Names of keys and types of values are checked; the common ones in full.
        type: dict
      network_config:
        description:
          - cloud-init's network configuration, version 2 (as netplan has it) or 1, as a mapping.
          - Without it, the guest asks DHCP on its first interface.
        type: dict
      meta_data:
        description:
          - Further meta-data, such as V(local-hostname) and V(public-keys), as a mapping.
          - The guest is called as the VM unless a host name is given here or in O(cloud_init.user_data).
        type: dict
      ssh_host_keys:
        description:
          - The guest's SSH host keys, with the keys V(ed25519_private), V(ed25519_public) and those of V(ecdsa) and V(rsa).
          - Without it, the guest makes its own.
        type: dict
      instance_id:
        description:
          - cloud-init sets up a guest once for each instance ID. Another one makes it do so again at the next boot.
          - It is the VM's UUID unless it is given.
        type: str
      bus:
        description:
          - Where the drive is, for one that is not there yet. It is V(scsi) unless this is set.
          - Kernels made for clouds, as Debian's, know no V(sata); systems without a driver for virtio-scsi know nothing else.
        type: str
        choices: [scsi, sata]
  adopt:
    description: Take over a VM that the federation does not manage yet. Without it, such a VM is not touched.
    type: bool
    default: false
  remove_disks:
    description: Delete the volumes of disks that go, be it with the VM or one by one. It cannot be undone.
    type: bool
    default: false
  accelerator:
    description:
      - V(auto) is KVM where libvirt offers it, a probe guest really runs and the processor can run a V(Nehalem); otherwise
        emulation, with a warning.
      - Used when a VM is created, and kept.
    type: str
    choices: [auto, kvm, tcg]
    default: auto
  baseline_cpus:
    description:
      - The processors of the other hypervisors that the VM may ever go to, each as M(virt8ra.federation.site_info) returned it there as
        C(facts.host_cpu). An entry of O(hypervisor) itself is passed over.
      - Used when a VM is created with O(cpu_model=baseline). The VM is refused if there is no such CPU, and the hypervisor that breaks it is named.
    type: list
    elements: dict
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
  shutdown_timeout:
    description: Seconds that the guest has to shut down. With V(0) it is not asked.
    type: int
    default: 120
  force:
    description: Cut the VM's power when its guest does not shut down in time. Without it, the module fails then.
    type: bool
    default: false
seealso:
  - module: virt8ra.federation.vm_info
  - module: virt8ra.federation.vm_migration
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Run a VM from an image
  virt8ra.federation.vm:
    name: guest
    state: running
    cpus: 1
    memory: 256MiB
    disks:
      - name: vda
        size: 64MiB
        storage: ssd
        image: images/demo-guest.img
    nics:
      - network: public
    console_log: true
    allowed_countries: [ES, DE]
    placement:
      certifications: [ISO 27001]
      anti_affinity: [{group: web, level: site}]
      weights: {spread: 1, price: 2}
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"

- name: Make a VM that may move to other hypervisors, with all that their processors share
  virt8ra.federation.vm:
    name: wanderer
    cpus: 1
    memory: 256MiB
    cpu_model: baseline
    baseline_cpus: "{{ groups.hypervisors | map('extract', hostvars, ['seen', 'facts', 'host_cpu']) }}"
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"

- name: Give it a second disk while it runs
  virt8ra.federation.vm:
    name: guest
    disks:
      - name: vda
      - name: vdb
        size: 1GiB
        storage: ssd
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"

- name: Run a full Debian that is set up at its first boot
  virt8ra.federation.vm:
    name: web-1
    state: running
    cpus: 1
    memory: 1GiB
    firmware: uefi
    disks:
      - name: vda
        size: 10GiB
        storage: ssd
        image: images/debian-12.qcow2
    nics:
      - network: public
        mac: "52:54:00:12:34:56"
    cloud_init:
      user_data:
        users:
          - name: ops
            groups: [sudo]
            shell: /bin/bash
            ssh_authorized_keys: ["{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"]
        packages: [nginx]
      network_config:
        version: 2
        ethernets:
          public:
            match: {macaddress: "52:54:00:12:34:56"}
            dhcp4: true
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"

- name: Remove it together with its disks
  virt8ra.federation.vm:
    name: guest
    state: absent
    remove_disks: true
    force: true
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
"""

RETURN = r"""
status:
  description:
    - The VM after the run, with the keys of M(virt8ra.federation.vm_info); null when it is absent.
    - In check mode what it would be, without what only a real run chooses (UUID and MAC addresses of what is new, addresses).
  returned: success
  type: dict
  sample:
    state: running
    vm: {name: guest, cpus: 1, memory: 268435456, machine: pc-q35-7.2, cpu_model: Nehalem}
    owner: {hypervisor: es-madrid-1, epoch: 1}
    cloud_init: ""
    addresses: [10.20.0.17]
    persistent: true
    managed: true
actions:
  description: What was done, or in check mode would be done, in this order.
  returned: success
  type: list
  elements: str
  sample: ["create the VM guest", "start the VM guest"]
restart_required:
  description: Whether the VM runs with something that is not what was asked for, and will have it from its next start on.
  returned: success
  type: bool
  sample: false
restart_fields:
  description: The options that wait for the VM's next start.
  returned: success
  type: list
  elements: str
  sample: [memory]
error:
  description: The fault, apart from the sentence in C(msg).
  returned: when the module refuses or fails
  type: dict
  contains:
    what:
      description: The fault.
      returned: always
      type: str
      sample: is not in the storage of site es-madrid
    option:
      description: The option that was written wrongly, or null.
      returned: always
      type: str
      sample: disks[0].storage
    value:
      description: What was found there.
      returned: always
      type: raw
      sample: gold
    remedy:
      description: What to do about it.
      returned: always
      type: str
      sample: "map it in the federation file, or use one of: ssd"
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.base import VmRequest
from ansible_collections.virt8ra.federation.plugins.module_utils.cloud_init.seed import CloudInit, secrets
from ansible_collections.virt8ra.federation.plugins.module_utils.desired_vm import written
from ansible_collections.virt8ra.federation.plugins.module_utils.host_cpu import read_cpus
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import (
    cloud_init_spec,
    cpus_spec,
    hypervisor_spec,
    libvirt_spec,
    site_spec,
    vm_spec,
)

POLICY = {
    "state": {"type": "str", "choices": ["present", "running", "stopped", "absent"], "default": "present"},
    "adopt": {"type": "bool", "default": False},
    "remove_disks": {"type": "bool", "default": False},
    "accelerator": {"type": "str", "choices": ["auto", "kvm", "tcg"], "default": "auto"},
    "shutdown_timeout": {"type": "int", "default": 120},
    "force": {"type": "bool", "default": False},
}


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    asked = params["cloud_init"]
    module.conceal("cloud_init", secrets(asked))
    given = {key: value for key, value in written(params).items() if key != "name"}
    cloud_init = None if asked is None else CloudInit.from_dict(asked)
    request = VmRequest(
        name=params["name"],
        hypervisor=params["hypervisor"],
        given=given,
        baseline_cpus=read_cpus(params["baseline_cpus"] or [], "baseline_cpus"),
        cloud_init=cloud_init,
        **{key: params[key] for key in POLICY},
    )
    backend = module.backend()
    plan = backend.plan_vm(request)
    for warning in plan.warnings:
        module.warn(warning)
    if module.check_mode and plan.steps:
        status, restart_fields = plan.after, plan.restart_fields
    else:
        plan.carry_out()
        status, restart_fields = backend.find_vm(request.name), backend.restart_fields(request.name)
    return {
        "changed": bool(plan.steps),
        "diff": plan.diff(),
        "status": None if status is None else status.to_dict(),
        "actions": [step.what for step in plan.steps],
        "restart_required": bool(restart_fields),
        "restart_fields": restart_fields,
    }


def main() -> None:
    own = {**vm_spec(), **cloud_init_spec(), **POLICY, "baseline_cpus": cpus_spec()}
    run_module({**own, **libvirt_spec(), **site_spec(), **hypervisor_spec()}, work)


if __name__ == "__main__":
    main()
