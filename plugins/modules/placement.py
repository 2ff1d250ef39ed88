#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: placement
short_description: Find a hypervisor for each of many VMs by their placement policies
version_added: 0.1.0
description:
  - Chooses places for VMs that are to be made or to leave where they are, all of them at once, by the hard rules of their policies (the option C(placement) of
    M(virt8ra.federation.vm), and its C(allowed_countries)) and by what is free; among these by the weights of their wishes.
  - A batch is placed as a whole or not at all, unless O(partial) is set. When it is not, the module fails, and says for every site which
    rule excluded it and by how much, and what least change would make it fit.
  - The answer is the same in whatever order sites, VMs and latencies are given.
  - It contacts no site and changes nothing; what it knows is given to it. It runs on the controller as a rule.
author:
  - The virt8ra.federation authors (@virt8ra)
options:
  sites:
    description: The sites of the federation, as C(federation_site) of their hypervisors.
    type: list
    elements: dict
    required: true
  facts:
    description: What M(virt8ra.federation.site_info) returned as C(facts), by hypervisor. A hypervisor without facts is not chosen.
    type: dict
    required: true
  vms:
    description:
      - The portable specs of the VMs to place, with the options of M(virt8ra.federation.vm) as keys.
      - A VM that is there already, by O(present), stays where its rules allow it, unless O(leave) names it.
    type: list
    elements: dict
    required: true
  present:
    description: What M(virt8ra.federation.vm_info) returned as C(vms), by hypervisor. The rules of these VMs hold as well.
    type: dict
    default: {}
  latencies:
    description:
      - Measured round trips, as M(virt8ra.federation.latency_file) returns them, each with C(source), C(target), C(median_ms), C(samples)
        and C(measured_at). Source and target are hypervisors, sites, or points by their names.
      - Where nothing was measured, the distance along the great circle says what a round trip is at least, at 100 km for each millisecond.
    type: list
    elements: dict
    default: []
  spare:
    description: Choose such that everything, with what is there, could run on by all its rules if any one site were lost.
    type: bool
    default: false
  at:
    description: Hypervisors that have been chosen for VMs already. Their rules are checked there, and one that is broken fails the module.
    type: dict
    default: {}
  leave:
    description: Names of VMs that must not stay at the hypervisors where O(present) has them.
    type: list
    elements: str
    default: []
  among:
    description: The hypervisors that VMs may be placed at. Without it, all of them.
    type: list
    elements: str
  partial:
    description: Whether VMs may be left without a place, as RV(missing), when others have one. It cannot be had together with O(spare).
    type: bool
    default: false
  override_reason:
    description: Why rules may be broken at the hypervisors of O(at). They are returned in RV(overridden) then.
    type: str
  places:
    description: How many places are ranked for each VM; V(0) for all of them.
    type: int
    default: 5
  exclusions:
    description: Whether exclusions are told of all VMs, or only of those V(missing) a place, which for a large batch is much faster.
    type: str
    choices: [all, missing]
    default: all
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
seealso:
  - module: virt8ra.federation.site_info
  - module: virt8ra.federation.latency_file
"""

EXAMPLES = r"""
- name: Find places for two VMs that must not be at the same site
  virt8ra.federation.placement:
    sites: "{{ groups.hypervisors | map('extract', hostvars, 'federation_site') | unique }}"
    facts: "{{ dict(groups.hypervisors | zip(groups.hypervisors | map('extract', hostvars, ['seen', 'facts']))) }}"
    vms:
      - {name: web-1, cpus: 2, memory: 2GiB, placement: {anti_affinity: [{group: web, level: site}]}}
      - {name: web-2, cpus: 2, memory: 2GiB, placement: {anti_affinity: [{group: web, level: site}]}}
    spare: true
  delegate_to: localhost
  run_once: true
  register: places
"""

RETURN = r"""
assignment:
  description: The hypervisor of each VM. On failure, of those that have found one.
  returned: success, and when there is no place
  type: dict
  sample: {web-1: kvm1, web-2: kvm3}
score:
  description: The mean of the scores of the places that were chosen, from 0 to 1.
  returned: success, and when there is no place
  type: float
  sample: 0.8125
ranking:
  description: For each VM the places that its rules allow, with all other VMs where they go; its own first, then by score.
  returned: success, and when there is no place
  type: dict
  sample:
    web-1:
      - {hypervisor: kvm1, site: rioja, score: 0.81, parts: {spread: 0.81}, chosen: true, unmeasured: []}
exclusions:
  description: For each VM, by site and rule, the hypervisors that a rule excludes, and by how much at the one that is least out.
  returned: success, and when there is no place
  type: dict
  sample:
    web-1:
      - site: baden
        hypervisors: [kvm3]
        rule: memory
        sentence: kvm3 has 1.0 GiB of memory left of 8.0 GiB, and VM web-1 needs 2.0 GiB
        excess: 1073741824
        unit: bytes
missing:
  description: The VMs without a place, each with sentences why. With O(partial) there may be some on success.
  returned: success, and when there is no place
  type: dict
  sample: {}
changes:
  description: For each VM without a place the least that would make it fit, and where.
  returned: success, and when there is no place
  type: list
  elements: dict
  sample: []
overridden:
  description: The rules that are broken with leave, by VM, a sentence each.
  returned: success, and when there is no place
  type: dict
  sample: {}
"""

from datetime import date
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError, NoPlaceError
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.placement.placing import Placement, Question, place


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    given = {key: params[key] for key in ("present", "latencies", "spare", "at", "leave", "among", "partial")}
    if params["spare"] and params["partial"]:
        remedy = "leave one of them out"
        raise InputError("cannot be had together with spare", option="partial", value=True, remedy=remedy)
    reason = (params["override_reason"] or "").strip()
    question = Question.read(params["sites"], params["facts"], params["vms"], date.today(), override=bool(reason), **given)
    placement = place(question)
    result = told(placement, params["places"], params["exclusions"] == "all")
    result["missing"].update({name: [sentence] for name, sentence in question.unreadable.items()})
    if placement.found or params["partial"]:
        return result
    error = NoPlaceError(placement.sentence(), remedy=placement.remedy())
    error.details = result
    raise error


def told(placement: Placement, places: int, everything: bool) -> dict[str, Any]:
    exclusions = placement.exclusions(None if everything else placement.missing)
    return {
        "assignment": placement.assignment(),
        "score": round(placement.score(), 4),
        "ranking": {name: [one.to_dict() for one in ranked] for name, ranked in placement.rankings(places).items()},
        "exclusions": {name: [one.to_dict() for one in excluded] for name, excluded in exclusions.items()},
        "missing": {need.name: [one.sentence for one in exclusions[need.name]] for need in placement.missing},
        "changes": [change.to_dict() for change in placement.changes()],
        "overridden": {name: [breach.sentence for breach in breaches] for name, breaches in sorted(placement.broken.items())},
    }


def main() -> None:
    many = {"type": "list", "elements": "dict"}
    run_module(
        {
            "sites": {**many, "required": True},
            "facts": {"type": "dict", "required": True},
            "vms": {**many, "required": True},
            "present": {"type": "dict", "default": {}},
            "latencies": {**many, "default": []},
            "spare": {"type": "bool", "default": False},
            "at": {"type": "dict", "default": {}},
            "leave": {"type": "list", "elements": "str", "default": []},
            "among": {"type": "list", "elements": "str"},
            "partial": {"type": "bool", "default": False},
            "override_reason": {"type": "str"},
            "places": {"type": "int", "default": 5},
            "exclusions": {"type": "str", "choices": ["all", "missing"], "default": "all"},
        },
        work,
    )


if __name__ == "__main__":
    main()
