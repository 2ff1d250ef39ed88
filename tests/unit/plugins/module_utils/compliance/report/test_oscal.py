# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""assessment-results.json: valid for compliance-trestle, whole, and the same for the same report."""

from __future__ import annotations

import copy
import json
import re
import uuid

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.oscal import (
    NAMESPACE,
    VERSION,
    assessment_results,
)
from sample_findings import HOSTILE, finding, large, report, sample
from trestle.oscal import OSCAL_VERSION
from trestle.oscal.assessment_results import AssessmentResults

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def result(given):
    return json.loads(assessment_results(given))["assessment-results"]["results"][0]


def walk(value):
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


@pytest.mark.parametrize("given", [sample(), large(5, 5), report([])], ids=["sample", "large", "empty"])
def test_trestle_accepts_it(given):
    assert OSCAL_VERSION == VERSION
    document = json.loads(assessment_results(given))["assessment-results"]
    read = AssessmentResults.model_validate(document)
    assert read.metadata.oscal_version.root.root == "1.2.1"


def test_every_reference_resolves_and_nothing_is_there_twice():
    document = json.loads(assessment_results(sample()))
    made = [one["uuid"] for one in walk(document) if "uuid" in one]
    assert len(made) == len(set(made)) and all(UUID.fullmatch(uuid) for uuid in made)
    named = {
        one[key] for one in walk(document) for key in ("observation-uuid", "risk-uuid", "subject-uuid", "actor-uuid") if key in one
    }
    assert named <= set(made)
    assert document["assessment-results"]["import-ap"]["href"][1:] in made


def test_each_result_says_what_it_is():
    given = sample()
    told = result(given)
    counts = given["summary"]
    assert len(told["observations"]) == len(given["findings"])
    states = [one["target"]["status"] for one in told["findings"]]
    assert states.count({"state": "satisfied", "reason": "pass"}) == counts["pass"]
    assert states.count({"state": "not-satisfied", "reason": "fail"}) == counts["fail"] == len(told["risks"])
    assert states.count({"state": "not-satisfied", "reason": "other"}) == counts["not_assessed"] + counts["error"]


def test_a_waiver_is_an_approved_deviation_and_an_expired_one_is_not():
    waived = [risk for risk in result(sample())["risks"] if risk["status"] == "deviation-approved"]
    assert len(waived) == 1 and waived[0]["risk-log"]["entries"][0]["title"] == "Waived until 2026-12-20"
    assert HOSTILE["markup"] in waived[0]["risk-log"]["entries"][0]["description"]
    expired = [risk for risk in result(sample())["risks"] if risk["status"] == "open" and "risk-log" in risk]
    assert [risk["risk-log"]["entries"][0]["title"] for risk in expired] == ["A waiver that expired on 2026-11-01"]


def test_the_same_report_gives_the_same_bytes_and_another_one_another_document():
    assert assessment_results(sample()) == assessment_results(copy.deepcopy(sample()))
    changed = sample()
    changed["findings"][0] = {**changed["findings"][0], "reason": "It is otherwise."}
    before, after = (json.loads(assessment_results(one))["assessment-results"] for one in (sample(), changed))
    assert before["uuid"] != after["uuid"]
    assert [one["uuid"] for one in before["results"][0]["findings"]] == [one["uuid"] for one in after["results"][0]["findings"]]


def test_an_identifier_is_a_uuid5_of_what_it_names():
    one = finding(("LOC-01", "t", "low", "measured", "CSF", "1", "r"), "ionos-berlin", "kvm1", "pass", "x")
    told = result(report([one]))["observations"][0]
    words = "virt8ra\x00observation\x00LOC-01\x00hypervisor\x00ionos-berlin\x00kvm1"
    assert told["uuid"] == str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE), words))
    assert {"name": "severity", "ns": NAMESPACE, "value": "low"} in told["props"]


def test_control_characters_do_not_reach_it():
    text = assessment_results(sample())
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800]", text) and "\\u0000" not in text and "\\u001b" not in text


def test_a_control_whose_name_is_no_token_is_one_there():
    control = ("3.4 odd/name", "t", "low", "measured", "CSF", "1", "r")
    told = result(report([finding(control, "ionos-berlin", "kvm1", "pass", "x")]))
    assert told["findings"][0]["target"]["target-id"] == "_3.4_odd_name"
