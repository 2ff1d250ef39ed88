#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_plan_info
short_description: Read a plan of many migrations
description:
  - Reads a plan that M(virt8ra.federation.migration_plan) wrote and a person may have edited, and refuses what cannot be meant.
  - A hypervisor that is not there, a VM that stands twice, a wave over its limits, a window that is over and an unknown key are refused, each in
    one sentence.
author:
  - The virt8ra.federation authors (@virt8ra)
version_added: 0.1.0
options:
  path:
    description: The file.
    type: path
    required: true
  hypervisors:
    description: The site of each hypervisor of the federation.
    type: dict
    required: true
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
- name: Read a plan
  virt8ra.federation.migration_plan_info:
    path: build/plan.yml
    hypervisors: {lab-es-1: lab-es, lab-de-1: lab-de}
  delegate_to: localhost
  register: read
"""

RETURN = r"""
plan:
  description: The plan, with C(limits), C(waves) of C(moves), and C(blocked).
  returned: success
  type: dict
"""

from datetime import datetime, timezone
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.files import read_text
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.plan_file import PlanFile
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    path = module.params["path"]
    text = read_text(path)
    if not text:
        remedy = "write one with the module migration_plan, or with the playbook plan_migrations"
        raise InputError("is no plan: the file is missing or empty", option="path", value=path, remedy=remedy)
    return {"plan": PlanFile.from_text(text, module.params["hypervisors"], datetime.now(timezone.utc)).to_dict()}


def main() -> None:
    run_module({"path": {"type": "path", "required": True}, "hypervisors": {"type": "dict", "required": True}}, work)


if __name__ == "__main__":
    main()
