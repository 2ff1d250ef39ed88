#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: rehearsal_record
short_description: Keep rehearsals of an exit, and tell what they prove
version_added: 0.2.0
description:
  - Adds a rehearsal of the playbook C(exit_rehearsal) to a file with a line of JSON for each, on the machine where it runs, which is the controller.
  - Returns what all of them say as evidence for M(virt8ra.federation.compliance_report), of each VM that was rehearsed and of each site.
  - Without O(record) the file is only read. It is written whole or not at all.
options:
  path:
    description: The file. It does not have to be there.
    type: path
    required: true
  record:
    description:
      - The rehearsal, with the names C(vm), C(site), C(hypervisor), C(target_site) and C(target), with C(bytes) of the bundle, C(export_seconds),
        C(import_seconds) and C(start_seconds), with C(bundle_valid), C(started), and with a C(problem), one sentence, where it failed.
      - C(finished) is now, unless it is given (ISO 8601).
    type: dict
  before:
    description: Portable spec of the VM, as the bundle has it. With O(after), what differs in the shape goes into the record.
    type: dict
  after:
    description: Portable spec of the copy.
    type: dict
  vms:
    description: All VMs of the federation with C(name), C(site) and C(bytes), the sizes of its disks or null, to tell what an exit of each site takes.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - virt8ra.federation.attributes
seealso:
  - module: virt8ra.federation.vm_export
  - module: virt8ra.federation.vm_import
  - module: virt8ra.federation.compliance_report
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Keep a rehearsal
  virt8ra.federation.rehearsal_record:
    path: build/rehearsals.jsonl
    record:
      vm: web-1
      site: rioja
      hypervisor: kvm1
      target_site: bonn
      target: kvm3
      bytes: 5368709120
      export_seconds: 40.5
      import_seconds: 61.2
      start_seconds: 20
      bundle_valid: true
      started: true
  delegate_to: localhost

- name: Read what they prove
  virt8ra.federation.rehearsal_record:
    path: build/rehearsals.jsonl
    vms: [{name: web-1, site: rioja, bytes: 21474836480}]
  delegate_to: localhost
  register: rehearsals
"""

RETURN = r"""
record:
  description: The rehearsal as it was kept.
  returned: with O(record)
  type: dict
records:
  description: The number of rehearsals in the file.
  returned: success
  type: int
  sample: 12
evidence:
  description: What they say, with C(collected), the end of the newest one, and C(subjects).
  returned: success
  type: dict
  sample:
    collected: "2026-11-25T12:00:00Z"
    subjects:
      - type: site
        name: rioja
        site: rioja
        facts:
          exit:
            how: bytes of all disks of the site's VMs, over the throughput that nine of ten rehearsals from it reached
            data: {bytes: 21474836480, vms: 1, rehearsals: 1, p10_bytes_per_second: 52790650, days: 0.005}
"""

from datetime import datetime, timezone
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.rehearsal import (
    Rehearsal,
    differences,
    read_records,
    rehearsal_subjects,
    to_text,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.files import read_text, write_text
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def new_record(params: dict[str, Any]) -> Rehearsal:
    given = {"finished": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), **params["record"]}
    if params["before"] and params["after"]:
        given["differences"] = differences(params["before"], params["after"])
    return Rehearsal.from_dict(given)


def work(module: FederationModule) -> dict[str, Any]:
    path, added = module.params["path"], module.params["record"] is not None
    records = read_records(read_text(path))
    new = (new_record(module.params),) if added else ()
    everything = (*records, *new)
    subjects = rehearsal_subjects(everything, module.params["vms"])
    if added and not module.check_mode:
        write_text(path, to_text(everything))
    told = {"record": new[0].to_dict()} if new else {}
    collected = max((one.finished for one in everything), default="")
    return {
        "changed": added,
        "records": len(everything),
        "evidence": {"collected": collected, "subjects": subjects},
        "diff": {"before": {}, "after": told},
        **told,
    }


def main() -> None:
    run_module(
        {
            "path": {"type": "path", "required": True},
            "record": {"type": "dict"},
            "before": {"type": "dict"},
            "after": {"type": "dict"},
            "vms": {"type": "list", "elements": "dict", "default": []},
        },
        work,
        required_together=[("before", "after")],
    )


if __name__ == "__main__":
    main()
