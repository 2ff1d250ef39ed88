#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: latency_file
short_description: Keep measured round trips in a file, and tell which are stale
version_added: 0.1.0
description:
  - Merges what M(virt8ra.federation.site_latency) measured into a JSON file; of each pair of source and target the latest measurement stays.
  - What is older than O(max_age) stays too, and is flagged as stale. Without O(latencies) the file is only read, and its flags are renewed.
  - It reads and writes on the machine where it runs, which is the controller as a rule, and contacts no site. The file is written whole or not at all.
author:
  - The virt8ra.federation authors (@virt8ra)
options:
  path:
    description: The file. It does not have to be there.
    type: path
    required: true
  latencies:
    description: What was measured, as M(virt8ra.federation.site_latency) returned it.
    type: list
    elements: dict
    default: []
  max_age:
    description: Seconds after which a measurement is stale; a day as it stands. One that is stamped more than five minutes ahead of now is stale as well.
    type: int
    default: 86400
extends_documentation_fragment:
  - virt8ra.federation.attributes
seealso:
  - module: virt8ra.federation.site_latency
"""

EXAMPLES = r"""
- name: Keep what all hypervisors measured
  virt8ra.federation.latency_file:
    path: build/latency.json
    latencies: "{{ groups.hypervisors | map('extract', hostvars, ['measured', 'latencies']) | flatten(levels=1) }}"
  delegate_to: localhost
  run_once: true

- name: Read what is known
  virt8ra.federation.latency_file:
    path: build/latency.json
  delegate_to: localhost
  register: known
"""

RETURN = r"""
latencies:
  description: All that is known, by source and target, with the keys that M(virt8ra.federation.site_latency) returns. Stale ones are among them.
  returned: success
  type: list
  elements: dict
stale:
  description: The pairs whose measurement is stale, each with C(source), C(target) and C(measured_at).
  returned: success
  type: list
  elements: dict
  sample: [{source: lab-es-1, target: lab-de-1, measured_at: "2026-11-20T10:00:00Z"}]
"""

from datetime import datetime, timezone
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.fields import Fields
from ansible_collections.virt8ra.federation.plugins.module_utils.files import read_text, write_text
from ansible_collections.virt8ra.federation.plugins.module_utils.latency import LatencyFile, read_latencies
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    path, now = module.params["path"], datetime.now(timezone.utc)
    max_age = Fields(module.params, "").integer("max_age", None, 1, 2**31)
    new = read_latencies(module.params["latencies"], "latencies")
    before = read_text(path)
    there = LatencyFile.from_text(before)
    after = there.merged(new, max_age, now)
    changed = after != there
    if changed and not module.check_mode:
        write_text(path, after.to_text())
    return {
        "changed": changed,
        "latencies": after.to_dict()["latencies"],
        "stale": after.to_dict()["stale"],
        "diff": {"before": there.by_pair() if changed else {}, "after": after.by_pair() if changed else {}},
    }


def main() -> None:
    run_module(
        {
            "path": {"type": "path", "required": True},
            "latencies": {"type": "list", "elements": "dict", "default": []},
            "max_age": {"type": "int", "default": 86400},
        },
        work,
    )


if __name__ == "__main__":
    main()
