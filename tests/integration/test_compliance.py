# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compliance over the lab, and over a lab that is broken on purpose: each fault is found by its control, and by no other one.

The faults are of every control that measures a site, a hypervisor or a VM; those of clusters are in test_compliance_clusters.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from . import broken_hosts as broken
from .compliance_lab import BROKEN, HOSTILE, ROUND_TRIPS, Federation, different, measured_controls
from .guest import SOURCE, TARGET, Guest
from .lab import SITES, Lab

SOUTH = "lab-es-2"
LEFT, OPEN, FREE, UNKNOWN = (f"{BROKEN}-{name}" for name in ("left", "open", "free", "unknown"))
DISK = {"name": "vda", "size": "8MiB", "storage": "ssd"}
HOME = {"site": "lab-de", "hypervisor": "lab-de-1", "target_site": "lab-es", "target": "lab-es-1"}
OLD_BILL = json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"timestamp": "2026-01-01T00:00:00Z"}})
FOUND = {
    ("LOC-01", "lab-de-1"),
    ("LOC-02", "lab-es-south"),
    ("LOC-03", "lab-es-1"),
    ("LOC-03", "lab-es-2"),
    ("LOC-04", "lab-es-1"),
    # It has no policy that would keep it out of the country that is not allowed.
    ("LOC-05", UNKNOWN),
    ("LOC-06", "lab-de-1"),
    ("ENV-01", "lab-es"),
    ("ERA-01", LEFT),
    ("KEY-01", OPEN),
    ("KEY-04", "lab-de-1"),
    ("KEY-05", "lab-es-1"),
    ("LOG-01", "lab-es-2"),
    ("LOG-03", "lab-es-2"),
    ("OPS-01", "lab-es-1"),
    # A VM that did not leave was not started elsewhere either; one that did may have stayed at its site.
    ("POR-01", FREE),
    ("POR-02", FREE),
    ("POR-02", LEFT),
    ("POR-03", "lab-de"),
    ("POR-08", UNKNOWN),
    ("SEC-01", FREE),
    ("SEC-01-CPU", "lab-es-2"),
    ("SEC-01-TCP", "lab-de-1"),
    ("SEC-03", "lab-es-2"),
    ("SEC-06", "lab-es-south"),
    ("SUP-01", "lab-es-2"),
    ("SUP-02", "lab-es-2"),
    ("SUP-03", "lab-es-2"),
    ("SUP-04", "lab-es-2"),
    ("TEC-01", "lab-es-2"),
}


@pytest.fixture(scope="module")
def federation(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """The lab's, in which a VM has moved from lab-es-1 to lab-de-1, and was rehearsed to leave."""
    federation = Federation(lab, tmp_path_factory.mktemp("compliance"))
    federation.measured(ROUND_TRIPS)
    guests = [Guest(lab, name) for name in (LEFT, OPEN, FREE)]
    with broken.system(lab, SOUTH) as python:
        variables = federation.inventory / "host_vars"
        variables.mkdir()
        (variables / f"{SOUTH}.yml").write_text(yaml.safe_dump({"ansible_python_interpreter": python}), encoding="utf-8")
        for guest in guests:
            guest.remove()
        try:
            made(lab, SOURCE, LEFT, disks=[DISK])
            for state in ("completed", "released"):
                moved = guests[0].migrate(SOURCE, TARGET, state=state, mode="cold")
                assert not moved.get("failed"), moved.get("msg")
            # Where it was says nothing any more of where it is.
            federation.rehearsed(LEFT, bundle_valid=False, started=False)
            federation.rehearsed(LEFT, **HOME)
            yield federation
        finally:
            for guest in guests:
                guest.remove()


def made(lab: Lab, host: str, name: str, **spec: Any) -> None:
    """A VM that has nothing of a system."""
    options = {"name": name, "cpus": 1, "memory": "64MiB", "state": "present", "allowed_countries": ["ES", "DE"]}
    own = {"site": "{{ federation_site }}", "hypervisor": "{{ inventory_hostname }}"}
    result = lab.module(host, "virt8ra.federation.vm", {**options, **own, **spec})
    assert not result.get("failed"), result.get("msg")


def declare_wrongly(federation: Federation) -> None:
    """All that is wrong on paper: what sites declare and attest, what was measured between them, what rehearsals told."""
    federation.site("lab-de")["country"] = "US"
    federation.site("lab-es-south").pop("city")
    federation.site("lab-es")["attestations"][0]["expires"] = "2026-02-01"
    federation.save()
    federation.measured({**ROUND_TRIPS, ("lab-es-1", "lab-es-2"): 1.0})
    federation.rehearsed(LEFT, **HOME, import_seconds=1e9, finished="2026-06-01T00:00:00Z")
    federation.rehearsed(LEFT, **{**HOME, "target_site": "lab-de"})
    federation.rehearsed(FREE, site="lab-es-south", bundle_valid=False, started=False, problem="it was broken on purpose")


def break_hosts(lab: Lab, faults: ExitStack) -> None:
    """What is wrong on hosts and their VMs, until the end of the context."""
    here, there = SOURCE, TARGET
    for fault in (
        broken.written(lab, here, "/etc/libvirt/qemu.conf", "migrate_tls_x509_verify = 0", more=True),
        broken.pool(lab, here, "storage.example.com"),
        broken.login(lab, here, broken.ELSEWHERE),
        broken.unit(lab, there, "t-plain", "python3 -m http.server 16509", 16509),
        broken.connection(lab, there),
        broken.short_certificate(lab, there),
        broken.domain(lab, SOUTH, UNKNOWN),
        broken.written(lab, SOUTH, "/etc/libvirt/libvirtd.conf", "audit_level = 0", more=True),
        broken.written(lab, SOUTH, "/etc/rsyslog.conf", "*.* @@logs.example.com:514"),
        broken.unit(lab, SOUTH, "rsyslog", "sleep infinity"),
        broken.written(lab, SOUTH, "/etc/chrony/chrony.conf", "server time.example.com iburst"),
        broken.unit(lab, SOUTH, "chrony", "sleep infinity"),
        broken.written(lab, SOUTH, f"{broken.SYSTEM}/vulnerabilities/meltdown", "Vulnerable"),
        broken.written(lab, SOUTH, f"{broken.SYSTEM}/class/dmi/id/bios_version", ""),
        broken.written(lab, SOUTH, "/usr/share/doc/libvirt-daemon/copyright", "License: Secret-1.0"),
        broken.written(lab, SOUTH, "/var/lib/virt8ra/sbom.cdx.json", OLD_BILL),
        broken.old(lab, SOUTH, "/var/lib/apt/lists"),
        broken.written(
            lab, SOUTH, "/etc/apt/sources.list.d/t.list", "deb [trusted=yes] http://mirror.example.com/debian bookworm main"
        ),
    ):
        faults.enter_context(fault)
    made(lab, SOUTH, OPEN, disks=[DISK])
    made(lab, SOUTH, FREE, state="running")
    lab.run(there, f"rm /var/lib/virt8ra/receipts/$(virsh domuuid {LEFT}).*.json")


def test_faults_are_found_by_their_controls_and_by_no_others(lab: Lab, federation: Federation) -> None:
    told, before = federation.report("good")
    assert told["rc"] == 0, told["stderr"]
    results = {key: one["result"] for key, one in before.items()}
    for control in ("KEY-04", "KEY-05", "LOC-01", "LOC-03", "LOC-04", "LOC-06", "OPS-01", "SEC-01-TCP", "SEC-03", "SUP-03"):
        assert {results[control, host] for host in SITES} == {"pass"}, control
    assert {results["ENV-01", "lab-es"], results["POR-03", "lab-de"], results["SEC-06", "lab-es-south"]} == {"pass"}
    assert {results[control, LEFT] for control in ("ERA-01", "LOC-05", "POR-01", "POR-02", "POR-08")} == {"pass"}
    assert {results[control, SOUTH] for control in ("SEC-01-CPU", "SUP-01")} == {"pass"}

    declare_wrongly(federation)
    with ExitStack() as faults:
        break_hosts(lab, faults)
        told, after = federation.report("broken")
    assert told["rc"] == 0, told["stderr"]
    assert different(before, after) == FOUND
    assert "2026-02-01" in after[("ENV-01", "lab-es")]["reason"]
    assert after[("SEC-03", SOUTH)]["offending"] != before[("SEC-03", SOUTH)]["offending"]


def test_every_control_that_measures_a_site_a_host_or_a_vm_has_a_fault() -> None:
    assert measured_controls("site", "hypervisor", "vm") <= {control for control, _subject in FOUND}


def test_hostile_words_stay_text_and_the_same_evidence_gives_the_same_bytes(federation: Federation) -> None:
    page = (federation.folder / "broken/index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    findings = json.loads((federation.folder / "good/findings.json").read_text(encoding="utf-8"))
    kept = next(one for one in findings["findings"] if (one["control"], one["subject"]["name"]) == ("ENV-01", "lab-es"))
    assert HOSTILE in json.dumps(kept["evidence"])


def test_findings_that_are_not_good_enough_fail_the_run(federation: Federation) -> None:
    told, _found = federation.report("strict", fail_on="critical")
    assert told["rc"] != 0 and "LOC-01" in json.dumps(told["plays"])


def test_an_unreachable_site_is_not_assessed_and_the_run_goes_on(federation: Federation) -> None:
    host = federation.site("lab-de")["hypervisors"][0]
    host["address"] = "127.0.0.1"
    (federation.inventory / "host_vars/lab-de-1.yml").write_text(yaml.safe_dump({"ansible_port": 9}), encoding="utf-8")
    federation.declared["sites"].append({"name": "lab-later", "provider": "BIT", "country": "NL"})
    federation.save()
    told, found = federation.report("away")
    assert told["rc"] in (0, 4), told["stderr"]
    assert found[("KEY-05", "lab-de-1")]["result"] == "not_assessed" and found[("KEY-05", "lab-de-1")]["reason"]
    assert found[("KEY-05", "lab-es-2")]["result"] == "pass"
    assert found[("LOC-02", "lab-later")]["result"] == "fail", "a site without hosts is judged as well"
