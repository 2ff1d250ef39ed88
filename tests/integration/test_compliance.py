# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compliance over the lab, and over a lab that is broken on purpose: each fault is found by its control, and by no other one."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from .lab import INVENTORY, ROOT, SITES, Lab

HOSTILE = "<script>alert(1)</script> {{ 7 * 7 }}"
SHAPE = """<domain type='qemu'><name>{name}</name><memory>65536</memory><os><type machine='pc-q35-7.2'>hvm</type></os>
<cpu mode='maximum'/></domain>"""
# Far enough for the places that the lab's sites say they are at.
ROUND_TRIPS = {("lab-es-1", "lab-de-1"): 25.0, ("lab-es-1", "lab-es-2"): 12.0, ("lab-de-1", "lab-es-2"): 35.0}

Findings = dict[tuple[str, str], dict[str, Any]]


class Federation:
    """A copy of the lab's federation file with other things written, and reports on it."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        # As deep as the lab's own, which finds its keys from where it is.
        self.inventory = folder / "inventories" / "lab"
        shutil.copytree(INVENTORY, self.inventory)
        (folder / "build").symlink_to(ROOT / "build")
        self.path = self.inventory / "lab.sites.yml"
        self.declared = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        self.declared["pki_path"] = str(ROOT / "build/lab/pki/controller")
        energy = {
            "claim": "energy",
            "value": {"pue": 1.2, "renewable": 90},
            "issuer": HOSTILE,
            "issued": "2026-01-01",
            "expires": "2099-01-01",
        }
        self.site("lab-es")["attestations"] = [energy]
        self.save()

    def site(self, name: str) -> dict[str, Any]:
        return next(site for site in self.declared["sites"] if site["name"] == name)

    def save(self) -> None:
        self.path.write_text(yaml.safe_dump(self.declared, allow_unicode=True), encoding="utf-8")

    def report(self, name: str, **extra: Any) -> tuple[dict[str, Any], Findings]:
        """What the playbook told, and the findings by control and subject."""
        latencies = self.folder / "latency.json"
        given = {
            "report_dir": str(self.folder / name),
            "fail_on": "never",
            "compliance_latency_path": str(latencies),
            "compliance_public_pages": False,
            **extra,
        }
        told = self.lab.playbook("playbooks/compliance.yml", inventory=self.inventory, extra=given)
        path = self.folder / name / "findings.json"
        found = json.loads(path.read_text(encoding="utf-8"))["findings"] if path.exists() else []
        return told, {(one["control"], one["subject"]["name"]): one for one in found}


def different(before: Findings, after: Findings) -> set[tuple[str, str]]:
    """Findings that are worse than before, or fail with more than before; VMs of other tests do not count."""

    def worse(key: tuple[str, str], one: dict[str, Any]) -> bool:
        was = before.get(key, {"result": "none", "offending": []})
        return one["result"] == "fail" and (was["result"], was["offending"]) != ("fail", one["offending"])

    ours = {key: one for key, one in after.items() if one["subject"]["type"] != "vm" or key[1] == "t-unknown"}
    return {key for key, one in ours.items() if worse(key, one)}


@pytest.fixture(scope="module")
def federation(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Federation:
    federation = Federation(lab, tmp_path_factory.mktemp("compliance"))
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    measured = [
        {
            "source": source,
            "target": target,
            "source_site": SITES[source],
            "target_site": SITES[target],
            **{"min_ms": ms, "median_ms": ms, "samples": 5, "failed": 0, "measured_at": now},
        }
        for pair, ms in ROUND_TRIPS.items()
        for source, target in (pair, pair[::-1])
    ]
    (federation.folder / "latency.json").write_text(json.dumps({"schema": 1, "latencies": measured}), encoding="utf-8")
    return federation


@contextmanager
def changed_file(lab: Lab, host: str, path: str, line: str) -> Iterator[None]:
    lab.run(host, f"cp -p {path} {path}.t-kept && echo '{line}' >> {path}")
    try:
        yield
    finally:
        lab.run(host, f"mv {path}.t-kept {path}")


@contextmanager
def listener(lab: Lab, host: str, port: int) -> Iterator[None]:
    lab.run(host, f"systemd-run --unit=t-plain --collect python3 -m http.server {port}")
    lab.run(host, f"for i in $(seq 50); do ss -ltn | grep -q ':{port} ' && break; sleep 0.2; done")
    try:
        yield
    finally:
        lab.run(host, "systemctl stop t-plain", check=False)


@contextmanager
def domain(lab: Lab, host: str, name: str) -> Iterator[None]:
    lab.run(host, f'cat > /tmp/{name}.xml <<"XML"\n{SHAPE.format(name=name)}\nXML\nvirsh -q define /tmp/{name}.xml')
    try:
        yield
    finally:
        lab.run(host, f"virsh -q undefine {name}; rm -f /tmp/{name}.xml", check=False)


def test_faults_are_found_by_their_controls_and_by_no_others(lab: Lab, federation: Federation) -> None:
    told, before = federation.report("good")
    assert told["rc"] == 0, told["stderr"]
    assert before[("ENV-01", "lab-es")]["result"] == "pass"
    assert all(before[("KEY-05", host)]["result"] == "pass" for host in SITES)
    federation.site("lab-de")["country"] = "US"
    federation.site("lab-es-south").pop("city")
    federation.site("lab-es")["attestations"][0]["expires"] = "2026-02-01"
    federation.save()
    with ExitStack() as broken:
        broken.enter_context(changed_file(lab, "lab-es-1", "/etc/libvirt/qemu.conf", "migrate_tls_x509_verify = 0"))
        broken.enter_context(changed_file(lab, "lab-es-2", "/etc/libvirt/libvirtd.conf", "audit_level = 0"))
        broken.enter_context(listener(lab, "lab-de-1", 16509))
        broken.enter_context(domain(lab, "lab-es-2", "t-unknown"))
        told, after = federation.report("broken")
    assert told["rc"] == 0, told["stderr"]
    assert different(before, after) == {
        ("LOC-01", "lab-de-1"),
        ("LOC-02", "lab-es-south"),
        ("ENV-01", "lab-es"),
        ("KEY-05", "lab-es-1"),
        ("LOG-01", "lab-es-2"),
        ("SEC-01-TCP", "lab-de-1"),
        ("SEC-06", "lab-es-south"),
        ("POR-08", "t-unknown"),
        # It has no policy that would keep it out of the country that is not allowed.
        ("LOC-05", "t-unknown"),
    }
    assert "2026-02-01" in after[("ENV-01", "lab-es")]["reason"]


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
    variables = federation.inventory / "host_vars"
    variables.mkdir(exist_ok=True)
    (variables / "lab-de-1.yml").write_text(yaml.safe_dump({"ansible_port": 9}), encoding="utf-8")
    federation.save()
    told, found = federation.report("away")
    assert told["rc"] in (0, 4), told["stderr"]
    assert found[("KEY-05", "lab-de-1")]["result"] == "not_assessed" and found[("KEY-05", "lab-de-1")]["reason"]
    assert found[("KEY-05", "lab-es-2")]["result"] == "pass"
