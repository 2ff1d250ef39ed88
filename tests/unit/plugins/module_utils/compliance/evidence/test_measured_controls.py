# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each control about what is measured: facts that pass, facts that fail, and none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.controls import read_controls, read_documents
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.judging import Case, judge
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.subjects import Subject
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[5] / "roles" / "compliance" / "files" / "controls"
CONTROLS = {control.id: control for control in read_controls(read_documents([str(FOLDER)], "controls"))}
CASES = yaml.safe_load((HERE / "measured_cases.yml").read_text(encoding="utf-8"))


def judged(name, kind, facts, attestations=(), parameters=None):
    site = Site.from_dict({"name": "rioja", "provider": "Arsys", "country": "ES", "attestations": list(attestations)})
    subject = Subject(kind, "one", "rioja", {area: {"how": "test", "data": data} for area, data in facts.items()})
    (finding,) = judge(
        Case("lab", (site,), (CONTROLS[name].with_parameters(parameters or {}, "test"),), (), "2026-11-25", frozenset(CONTROLS)),
        [subject],
    )
    return finding


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("result", ["pass", "fail"])
def test_control(name, result):
    case = CASES[name][result]
    finding = judged(name, case["type"], case["facts"], case.get("attestations", ()), case.get("parameters"))
    assert finding.result == result, finding.reason
    assert result == "pass" or finding.offending


@pytest.mark.parametrize("name", sorted(CASES))
def test_without_evidence_it_is_not_assessed(name):
    assert judged(name, CASES[name]["pass"]["type"], {}).result == "not_assessed"


def test_a_disk_of_which_nothing_is_known_does_not_pass():
    disk = {"target": "vda", "source": "pool/vda", "encrypted": None, "by": ""}
    assert judged("KEY-01", "vm", {"disk_encryption": {"disks": [disk]}}).result == "not_assessed"
