# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each control about what is declared, attested or derived: evidence that passes, evidence that fails, and none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.controls import read_controls, read_documents
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.judging import Case, judge
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.subjects import Subject
from ansible_collections.virt8ra.federation.plugins.module_utils.federation import plain
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site

HERE = Path(__file__).resolve().parent
ROLE = HERE.parents[4] / "roles" / "compliance" / "files"
CONTROLS = {control.id: control for control in read_controls(read_documents([str(ROLE / "controls")], "controls"))}
CASES = plain(yaml.safe_load((HERE / "declared_cases.yml").read_text(encoding="utf-8")))
SITE = {"name": "rioja", "provider": "Arsys", "country": "ES", "city": "Logroño", "latitude": 42.5, "longitude": -2.4}


def judged(name, case, today="2026-11-25"):
    control = CONTROLS[name]
    attestations = []
    if control.attested and "value" in case:
        issued = case.get("issued", "2026-06-01")
        attestations = [{"claim": control.attested, "value": case["value"], "issued": issued, "expires": "2028-01-01"}]
    site = Site.from_dict({**SITE, **case.get("site", {}), "attestations": attestations})
    facts = {area: {"how": "test", "data": data} for area, data in case.get("facts", {}).items()}
    subject = Subject(case.get("type", "site"), "one", "rioja", facts)
    (finding,) = judge(Case("lab", (site,), (control,), (), today, frozenset(CONTROLS)), [subject])
    return finding


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("result", ["pass", "fail"])
def test_control(name, result):
    finding = judged(name, CASES[name][result])
    assert finding.result == result, finding.reason
    assert "\n" not in finding.reason
    assert result == "pass" or finding.offending


@pytest.mark.parametrize("name", [name for name in sorted(CASES) if CONTROLS[name].needs or CONTROLS[name].attested])
def test_without_evidence_it_is_not_assessed(name):
    kind = CASES[name]["pass"].get("type", "site")
    assert judged(name, {"type": kind}).result == "not_assessed"


def test_a_distance_that_cannot_be_proved_says_so():
    assert judged("LOC-03", CASES["LOC-03"]["pass"]).reason == (
        "Seen from 1 sites it is within 1500.0 km of one of them, as declared; where within that, round trips cannot prove."
    )


def test_switching_is_free_from_a_day_on():
    assert judged("POR-06", CASES["POR-06"]["pass"], "2027-01-11").result == "pass"
    assert judged("POR-06", CASES["POR-06"]["pass"], "2027-01-12").result == "fail"


def test_every_clause_has_its_source():
    for control in CONTROLS.values():
        assert control.clauses, control.id
        assert all(clause.source for clause in control.clauses)
