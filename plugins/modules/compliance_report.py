#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: compliance_report
short_description: Judge a federation by its evidence, and write the report
version_added: 0.1.0
description:
  - Judges sites, hypervisors, clusters and VMs by the controls of a profile, and writes what it found into a folder as C(findings.json), as OSCAL
    assessment results, as JUnit XML and as an HTML page. The files are the same, byte for byte, for the same evidence.
  - What is not known is not assessed, never passed. A declared host without evidence is not assessed, with the reason.
  - It runs on the controller as a rule. It contacts nobody, unless O(public_pages) is set, and checks never change anything.
  - It fails when findings reach O(fail_on); RV(verdict) is V(fail) then, and all files are written. Any other failure is one of its own, has no
    RV(verdict), and says nothing about the federation.
author:
  - The virt8ra.federation authors (@virt8ra)
options:
  federation:
    description: The name of the federation.
    type: str
    required: true
  sites:
    description: The sites of the federation, as C(federation_site) of their hosts.
    type: list
    elements: dict
    required: true
  evidence:
    description:
      - What M(virt8ra.federation.compliance_evidence) and M(virt8ra.federation.cluster_evidence) returned as C(evidence), of each host and cluster.
      - Several of one host or cluster are put together. What was gathered twice is taken from the newer one.
    type: list
    elements: dict
    default: []
  vms:
    description:
      - The VMs of the inventory, each with C(name), C(site), C(hypervisor), C(allowed_countries), C(placement) and C(managed).
      - Without it, nothing is known of their policies.
    type: list
    elements: dict
    default: []
  latencies:
    description: Measured round trips, as M(virt8ra.federation.latency_file) returns them.
    type: list
    elements: dict
    default: []
  waivers:
    description: The waivers of the federation file.
    type: list
    elements: dict
    default: []
  controls:
    description: Folders with files of controls. An id may be in one of them only.
    type: list
    elements: path
    required: true
  profiles:
    description: Folders with profiles, one in each file.
    type: list
    elements: path
    required: true
  profile:
    description: The name of the profile that chooses the controls.
    type: str
    default: all
  fail_on:
    description: The least severity of a failing, unwaived finding that fails the module. That of the profile where not given.
    type: str
    choices: [low, medium, high, critical, never]
  folder:
    description: Where the report is written.
    type: path
    required: true
  previous:
    description: The C(findings.json) that this one is compared with. The one that is in O(folder) where not given.
    type: path
  today:
    description: The day that dates are judged by, ISO 8601. The day of today, in UTC, where not given.
    type: str
  public_pages:
    description: Whether the pages that sites attest are fetched.
    type: bool
    default: false
  signing_key:
    description:
      - An Ed25519 private key in PEM. With it, C(manifest.json) has the digests of the files, and each file a signature C(NAME.sig).
      - Without it, signatures of an earlier report are removed, as they would not be of this one.
    type: path
  signing_passphrase:
    description: The passphrase of the key, where it has one.
    type: str
extends_documentation_fragment:
  - virt8ra.federation.attributes
seealso:
  - module: virt8ra.federation.latency_file
"""

EXAMPLES = r"""
- name: Judge what was gathered
  virt8ra.federation.compliance_report:
    federation: example
    sites: "{{ groups.hypervisors | map('extract', hostvars, 'federation_site') | unique }}"
    evidence: "{{ groups.hypervisors | map('extract', hostvars, ['gathered', 'evidence']) }}"
    controls: [/usr/share/federation/controls]
    profiles: [/usr/share/federation/profiles]
    profile: data-act
    folder: /var/lib/federation/compliance
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
verdict:
  description: V(fail) when findings reached O(fail_on), else V(pass). Not there when the module itself failed.
  returned: when all was judged
  type: str
  sample: fail
failing:
  description: The findings that failed the module, as C(CONTROL of NAME at SITE).
  returned: when all was judged
  type: list
  elements: str
  sample: [LOC-01 of kvm3 at baden]
summary:
  description: How many findings there are of each result, and how many of the fails are waived.
  returned: when all was judged
  type: dict
  sample: {pass: 40, fail: 2, not_applicable: 3, not_assessed: 12, error: 0, waived: 1}
scores:
  description: The score of each framework of the profile, from 0 to 1, as evidence; null where nothing was assessed.
  returned: when all was judged
  type: dict
  sample: {CSF: 0.42}
changes:
  description: How many findings newly fail, are fixed, or are otherwise different from the previous report.
  returned: when all was judged
  type: dict
  sample: {new_fails: 1, fixed: 0, other: 2}
files:
  description: The files of the report.
  returned: when all was judged
  type: list
  elements: str
  sample: [/var/lib/federation/compliance/findings.json]
"""

from datetime import datetime, timezone
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.assessing import assess, check_errors, reached
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.drift import results
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.profiles import FAIL_ON
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.files import write_all
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.request import read_request
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    request = read_request(module.params, datetime.now(timezone.utc).date().isoformat())
    report = assess(request.known)
    data = report.to_dict()
    secrets = (module.params["signing_key"], module.params["signing_passphrase"])
    written = write_all(data, request.folder, *secrets, check_mode=module.check_mode)
    check_errors(report.findings)
    result = {
        "changed": bool(written.changed),
        "summary": data["summary"],
        "scores": {one["framework"]: one["score"] for one in data["scores"]},
        "changes": {kind: len(data["changes"][kind]) for kind in ("new_fails", "fixed", "other")},
        "files": list(written.paths),
        "diff": {"before": results(request.known.previous), "after": results(data)} if written.changed else None,
    }
    return reached(report.findings, request.fail_on, result)


def main() -> None:
    text: dict[str, Any] = {"type": "str", "required": True}
    dicts: dict[str, Any] = {"type": "list", "elements": "dict", "default": []}
    paths: dict[str, Any] = {"type": "list", "elements": "path", "required": True}
    run_module(
        {
            "federation": text,
            "sites": {"type": "list", "elements": "dict", "required": True},
            "evidence": dicts,
            "vms": dicts,
            "latencies": dicts,
            "waivers": dicts,
            "controls": paths,
            "profiles": paths,
            "profile": {"type": "str", "default": "all"},
            "fail_on": {"type": "str", "choices": list(FAIL_ON)},
            "folder": {"type": "path", "required": True},
            "previous": {"type": "path"},
            "today": {"type": "str"},
            "public_pages": {"type": "bool", "default": False},
            "signing_key": {"type": "path", "no_log": False},
            "signing_passphrase": {"type": "str", "no_log": True},
        },
        work,
    )


if __name__ == "__main__":
    main()
