#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: federation_report
short_description: Write the federation at a glance as one HTML page
version_added: 0.2.0
description:
  - Draws sites on a map with their round trips, and lists hypervisors with what is used and free, VMs, clusters and migrations under way.
  - It judges nothing, and contacts nothing. The page needs nothing from elsewhere and runs no script. What others wrote stays text in it.
  - The same options give the same bytes. The file is written whole or not at all, and only where it differs.
  - Every key of an entry may be missing; what is not known is shown as not known.
author:
  - The virt8ra.federation authors (@virt8ra)
options:
  path:
    description: The page.
    type: path
    required: true
  federation:
    description: Name of the federation.
    type: str
    required: true
  generated:
    description: When the federation was looked at, ISO 8601. Without it, the page does not tell.
    type: str
  sites:
    description: The sites, each with C(name), C(provider), C(country), C(city), C(latitude) and C(longitude).
    type: list
    elements: dict
    required: true
  hypervisors:
    description:
      - The hypervisors, each with C(name), C(site), C(reachable), and C(capacity) and C(pools) of the facts that
        M(virt8ra.federation.site_info) returns.
    type: list
    elements: dict
    default: []
  vms:
    description: The VMs, each with C(name), C(site), C(hypervisor), C(state), C(cpus), C(memory) in bytes, and C(addresses).
    type: list
    elements: dict
    default: []
  clusters:
    description: The clusters, each with C(name), C(site), C(version) and C(nodes), and each node with C(name) and C(ready).
    type: list
    elements: dict
    default: []
  migrations:
    description: The migrations under way, each with C(name), C(kind) (V(vm) or V(cluster)), C(source), C(target), C(mode) and C(phase).
    type: list
    elements: dict
    default: []
  latencies:
    description: Round trips between sites, each with C(source), C(target) and C(rtt_ms).
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - virt8ra.federation.attributes
seealso:
  - module: virt8ra.federation.site_info
  - module: virt8ra.federation.vm_migration_info
"""

EXAMPLES = r"""
- name: Draw the federation
  virt8ra.federation.federation_report:
    path: build/report/index.html
    federation: virt8ra
    sites: "{{ groups.hypervisors | map('extract', hostvars, 'federation_site') | unique }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
path:
  description: The page.
  returned: success
  type: str
  sample: build/report/index.html
"""

import hashlib
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.glance import glance
from ansible_collections.virt8ra.federation.plugins.module_utils.files import read_text, write_text
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    path = module.params["path"]
    before, after = read_text(path), glance(module.params)
    if before != after and not module.check_mode:
        write_text(path, after)
    sides = (before, after) if before != after else ("", "")
    return {
        "changed": before != after,
        "path": path,
        "diff": {side: _shown(path, text) for side, text in zip(("before", "after"), sides)},
    }


def _shown(path: str, text: str) -> dict[str, Any]:
    """A page is too long to read as a difference."""
    return {"path": path, "sha256": hashlib.sha256(text.encode()).hexdigest(), "bytes": len(text.encode())} if text else {}


def main() -> None:
    dicts: dict[str, Any] = {"type": "list", "elements": "dict", "default": []}
    run_module(
        {
            "path": {"type": "path", "required": True},
            "federation": {"type": "str", "required": True},
            "generated": {"type": "str"},
            "sites": {"type": "list", "elements": "dict", "required": True},
            "hypervisors": dicts,
            "vms": dicts,
            "clusters": dicts,
            "migrations": dicts,
            "latencies": dicts,
        },
        work,
    )


if __name__ == "__main__":
    main()
