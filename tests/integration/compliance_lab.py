# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A copy of the lab's federation file in which other things are written, reports on it, and what is different in them."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.controls import read_controls, read_documents

from .lab import INVENTORY, ROOT, SITES, Lab

HOSTILE = "<script>alert(1)</script> {{ 7 * 7 }}"
# Far enough for the places that the lab's sites say they are at.
ROUND_TRIPS = {("lab-es-1", "lab-de-1"): 25.0, ("lab-es-1", "lab-es-2"): 12.0, ("lab-de-1", "lab-es-2"): 35.0}

# VMs that are broken on purpose begin so; those of other tests do not count.
BROKEN = "t-broken"

# What only the hosts of k3s servers tell.
BY_SERVERS = ("KEY-03", "LOG-02", "OPS-05-K", "SEC-02-K", "SUP-03-K")

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

    def measured(self, round_trips: dict[tuple[str, str], float]) -> None:
        """Milliseconds between hypervisors, there and back, as the playbook measure_latency keeps them."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        latencies = [
            {
                "source": source,
                "target": target,
                "source_site": SITES[source],
                "target_site": SITES[target],
                **{"min_ms": ms, "median_ms": ms, "samples": 5, "failed": 0, "measured_at": now},
            }
            for pair, ms in round_trips.items()
            for source, target in (pair, pair[::-1])
        ]
        (self.folder / "latency.json").write_text(json.dumps({"schema": 1, "latencies": latencies}), encoding="utf-8")

    def rehearsed(self, vm: str, **told: Any) -> None:
        """One more rehearsal of an exit, from lab-es to lab-de: one that went well, but for what is told."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        record = {
            **{
                "vm": vm,
                "site": "lab-es",
                "hypervisor": "lab-es-1",
                "target_site": "lab-de",
                "target": "lab-de-1",
                "finished": now,
            },
            **{"bytes": 1 << 30, "export_seconds": 10.0, "import_seconds": 10.0, "start_seconds": 5.0},
            **{"bundle_valid": True, "started": True},
            **told,
        }
        with (self.folder / "rehearsals.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def report(self, name: str, **extra: Any) -> tuple[dict[str, Any], Findings]:
        """What the playbook told, and the findings by control and subject."""
        given = {
            "report_dir": str(self.folder / name),
            "fail_on": "never",
            "compliance_latency_path": str(self.folder / "latency.json"),
            "compliance_rehearsal_path": str(self.folder / "rehearsals.jsonl"),
            "compliance_public_pages": False,
            **extra,
        }
        told = self.lab.playbook("playbooks/compliance.yml", inventory=self.inventory, extra=given)
        path = self.folder / name / "findings.json"
        found = json.loads(path.read_text(encoding="utf-8"))["findings"] if path.exists() else []
        return told, {(one["control"], one["subject"]["name"]): one for one in found}


def measured_controls(*kinds: str) -> set[str]:
    """Ids of the role's controls that measure subjects of these kinds."""
    controls = read_controls(read_documents([str(ROOT / "roles/compliance/files/controls")], "controls"))
    return {control.id for control in controls if control.how == "measured" and set(kinds) & set(control.applies_to)}


def different(before: Findings, after: Findings) -> set[tuple[str, str]]:
    """Findings that are worse than before, or fail with more than before."""

    def worse(key: tuple[str, str], one: dict[str, Any]) -> bool:
        was = before.get(key, {"result": "none", "offending": []})
        return one["result"] == "fail" and (was["result"], was["offending"]) != ("fail", one["offending"])

    ours = {key: one for key, one in after.items() if one["subject"]["type"] != "vm" or key[1].startswith(BROKEN)}
    return {key for key, one in ours.items() if worse(key, one)}
