# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rehearsals of an exit: kept, read, and what controls make of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.controls import read_controls, read_documents
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.judging import Case, judge
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.rehearsal import (
    Rehearsal,
    differences,
    read_records,
    rehearsal_subjects,
    slowest_tenth,
    to_text,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.subjects import Subject
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site, Vm

FOLDER = Path(__file__).resolve().parents[5] / "roles" / "compliance" / "files" / "controls"
CONTROLS = {control.id: control for control in read_controls(read_documents([str(FOLDER)], "controls"))}

GOOD = {
    "vm": "web-1",
    "site": "rioja",
    "hypervisor": "kvm1",
    "target_site": "bonn",
    "target": "kvm3",
    "finished": "2026-11-20T10:00:00Z",
    "bytes": 1000,
    "export_seconds": 4.0,
    "import_seconds": 6,
    "start_seconds": 2,
    "bundle_valid": True,
    "started": True,
}


def record(**changes):
    return Rehearsal.from_dict({**GOOD, **changes})


def test_what_is_kept_is_read_again():
    kept = (record(finished="2026-11-01T00:00:00Z", problem="no answer"), record(differences=["cpus was 1 and is 2"]))
    assert read_records(to_text(reversed(kept))) == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1"),
        ('\n{"vm": "a"}', "line 2.site"),
        ("[]", "line 1"),
    ],
)
def test_a_line_that_is_no_record_is_named(text, said):
    with pytest.raises(InputError, match=said):
        read_records(text)


@pytest.mark.parametrize("change", [{"finished": "soon"}, {"export_seconds": -1}, {"start_seconds": float("nan")}, {"bytes": "1"}])
def test_a_record_of_nonsense_is_refused(change):
    with pytest.raises(InputError):
        record(**change)


def test_the_throughput_that_nine_of_ten_reach():
    rates = [record(bytes=number * 100) for number in range(1, 21)]
    assert slowest_tenth(rates) == 20
    assert slowest_tenth([record(bundle_valid=False), record(bytes=0)]) is None


def test_a_shape_is_that_of_the_spec_without_what_is_the_sites_own():
    spec = {"name": "a", "cpus": 1, "memory": "1GiB", "disks": [{"name": "vda", "size": "1GiB", "storage": "ssd"}]}
    before = Vm.from_dict({**spec, "nics": [{"network": "public", "mac": "52:54:00:00:00:01"}]}).to_dict()
    moved = {**spec, "name": "b", "disks": [{"name": "vda", "size": "1GiB", "storage": "hdd", "format": "raw"}]}
    assert differences(before, Vm.from_dict({**moved, "nics": [{"network": "lan"}]}).to_dict()) == ()
    assert differences(before, Vm.from_dict({**moved, "cpus": 2}).to_dict()) == ("cpus was 1 and is 2", "nics was 1 and is 0")


def facts_of(subjects, kind):
    return {one["name"]: one["facts"] for one in subjects if one["type"] == kind}


def test_an_exit_of_a_site_is_its_bytes_over_the_throughput():
    vms = [{"name": "web-1", "site": "rioja", "bytes": 8_640_000}, {"name": "db", "site": "rioja", "bytes": 8_640_000}]
    found = facts_of(rehearsal_subjects([record()], vms), "site")["rioja"]["exit"]["data"]
    assert found == {"bytes": 17_280_000, "vms": 2, "rehearsals": 1, "p10_bytes_per_second": 100, "days": 2.0}


@pytest.mark.parametrize(
    ("records", "size", "said"),
    [([], 1, "was rehearsed"), ([record(target_site="rioja")], 1, "was rehearsed"), ([record()], None, "size of VM web-1")],
)
def test_an_exit_that_nobody_can_tell_is_an_error(records, size, said):
    found = rehearsal_subjects(records, [{"name": "web-1", "site": "rioja", "bytes": size}])
    assert said in facts_of(found, "site")["rioja"]["exit"]["error"]


def judged(control, *records):
    (given,) = [one for one in rehearsal_subjects(records, []) if one["type"] == "vm"]
    subject = Subject("vm", given["name"], given["site"], given["facts"])
    site = Site.from_dict({"name": "rioja", "provider": "Arsys", "country": "ES"})
    (finding,) = judge(Case("lab", (site,), (CONTROLS[control],), (), "2026-11-25", frozenset(CONTROLS)), [subject])
    return finding.result


@pytest.mark.parametrize("control", ["POR-01", "POR-02"])
def test_the_newest_rehearsal_counts(control):
    failed = record(finished="2026-11-21T10:00:00Z", bundle_valid=False, started=False, problem="a digest was wrong")
    assert judged(control, record()) == "pass"
    assert judged(control, record(), failed) == "fail"
    assert judged(control, failed, record(finished="2026-11-22T10:00:00Z")) == "pass"


@pytest.mark.parametrize(
    "change",
    [{"finished": "2026-08-26T00:00:00Z"}, {"target_site": "rioja"}, {"differences": ["cpus was 1 and is 2"]}, {"started": False}],
)
def test_a_rehearsal_that_proves_no_import(change):
    assert judged("POR-02", record(**change)) == "fail"
    assert judged("POR-01", record(**change)) == "pass"
