# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles choose and set thresholds; scores award nothing for what is unknown; drift tells what is different."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.assessing import check_errors, failing
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.controls import (
    Clause,
    Control,
    read_controls,
    read_documents,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.drift import changes, read_previous
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.findings import Finding
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.profiles import Profile, Scoring, find_profile
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.scores import scores
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import ComplianceError, InputError

FILES = Path(__file__).resolve().parents[5] / "roles" / "compliance" / "files"
STANZA = {"title": "T", "applies_to": ["site"], "passes": "x", "reason": "r", "remedy": "r", "parameters": {"most": 3}}
CLAUSES = {"LOC-01": "CSF", "LOC-02": "GX", "KEY-01": "CSF"}
CONTROLS = tuple(
    Control.from_dict({**STANZA, "id": name, "clauses": [{"framework": framework, "clause": "3.1", "source": "s"}]})
    for name, framework in CLAUSES.items()
)


def chosen(**profile):
    return [one.id for one in Profile.from_dict({"name": "p", "title": "P", **profile}).chosen(CONTROLS)]


def test_what_a_profile_chooses():
    assert chosen() == ["LOC-01", "LOC-02", "KEY-01"]
    assert chosen(include=["LOC-*"], exclude=["LOC-02"]) == ["LOC-01"]
    assert chosen(frameworks=["GX"]) == ["LOC-02"]


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ({"include": ["LOK-*"]}, r"profile p\.include='LOK-\*': means no control"),
        ({"parameters": {"LOC-09": {}}}, "is no known control"),
        ({"parameters": {"LOC-01": {"least": 1}}}, "is no parameter of LOC-01; use most"),
        ({"frameworks": ["SNC"]}, "chooses no control"),
        ({"fail_on": "all"}, "is not one of the choices"),
    ],
)
def test_profiles_that_cannot_be_meant(profile, told):
    with pytest.raises(InputError, match=told):
        chosen(**profile)


EXTENDED = [
    ("a.yml", {"name": "base", "title": "B", "include": ["LOC-*"], "fail_on": "low", "parameters": {"LOC-01": {"most": 5}}}),
    ("b.yml", {"name": "ours", "title": "O", "extends": "base", "fail_on": "never", "parameters": {"LOC-02": {"most": 7}}}),
    ("c.yml", {"name": "mine", "title": "M", "extends": "ours", "parameters": {"LOC-01": {"most": 9}}}),
]


def test_a_profile_has_what_it_extends_but_for_what_it_says_itself():
    profile = find_profile(EXTENDED, "mine")
    assert (profile.title, profile.fail_on) == ("M", "never")
    assert {one.id: one.parameters["most"] for one in profile.chosen(CONTROLS)} == {"LOC-01": 9, "LOC-02": 7}
    assert find_profile(EXTENDED, "base").parameters == {"LOC-01": {"most": 5}}


@pytest.mark.parametrize(
    ("extends", "told"),
    [
        ("other", r"profile base\.extends='other': is no known profile; use one of base, mine, ours"),
        ("mine", r"profile base\.extends='mine': extends itself"),
    ],
)
def test_what_cannot_be_extended(extends, told):
    first = (EXTENDED[0][0], {**EXTENDED[0][1], "extends": extends})
    with pytest.raises(InputError, match=told):
        find_profile([first, *EXTENDED[1:]], "mine")


def test_thresholds():
    profile = Profile.from_dict({"name": "p", "title": "P", "parameters": {"LOC-01": {"most": 5}}})
    assert [one.parameters["most"] for one in profile.chosen(CONTROLS)] == [5, 3, 3]


@pytest.mark.parametrize("path", sorted(path.stem for path in (FILES / "profiles").glob("*.yml")))
def test_our_profiles_choose_controls(path):
    profile = find_profile(read_documents([str(FILES / "profiles")], "profiles"), path)
    assert profile.chosen(read_controls(read_documents([str(FILES / "controls")], "controls")))
    assert all(objective.source for scoring in profile.scoring for objective in scoring.objectives)


def test_unknown_profiles_are_refused():
    with pytest.raises(InputError, match="profile='none': is no known profile; use one of all"):
        find_profile(read_documents([str(FILES / "profiles")], "profiles"), "none")


def found(result, clause="3.1", name="a", control="LOC-01", severity="high", waived=False):
    subject = {"type": "site", "name": name, "site": "s"}
    clauses = (Clause("CSF", clause, "s"),)
    return Finding(control, "T", severity, "measured", clauses, subject, result, "r", waived=waived)


SCORING = Scoring.from_dict(
    {
        "framework": "CSF",
        "title": "C",
        "objectives": [
            {"objective": "SOV-3", "title": "Data", "weight": 10, "clauses": ["3.*"]},
            {"objective": "SOV-5", "title": "Supply", "weight": 30, "clauses": ["5.*"]},
        ],
    }
)


def test_what_is_unknown_adds_nothing_to_a_score():
    (score,) = scores([SCORING], [found("pass"), found("fail"), found("not_assessed"), found("not_assessed", "5.1")])
    assert score["of"][0] == {"objective": "SOV-3", "title": "Data", "weight": 10.0, "passed": 1, "assessed": 2, "score": 0.5}
    assert (score["of"][1]["score"], score["score"]) == (None, 0.125)


def test_a_waived_fail_scores_as_a_fail():
    (score,) = scores([SCORING], [found("fail", waived=True)])
    assert score["score"] == 0


def test_nothing_assessed_is_no_score():
    assert scores([SCORING], [found("not_assessed")])[0]["score"] is None


def test_drift():
    previous = json.loads(
        json.dumps({"generated": "2026-11-24T00:00:00Z", "findings": [found("pass").to_dict(), found("fail", name="b").to_dict()]})
    )
    told = changes(previous, [found("fail"), found("pass", name="b"), found("fail", name="c")])
    assert [(one["subject"]["name"], one["before"]) for one in told["new_fails"]] == [("a", "pass"), ("c", None)]
    assert [one["subject"]["name"] for one in told["fixed"]] == ["b"]
    gone = changes(previous, [found("pass")])["other"]
    assert [(one["before"], one["after"]) for one in gone] == [("fail", None)]
    assert changes(None, [found("fail")])["new_fails"] == []


def test_a_previous_report_that_is_none():
    assert read_previous("") is None
    for text in ("{", "[]", '{"schema": "x"}'):
        with pytest.raises(InputError, match="name a findings"):
            read_previous(text)


def test_what_fails_a_run():
    findings = [found("fail"), found("fail", severity="medium"), found("fail", waived=True), found("not_assessed")]
    assert len(failing(findings, "high")) == 1
    assert len(failing(findings, "low")) == 2
    assert failing(findings, "never") == []


def test_an_expression_that_failed_is_an_error_of_ours():
    check_errors([found("fail")])
    with pytest.raises(ComplianceError, match="1 findings could not be evaluated, first LOC-01 of a"):
        check_errors([found("error")])
