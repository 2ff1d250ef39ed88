#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: site_latency
short_description: Measure round trips from a hypervisor to other hypervisors and to points of users
version_added: 0.1.0
description:
  - Takes the time of TCP handshakes from the hypervisor where the module runs to each target. A connection is opened and closed; nothing is sent on it.
  - A refused connection and a time-out are no measurements. They are counted in C(failed), and a target that never answered is in RV(unanswered) alone.
  - Targets are tried one after the other, so that no measurement disturbs another, and one is given up after two samples without an answer.
  - It changes nothing. M(virt8ra.federation.latency_file) keeps what was measured.
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
  - virt8ra.federation.site
  - virt8ra.federation.site.hypervisor
options:
  hypervisor:
    description:
      - The name of this hypervisor in the federation, normally C(inventory_hostname). A target of this name is passed over.
      - If not set, the environment variable E(VIRT8RA_HYPERVISOR) is used.
  targets:
    description: Other hypervisors, and points of users.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the hypervisor or the point.
        type: str
        required: true
      address:
        description: IP address or host name. Without it the name is one.
        type: str
      port:
        description: TCP port that is open there; as it stands that of libvirt under TLS.
        type: int
        default: 16514
      site:
        description: The hypervisor's site. A user's point has none.
        type: str
        default: ""
  samples:
    description: Handshakes with each target, V(1) to V(100).
    type: int
    default: 5
  timeout:
    description:
      - Seconds after which a handshake has failed, at most V(1).
      - A first packet that got lost is sent again after one second, so that a longer wait would measure that.
    type: float
    default: 1.0
  interval:
    description: Seconds between two rounds of samples, V(0) to V(60).
    type: float
    default: 0.2
seealso:
  - module: virt8ra.federation.latency_file
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Measure from here to another hypervisor and to a user
  virt8ra.federation.site_latency:
    site: "{{ federation_site }}"
    hypervisor: "{{ inventory_hostname }}"
    targets:
      - {name: lab-de-1, address: 10.213.77.12, site: lab-de}
      - {name: office-vienna, address: vpn.example.com, port: 443}
  register: measured
"""

RETURN = r"""
latencies:
  description: One entry for each target that answered, in the order of the targets.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: This hypervisor.
      returned: always
      type: str
      sample: lab-es-1
    source_site:
      description: Its site.
      returned: always
      type: str
      sample: lab-es
    target:
      description: The target.
      returned: always
      type: str
      sample: lab-de-1
    target_site:
      description: Its site; empty for a user's point.
      returned: always
      type: str
      sample: lab-de
    min_ms:
      description: The shortest round trip, in milliseconds.
      returned: always
      type: float
      sample: 24.317
    median_ms:
      description: The median of the round trips, in milliseconds.
      returned: always
      type: float
      sample: 24.902
    samples:
      description: How many handshakes were measured.
      returned: always
      type: int
      sample: 5
    failed:
      description: How many were refused or not answered in time.
      returned: always
      type: int
      sample: 0
    measured_at:
      description: When, in UTC by the clock of this hypervisor.
      returned: always
      type: str
      sample: "2026-11-25T10:00:00Z"
unanswered:
  description: The targets that no handshake was measured with, each with C(target), C(target_site), C(failed) and C(reason) of the last one.
  returned: success
  type: list
  elements: dict
  sample: [{target: office-vienna, target_site: "", failed: 2, reason: Connection refused}]
"""

from datetime import datetime, timezone
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.fields import Fields
from ansible_collections.virt8ra.federation.plugins.module_utils.handshakes import measure
from ansible_collections.virt8ra.federation.plugins.module_utils.latency import LIBVIRT_TLS_PORT, read_targets, summary
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.options import hypervisor_spec, site_spec

TARGET = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str"},
    "port": {"type": "int", "default": LIBVIRT_TLS_PORT},
    "site": {"type": "str", "default": ""},
}


def work(module: FederationModule) -> dict[str, Any]:
    source, site, options = module.params["hypervisor"], module.site.name, Fields(module.params, "")
    targets = read_targets(module.params["targets"], source)
    samples = options.integer("samples", None, 1, 100)
    timeout, interval = options.number("timeout", 0.001, 1) or 1.0, options.number("interval", 0, 60) or 0.0
    series = measure(targets, samples, timeout, interval)
    now = datetime.now(timezone.utc)
    unanswered = [one for one in series if not one.times]
    for one in unanswered:
        module.warn(
            f"{one.target.name} ({one.target.address}, port {one.target.port}) gave {source} no round trip: {one.faults[-1]}"
        )
    return {
        "latencies": [summary(source, site, one.target, one.times, len(one.faults), now).to_dict() for one in series if one.times],
        "unanswered": [
            {
                "target": one.target.name,
                "target_site": one.target.site,
                "failed": len(one.faults),
                "reason": one.faults[-1],
            }
            for one in unanswered
        ],
    }


def main() -> None:
    run_module(
        {
            "targets": {"type": "list", "elements": "dict", "required": True, "options": TARGET},
            "samples": {"type": "int", "default": 5},
            "timeout": {"type": "float", "default": 1.0},
            "interval": {"type": "float", "default": 0.2},
            **site_spec(),
            **hypervisor_spec(),
        },
        work,
    )


if __name__ == "__main__":
    main()
