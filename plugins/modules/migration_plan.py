#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_plan
short_description: Write a plan of many migrations
description:
  - Puts migrations into waves that keep to caps on parallel moves, and writes them as a YAML file that a person may edit.
  - It reads and writes on the machine where it runs, which is the controller as a rule, and contacts no site.
author:
  - The virt8ra.federation authors (@virt8ra)
version_added: 0.1.0
options:
  path:
    description: File to write. Without it the plan is only returned.
    type: path
  force:
    description: Write over a plan that is there. Otherwise that one stays as it is, with what a person edited, and is returned.
    type: bool
    default: false
  hypervisors:
    description: The site of each hypervisor of the federation.
    type: dict
    required: true
  limits:
    description: How many migrations may be under way at once.
    type: dict
    default: {}
    suboptions:
      per_site:
        description: At one site, coming and going together.
        type: int
        default: 4
      per_link:
        description: Between the same two sites.
        type: int
        default: 2
  moves:
    description:
      - The migrations, each with C(vm), C(source) and C(target) (names of hypervisors), and options of M(virt8ra.federation.vm_migration) that
        are not its defaults.
      - C(estimate) and C(reason), as M(virt8ra.federation.vm_migration) planned them, put the longest first.
    type: list
    elements: dict
    required: true
  blocked:
    description: VMs that cannot go, each with C(vm), C(source) and C(reasons). They are told in the plan.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - virt8ra.federation.attributes
seealso:
  - module: virt8ra.federation.migration_plan_info
  - module: virt8ra.federation.vm_migration
"""

EXAMPLES = r"""
- name: Plan two migrations, one after the other
  virt8ra.federation.migration_plan:
    path: build/plan.yml
    hypervisors: {lab-es-1: lab-es, lab-de-1: lab-de}
    limits: {per_link: 1}
    moves:
      - {vm: web-1, source: lab-es-1, target: lab-de-1, mode: warm}
      - {vm: web-2, source: lab-es-1, target: lab-de-1}
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: The plan as it is in the file, with C(limits), C(waves) of C(moves), and C(blocked).
  returned: success
  type: dict
kept:
  description: Whether a plan was there and was left as it is.
  returned: success
  type: bool
"""

from datetime import datetime, timezone
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.files import read_text, write_text
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.moves import Move
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.plan_file import Blocked, PlanFile
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.waves import Limits
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    sites, path = params["hypervisors"], params["path"]
    before = read_text(path) if path else ""
    if before and not params["force"]:
        plan = PlanFile.from_text(before, sites, datetime.now(timezone.utc))
        return {"changed": False, "kept": True, "plan": plan.to_dict()}
    moves = [Move.from_dict(move, f"moves[{number}]") for number, move in enumerate(params["moves"])]
    blocked = [Blocked.from_dict(entry, f"blocked[{number}]") for number, entry in enumerate(params["blocked"])]
    plan = PlanFile.made(moves, blocked, sites, Limits.from_dict(params["limits"]))
    text = plan.to_text() if path else ""
    changed = text != before
    if changed and not module.check_mode:
        write_text(path, text)
    return {
        "changed": changed,
        "kept": False,
        "plan": plan.to_dict(),
        "diff": {"before": {"plan": before}, "after": {"plan": text}} if changed else {"before": {}, "after": {}},
    }


def main() -> None:
    limits = {"per_site": {"type": "int", "default": 4}, "per_link": {"type": "int", "default": 2}}
    run_module(
        {
            "path": {"type": "path"},
            "force": {"type": "bool", "default": False},
            "hypervisors": {"type": "dict", "required": True},
            "limits": {"type": "dict", "default": {}, "options": limits},
            "moves": {"type": "list", "elements": "dict", "required": True},
            "blocked": {"type": "list", "elements": "dict", "default": []},
        },
        work,
    )


if __name__ == "__main__":
    main()
