# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each control about what is measured: evidence that passes, evidence that fails, and none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.controls import read_controls, read_documents
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.judging import Case, judge
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.subjects import Subject
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[4] / "roles" / "compliance" / "files" / "controls"
CONTROLS = {control.id: control for control in read_controls(read_documents([str(FOLDER)], "controls"))}
CASES = yaml.safe_load((HERE / "measured_cases.yml").read_text(encoding="utf-8"))
SITE = Site.from_dict({"name": "rioja", "provider": "Arsys", "country": "ES"})


def judged(name, kind, facts, parameters=None):
    subject = Subject(kind, "one", "rioja", facts)
    control = CONTROLS[name].with_parameters(parameters or {}, "parameters")
    (finding,) = judge(Case("lab", (SITE,), (control,), (), "2026-11-25", frozenset(CONTROLS)), [subject])
    return finding


def test_all_measured_controls_have_cases():
    written = {
        one["id"] for path in FOLDER.glob("*_measured.yml") for one in yaml.safe_load(path.read_text(encoding="utf-8"))["controls"]
    }
    assert written == set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("result", ["pass", "fail"])
def test_control(name, result):
    case = CASES[name][result]
    facts = {area: {"how": "test", "data": data} for area, data in case["facts"].items()}
    finding = judged(name, case["type"], facts, case.get("parameters"))
    assert finding.result == result, finding.reason
    assert result == "pass" or finding.offending


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_could_not_be_measured_is_not_assessed(name):
    facts = {area: {"how": "test", "error": "there is no such file"} for area in CONTROLS[name].needs}
    finding = judged(name, CASES[name]["pass"]["type"], facts)
    assert finding.result == "not_assessed"
    assert "there is no such file" in finding.reason


def test_a_stopped_vm_has_no_label_to_judge():
    data = {"running": False, "labels": [], "confined": False}
    assert judged("SEC-01", "vm", {"security_label": {"how": "test", "data": data}}).result == "not_applicable"
