# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each control of clusters: evidence that passes, each way in which evidence fails, and none."""

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
FOLDER = HERE.parents[4] / "roles" / "compliance" / "files" / "controls"
CONTROLS = {control.id: control for control in read_controls(read_documents([str(FOLDER)], "controls"))}
CASES = plain(yaml.safe_load((HERE / "cluster_cases.yml").read_text(encoding="utf-8")))
FAILS = [(name, facts) for name, case in sorted(CASES.items()) for facts in case["fail"]]
K3S = {"distribution": "k3s"}


def judged(name, facts, attestations=(), parameters=None):
    control = CONTROLS[name].with_parameters(parameters or {}, "test")
    site = Site.from_dict({"name": "rioja", "provider": "Arsys", "country": "ES", "attestations": list(attestations)})
    told = {area: {"how": "test", "data": data} for area, data in facts.items()}
    (finding,) = judge(
        Case("lab", (site,), (control,), (), "2026-11-25", frozenset(CONTROLS)), [Subject("cluster", "edge", "rioja", told)]
    )
    return finding


@pytest.mark.parametrize("name", sorted(CASES))
def test_evidence_that_passes(name):
    finding = judged(name, {"version": K3S, **CASES[name]["pass"]})
    assert finding.result == "pass", finding.reason


@pytest.mark.parametrize(("name", "facts"), FAILS)
def test_evidence_that_fails(name, facts):
    finding = judged(name, {"version": K3S, **facts})
    assert finding.result == "fail", finding.reason
    assert finding.offending


@pytest.mark.parametrize("name", sorted(CASES))
def test_without_evidence_it_is_not_assessed(name):
    assert judged(name, {} if name == "SEC-03-K" else {"version": K3S}).result == "not_assessed"


@pytest.mark.parametrize("name", ["KEY-03", "LOG-02", "OPS-05-K", "SEC-02-K", "SUP-03-K"])
def test_what_only_k3s_has_does_not_apply_elsewhere(name):
    other = {"version": {"distribution": "other"}}
    assert judged(name, {**other, **CASES[name]["pass"]}).result == "not_applicable"
    assert judged(name, other).result == "not_applicable"


@pytest.mark.parametrize("name", ["KEY-03", "LOG-02", "OPS-05-K", "SEC-02-K", "SUP-03-K"])
def test_what_a_server_tells_is_judged_without_the_api(name):
    assert judged(name, CASES[name]["pass"]).result == "pass"
    assert all(judged(name, facts).result == "fail" for facts in CASES[name]["fail"])
    assert judged(name, {}).result == "not_assessed"


def test_the_server_that_is_wrong_is_named():
    named = [judged(name, facts).offending[-1]["server"] for name, facts in FAILS if facts_of_two(facts)]
    assert named == ["b"] * 4


def facts_of_two(facts):
    return any(len(data.get("servers", ())) == 2 for data in facts.values())


def test_a_declared_endpoint_or_network_is_allowed():
    by_address, by_name = CASES["LOC-04-K"]["fail"][1:]
    assert judged("LOC-04-K", by_address, parameters={"networks": ["10.0.0.0/24"]}).result == "pass"
    assert judged("LOC-04-K", by_name, parameters={"endpoints": ["nfs.example.com"]}).result == "pass"
    assert judged("LOC-04-K", by_name, parameters={"networks": ["10.0.0.0/24"]}).result == "fail"


@pytest.mark.parametrize(
    ("issued", "value", "result"), [("2026-08-27", True, "pass"), ("2026-08-26", True, "fail"), ("2026-11-01", False, "fail")]
)
def test_a_restore_that_was_tried(issued, value, result):
    attestation = {"claim": "cluster_restore_test", "value": value, "issued": issued, "expires": "2028-01-01"}
    assert judged("OPS-05-R", {}, [attestation]).result == result
    assert judged("OPS-05-R", {}).result == "not_assessed"
