#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_targets_info
short_description: Find a hypervisor for each VM that has to leave its own
description:
  - Chooses among the hypervisors that are offered, by free memory, the VM's countries and placement policy, and the storage and networks that
    their sites map.
  - The largest VM goes first, each to where the most memory is free. The migration's own preflight looks at all the rest.
  - It contacts no site; what it knows is given to it.
author:
  - The virt8ra.federation authors (@virt8ra)
version_added: 0.1.0
options:
  vms:
    description:
      - The VMs, each with C(vm) and C(source), the C(memory) in bytes that it needs at once (V(0) for one that is off), and its C(storage), C(networks),
        C(allowed_countries) and C(placement).
    type: list
    elements: dict
    required: true
  candidates:
    description:
      - The hypervisors, each with C(hypervisor), C(site), C(country), C(memory_free) in bytes, and the logical names of its C(storage) and C(networks).
    type: list
    elements: dict
    required: true
  sites:
    description: The sites, as C(federation_site) of their hypervisors. Needed as soon as a VM has a placement policy.
    type: list
    elements: dict
    default: []
  facts:
    description: What M(virt8ra.federation.site_info) returned, by hypervisor, for policies that ask for CPU features or devices.
    type: dict
    default: {}
  present:
    description: What M(virt8ra.federation.vm_info) returned as C(vms), by hypervisor, for policies that speak of other VMs.
    type: dict
    default: {}
  latencies:
    description: Measured round trips, as M(virt8ra.federation.latency_file) returns them.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: N/A
seealso:
  - module: virt8ra.federation.migration_plan
"""

EXAMPLES = r"""
- name: Find a place for a VM
  virt8ra.federation.migration_targets_info:
    vms:
      - {vm: web-1, source: lab-es-1, memory: 134217728, storage: [ssd], networks: [public], allowed_countries: [ES, DE]}
    candidates:
      - {hypervisor: lab-de-1, site: lab-de, country: DE, memory_free: 8589934592, storage: [ssd], networks: [public]}
  delegate_to: localhost
  register: found
"""

RETURN = r"""
targets:
  description: The hypervisor of each VM that has one.
  returned: success
  type: dict
  sample: {web-1: lab-de-1}
blocked:
  description: The VMs that no hypervisor can take, each with C(vm), C(source) and C(reasons).
  returned: success
  type: list
  elements: dict
  sample: []
"""

from datetime import date
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.migration.targets import Candidate, Leaving, Surroundings, assign
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    vms = [Leaving.from_dict(vm, f"vms[{number}]") for number, vm in enumerate(params["vms"])]
    candidates = [Candidate.from_dict(one, f"candidates[{number}]") for number, one in enumerate(params["candidates"])]
    known = (params[key] for key in ("sites", "facts", "present", "latencies"))
    targets, blocked = assign(vms, candidates, Surroundings.read(*known, date.today()) if params["sites"] else None)
    return {"targets": targets, "blocked": [entry.to_dict() for entry in blocked]}


def main() -> None:
    many = {"type": "list", "elements": "dict"}
    given = {"sites": {**many, "default": []}, "latencies": {**many, "default": []}}
    mappings = {key: {"type": "dict", "default": {}} for key in ("facts", "present")}
    run_module({"vms": {**many, "required": True}, "candidates": {**many, "required": True}, **given, **mappings}, work)


if __name__ == "__main__":
    main()
