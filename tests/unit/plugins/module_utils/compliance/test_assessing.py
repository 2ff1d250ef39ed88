# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole way from a module's options to the report, and the facts that no single host can tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.assessing import assess, reached
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.request import read_request
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import ComplianceError, FindingsFailed, InputError

FILES = Path(__file__).resolve().parents[5] / "roles" / "compliance" / "files"
SITES = [
    {
        "name": "es",
        "provider": "A",
        "country": "ES",
        "city": "x",
        "latitude": 42.5,
        "longitude": -2.4,
        "hypervisors": [{"name": "es-1"}],
    },
    {
        "name": "de",
        "provider": "B",
        "country": "DE",
        "city": "x",
        "latitude": 49.0,
        "longitude": 8.4,
        "hypervisors": [{"name": "de-1"}],
    },
    {
        "name": "us",
        "provider": "B",
        "country": "US",
        "city": "x",
        "latitude": 40.7,
        "longitude": -74,
        "hypervisors": [{"name": "us-1"}],
    },
]
STAMP = "2026-11-25T12:00:00Z"
KVM = {"type": "hypervisor", "name": "es-1", "site": "es", "facts": {}}
VM = {"name": "web", "site": "es", "hypervisor": "es-1", "allowed_countries": [], "placement": {}, "managed": True}


def latency(source, target, milliseconds):
    ends = {"source": f"{source}-1", "source_site": source, "target": f"{target}-1", "target_site": target}
    return {**ends, "min_ms": milliseconds, "median_ms": milliseconds, "samples": 5, "measured_at": STAMP}


def request(folder, **params):
    return read_request(
        {
            "federation": "lab",
            "sites": SITES,
            "evidence": [{"collected": STAMP, "subjects": [KVM]}],
            "vms": [],
            "latencies": [],
            "waivers": [],
            "controls": [str(FILES / "controls")],
            "profiles": [str(FILES / "profiles")],
            "profile": "all",
            "fail_on": None,
            "folder": str(folder / "out"),
            "previous": None,
            "today": "2026-11-25",
            "public_pages": False,
            "signing_key": None,
            "signing_passphrase": None,
            **params,
        },
        "2026-11-25",
    )


def finding(folder, control, name, **params):
    report = assess(request(folder, **params).known)
    (found,) = [one for one in report.findings if (one.control, one.subject["name"]) == (control, name)]
    return found


def test_a_host_is_where_round_trips_allow_it(tmp_path):
    far = [latency("es", "de", 14.0), latency("us", "es", 80.0)]
    assert finding(tmp_path, "LOC-03", "es-1", latencies=far).result == "pass"
    near = [latency("es", "de", 1.0), latency("us", "es", 80.0)]
    found = finding(tmp_path, "LOC-03", "es-1", latencies=near)
    assert found.result == "fail" and len(found.offending) == 1 and " km from de " in found.offending[0]


def test_one_round_trip_proves_nothing(tmp_path):
    found = finding(tmp_path, "LOC-03", "es-1", latencies=[latency("es", "de", 1.0)])
    assert (found.result, "and 2 are needed" in found.reason) == ("not_assessed", True)


def test_a_vm_may_fall_back_only_where_its_policy_lets_it(tmp_path):
    found = finding(tmp_path, "LOC-05", "web", vms=[VM])
    assert (found.result, found.offending) == ("fail", ({"site": "us", "country": "US"},))
    assert finding(tmp_path, "LOC-05", "web", vms=[{**VM, "allowed_countries": ["ES", "DE"]}]).result == "pass"
    barred = {**VM, "placement": {"forbidden_countries": ["US"]}}
    assert finding(tmp_path, "LOC-05", "web", vms=[barred]).result == "pass"
    unreadable = {**VM, "placement": {"newer": 1}}
    assert finding(tmp_path, "LOC-05", "web", vms=[unreadable]).result == "not_assessed"


def test_what_nobody_declared_is_unknown(tmp_path):
    assert finding(tmp_path, "SEC-06", "es", vms=[VM]).result == "pass"
    assert finding(tmp_path, "SEC-06", "es", vms=[{**VM, "managed": False}]).offending == ("VM web",)
    assert finding(tmp_path, "SEC-06", "de").reason == (
        "Inventory could not be measured: hypervisor de-1 is not known: no evidence of it was gathered."
    )


def test_nodes_that_were_not_read_are_no_inventory(tmp_path):
    sites = [{**SITES[0], "clusters": [{"name": "edge", "nodes": [{"name": "edge-1"}]}]}]
    edge = {"type": "cluster", "name": "edge", "site": "es"}
    nodes = {"how": "x", "data": [{"name": "edge-1"}, {"name": "edge-2"}]}

    def judged(**facts):
        evidence = [{"collected": STAMP, "subjects": [KVM, {**edge, "facts": facts}]}]
        return finding(tmp_path, "SEC-06", "es", sites=sites, evidence=evidence)

    assert judged(nodes=nodes).offending == ("node edge-2 of cluster edge",)
    for facts in ({}, {"nodes": {"how": "x", "error": "forbidden"}}):
        assert judged(**facts).reason == "Inventory could not be measured: the nodes of cluster edge could not be read."


def test_a_host_that_is_away_is_not_assessed(tmp_path):
    away = [{"collected": "", "subjects": [{"type": "hypervisor", "name": "es-1", "site": "es", "error": "it did not answer"}]}]
    assert finding(tmp_path, "LOC-01", "es-1", evidence=away).reason == "It did not answer."


def test_generated_is_the_time_of_the_newest_evidence(tmp_path):
    assert assess(request(tmp_path).known).generated == STAMP


def test_nothing_at_all_is_an_error(tmp_path):
    (tmp_path / "c").mkdir()
    stanza = "controls: [{id: A-1, title: t, applies_to: [cluster], passes: x, reason: r, remedy: r}]"
    (tmp_path / "c" / "a.yml").write_text(stanza, encoding="utf-8")
    with pytest.raises(ComplianceError, match="there is no finding at all"):
        assess(request(tmp_path, controls=[str(tmp_path / "c")]).known).to_dict()


def test_a_fail_ends_the_run_with_a_verdict_and_a_fault_without(tmp_path):
    us = [{"collected": STAMP, "subjects": [{**KVM, "name": "us-1", "site": "us"}]}]
    report = assess(request(tmp_path, evidence=us).known)
    with pytest.raises(FindingsFailed) as error:
        reached(report.findings, "critical", {"changed": True})
    assert error.value.details["verdict"] == "fail"
    assert error.value.details["failing"] == ["LOC-01 of us-1 at us"]
    assert reached(report.findings, "never", {})["verdict"] == "pass"


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"today": "soon"}, "today='soon': is not a date"),
        ({"profile": "x"}, "profile='x': is no known profile"),
        ({"sites": [SITES[0], SITES[0]]}, "is there twice"),
        ({"signing_key": "/nowhere.pem"}, "signing_key='/nowhere.pem': cannot be read"),
    ],
)
def test_bad_input_is_refused(tmp_path, params, told):
    with pytest.raises(InputError) as error:
        request(tmp_path, **params)
    assert told in str(error.value)


def test_a_folder_that_cannot_be_is_refused_first(tmp_path):
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"folder='.*out': cannot be written"):
        request(tmp_path, profile="x")
