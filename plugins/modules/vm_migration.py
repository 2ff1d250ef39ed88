#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_migration
short_description: Move a VM between hypervisors of a federation
description:
  - Moves a VM, with its disks and its memory, from another hypervisor to the one where the module runs.
  - The VM arrives paused and is resumed only when both ends say that it came over, so that two copies never run.
  - What happened is read from both ends. A run that was cut off is finished, or taken back, by the next one.
  - The copy at the source is kept, stopped, until O(state=released) is asked for.
  - Data goes from hypervisor to hypervisor under TLS and never through the controller.
author:
  - The virt8ra.federation authors (@virt8ra)
version_added: 0.1.0
options:
  name:
    description: Name of the VM.
    type: str
    required: true
  state:
    description:
      - V(planned) tells what would be done and what stands in the way, and changes nothing.
      - V(synced) copies the disks of a running VM, or what it wrote since the last time; the VM runs on at the source.
      - V(completed) has the VM at the target, running if it ran.
      - V(aborted) takes an unfinished migration back; the VM runs on at the source.
      - V(released) deletes the source's copy and its volumes, after a completed migration, and leaves a receipt of that.
    type: str
    choices: [planned, synced, completed, aborted, released]
    default: completed
  mode:
    description:
      - V(live) moves a running VM, disks and memory.
      - V(warm) copies the disks while the VM runs, shuts it down, copies what it wrote last and starts it at the target.
      - V(cold) shuts the VM down, or finds it off, copies its disks and starts it at the target if it ran.
      - V(auto) takes the first of these that nothing stands in the way of and that keeps O(downtime_budget), and says why.
    type: str
    choices: [live, warm, cold, auto]
    default: live
  source_hypervisor:
    description: Name of the hypervisor where the VM is now.
    type: str
    required: true
  source_site:
    description: The entry of the source's site, which the inventory gives as C(federation_site).
    type: dict
    required: true
  storage:
    description: Other logical storage names at the target, as V(old) to V(new). Names that are not here stay.
    type: dict
    default: {}
  networks:
    description: Other logical network names at the target, as V(old) to V(new). Names that are not here stay.
    type: dict
    default: {}
  formats:
    description: Other formats of disks at the target, as V(vda) to V(raw). Disks that are not here keep theirs, where the pool can.
    type: dict
    default: {}
  macs:
    description: V(keep) the MAC addresses, which must be free at the target, or V(remap) them to new ones (not with a live migration).
    type: str
    choices: [keep, remap]
    default: keep
  override_reason:
    description:
      - Why the VM may break its placement policy at the target, in a sentence. Without it, a target that breaks it is refused.
      - It is kept in the migration's journal, and in the VM's own metadata as long as it is there.
    type: str
    default: ''
  latencies:
    description:
      - Measured round trips, as M(virt8ra.federation.site_latency) returns them, for a policy that limits them.
      - Where there is none, the distance between the sites is the lower bound.
    type: list
    elements: dict
    default: []
  moving:
    description: Other VMs that are about to move, with the hypervisors that they go to, for rules about being apart or together.
    type: dict
    default: {}
  clear:
    description:
      - What may stay behind or be taken out of the way, where it would block. It stays with the source copy until that is released.
      - V(media) takes discs out of the drives that cannot follow.
    type: list
    elements: str
    choices: [snapshots, checkpoints, media]
    default: []
  not_before:
    description: Moment (ISO 8601 with a time zone) before which no cutover begins. Until then the disks are kept in step.
    type: str
  not_after:
    description: Moment (ISO 8601 with a time zone) at which a cutover that is not committed is taken back.
    type: str
  sync_interval:
    description: Seconds between two rounds while O(not_before) is waited for.
    type: int
    default: 300
  downtime_budget:
    description: Longest time in seconds that the last copy of a warm migration may be predicted to take. Without it there is no limit.
    type: int
  rounds:
    description: Most rounds of a warm migration in one run before its cutover.
    type: int
    default: 8
  connections:
    description: Connections that copy at the same time, over all disks of the VM together.
    type: int
    default: 6
  backup_ports:
    description: First and last port that the source may serve its disks on.
    type: list
    elements: int
    default: [49200, 49215]
  shutdown_mode:
    description: How the guest is asked to shut down; V(auto) takes its agent where one answers, else the power button.
    type: str
    choices: [auto, agent, acpi]
    default: auto
  shutdown_timeout:
    description: Seconds that the guest has to shut down.
    type: int
    default: 120
  force_off:
    description:
      - Cut the guest's power when it does not shut down in time. Otherwise the cutover is taken back.
      - Cut it also where a live migration left the source's QEMU waiting for a target that is gone, so that the guest stands still for good, and
        start it there anew. Otherwise that is told, and left to a person.
    type: bool
    default: false
  life_timeout:
    description: Seconds to wait for a sign of life at the target before the VM is given back to the source; V(0) does not wait.
    type: int
    default: 120
  state_path:
    description: Folder on the target in which the bulk progress and the locks are.
    type: path
    default: /var/lib/virt8ra
  bandwidth:
    description: Cap in MiB/s over all disks of the VM together; V(0) is none.
    type: int
    default: 0
  downtime:
    description: Longest pause in milliseconds that QEMU aims for when it switches over; V(0) leaves it at QEMU's own 300.
    type: int
    default: 0
  auto_converge:
    description: Slow the guest's processors down when it dirties memory faster than the link carries it.
    type: bool
    default: true
  suspend_after:
    description:
      - Seconds after which a live migration whose disks are in step suspends the guest, so that what is left of its memory stands still and
        comes over for certain, however fast the guest writes; V(0) is never.
      - The pause counts as downtime. Until the end everything can be taken back, which post-copy could not promise.
    type: int
    default: 0
  verify_disks:
    description:
      - After a live migration read the disks at both ends and compare them, extent by extent, while the guest runs on. They are read as they were
        when the VM arrived, so that the source's disks go over the link once more. Warm and cold migrations always compare.
    type: bool
    default: false
  stall_timeout:
    description: Abort when not a byte moved for so many seconds; V(0) is never.
    type: int
    default: 60
  timeout:
    description: Abort when the migration takes longer than so many seconds; V(0) is never.
    type: int
    default: 0
  progress_path:
    description:
      - File on the target in which the module keeps its progress, as one line of JSON.
      - The action plugin of the same name sets it and shows what is written there.
    type: path
  report_dir:
    description:
      - Folder on the controller in which the action plugin of the same name writes a report of the migration, as JSON and as a page to look at.
      - Without it, and in check mode, nothing is written.
    type: str
extends_documentation_fragment:
  - virt8ra.federation.attributes
  - virt8ra.federation.libvirt
  - virt8ra.federation.site
  - virt8ra.federation.site.hypervisor
seealso:
  - module: virt8ra.federation.vm
  - module: virt8ra.federation.vm_info
"""

EXAMPLES = r"""
- name: See what stands in the way
  virt8ra.federation.vm_migration:
    name: web-1
    state: planned
    source_hypervisor: lab-es-1
    source_site: "{{ hostvars['lab-es-1'].federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
    site: "{{ federation_site }}"

- name: Move it live, at 200 MiB/s at the most
  virt8ra.federation.vm_migration:
    name: web-1
    state: completed
    source_hypervisor: lab-es-1
    source_site: "{{ hostvars['lab-es-1'].federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
    site: "{{ federation_site }}"
    bandwidth: 200

- name: Delete the copy that stayed behind
  virt8ra.federation.vm_migration:
    name: web-1
    state: released
    source_hypervisor: lab-es-1
    source_site: "{{ hostvars['lab-es-1'].federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
    site: "{{ federation_site }}"
"""

RETURN = r"""
plan:
  description: What was to be done; not returned where nothing was left to plan.
  returned: when the VM had not come over yet
  type: dict
  contains:
    blockers:
      description: What stands in the way, each with C(check) and C(message). Not empty only with O(state=planned).
      type: list
      elements: dict
    warnings:
      description: What a person should know before.
      type: list
      elements: str
    steps:
      description: The steps, in order.
      type: list
      elements: str
    disks:
      description: For each disk device its C(storage), C(pool), C(path), C(volume), C(capacity) in bytes and C(format) at the target.
      type: dict
    networks:
      description: The target's networks, in the order of the VM's interfaces.
      type: list
      elements: str
    estimate:
      description:
        - C(bytes) that will be sent, C(disk_bytes) and C(memory_bytes) among them.
        - With O(state=planned), in check mode and with O(mode=auto) also C(seconds) and C(downtime_seconds), from the C(rate) of the link and
          the C(memory_dirty_rate) and C(disk_dirty_rate) of the guest in bytes per second, as they were measured.
      type: dict
    mode:
      description: Mode of the migration.
      type: str
    reason:
      description: Why O(mode=auto) took it, and none of the better ones.
      type: str
    override:
      description: The O(override_reason), where the target breaks the VM's placement policy; else empty.
      type: str
    media:
      description: Path at the target of each disc in a drive; empty where it is left behind.
      type: dict
    macs:
      description: MAC addresses at the target, in the order of the VM's interfaces.
      type: list
      elements: str
migration:
  description: The journal and the figures of the migration.
  returned: when there is or was a migration between these two hypervisors
  type: dict
  contains:
    vm:
      description: Name of the VM.
      type: str
    source:
      description: Hypervisor it came from.
      type: str
    target:
      description: Hypervisor it went to.
      type: str
    mode:
      description: Mode of the migration.
      type: str
    phase:
      description: V(copying), V(synced), V(switching), V(completed), V(released) or V(aborted).
      type: str
    override:
      description: Why the VM's placement policy is broken at the target, where it is.
      type: str
    epoch:
      description: The owner's epoch after the migration.
      type: int
    started:
      description: When it began (ISO 8601, UTC).
      type: str
    total_ms:
      description: Milliseconds from the first step to the VM running at the target.
      type: int
    downtime_ms:
      description:
        - Milliseconds in which the guest did not run, as libvirt measured them, with the wait until it was resumed.
        - After a warm or cold migration, from the request to shut down to the sign of life at the target.
      type: int
    resume_ms:
      description: The part of C(downtime_ms) between libvirt's return and the resume.
      type: int
    bytes:
      description: Bytes that were sent, disks and memory.
      type: int
    verified:
      description:
        - Both ends were read after the resume. Only the target runs, no copy job is left, and the guest's processor time grows.
        - After a warm or cold migration, every extent was read back from the target's disk and had the digest of what was read at the source.
      type: bool
    compared_bytes:
      description: With O(verify_disks), bytes that were read at both ends; C(compared_extents) and C(differing_extents) are numbers.
      type: int
    not_compared:
      description: With O(verify_disks), why the disks could not be compared, or empty.
      type: str
    rounds:
      description: Number of rounds of a warm or cold migration.
      type: int
    sign_of_life:
      description: What the guest did at the target by which it was seen to live.
      type: str
    receipt:
      description:
        - After the release, what was erased at the source, with C(hypervisor), C(site), C(country), C(volumes), C(erased) (ISO 8601, UTC) and C(how).
        - It is kept in the VM's journal, and at the target in the folder C(receipts) of O(state_path).
      type: dict
report:
  description: The migration as data for a report, with its C(events), C(rounds), C(disks), C(figures), C(warnings) and C(takeovers).
  returned: when there is or was a migration between these two hypervisors
  type: dict
report_files:
  description: Paths of the report on the controller, as C(json) and C(html).
  returned: when O(report_dir) is given, and there is or was a migration
  type: dict
"""

from datetime import datetime, timezone

from ansible_collections.virt8ra.federation.plugins.module_utils.migration.engine import Engine, Places
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.plan import Request
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.policy import Policy
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.window import Window
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import migration_spec
from ansible_collections.virt8ra.federation.plugins.module_utils.progress import ProgressFile


def work(module: FederationModule) -> dict:
    params = module.params
    progress = ProgressFile(params["progress_path"])
    progress.report("starting", {})
    request = Request(
        source=params["source_hypervisor"],
        target=params["hypervisor"],
        source_site=Site.from_dict(params["source_site"], "source_site"),
        target_site=module.site,
        storage=params["storage"],
        networks=params["networks"],
        formats=params["formats"],
        mode=params["mode"],
        macs=params["macs"],
        clear=tuple(params["clear"]),
        override_reason=params["override_reason"].strip(),
        latencies=tuple(params["latencies"]),
        moving=params["moving"],
    )
    window = Window.from_options(params["not_before"], params["not_after"], datetime.now(timezone.utc))
    engine = Engine(
        params["name"],
        request,
        Policy.from_options(params),
        window,
        progress.report,
        module.connection,
        Places(params["state_path"], params["progress_path"]),
    )
    result = engine.reach(params["state"], check=module.check_mode)
    for text in result.pop("warnings", []):
        module.warn(text)
    if result.get("migration", {}).get("not_compared"):
        module.warn(f"the disks of VM {params['name']} were not compared: {result['migration']['not_compared']}")
    elif result.get("migration", {}).get("verified") is False:
        module.warn(
            f"VM {params['name']} was not seen to work at {params['hypervisor']} after the migration; look at it before you release"
        )
    return result


def main() -> None:
    run_module(migration_spec(), work)


if __name__ == "__main__":
    main()
