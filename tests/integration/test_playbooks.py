# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks as a person runs them: the demo twice over, and what they refuse."""

from __future__ import annotations

import json

import pytest

from .guest import Guest
from .lab import ROOT, Lab, faulty

KEYS = {
    *("vm", "source", "target", "mode", "total_ms", "downtime_ms", "bytes", "verified"),
    *("writes_acknowledged", "writes_found"),
}


@pytest.fixture
def cleared(lab: Lab):
    """The demo's VM goes, whatever became of it."""
    yield
    Guest(lab, "demo").remove()


@pytest.mark.usefixtures("cleared")
def test_the_demo_runs_and_runs_again(lab):
    for name in ("demo.json", "demo.txt"):
        (ROOT / "build" / name).unlink(missing_ok=True)
    for _again in range(2):
        shown = lab.shown("playbooks/demo.yml")
        assert not faulty(shown), shown[-3000:]
        assert "|--demo" in shown, "the graph shows the VM"
        assert "demo  lab-es-1 → lab-de-1  copying" in shown
        facts = json.loads((ROOT / "build" / "demo.json").read_text(encoding="utf-8"))
        assert set(facts) == KEYS
        assert (facts["vm"], facts["source"], facts["target"], facts["mode"]) == ("demo", "lab-es-1", "lab-de-1", "live")
        assert facts["verified"] is True
        assert 0 < facts["downtime_ms"] <= facts["total_ms"]
        assert facts["writes_found"] >= facts["writes_acknowledged"] > 0
        assert f"{facts['downtime_ms']} ms" in (ROOT / "build" / "demo.txt").read_text(encoding="utf-8")
    assert lab.run("lab-de-1", "virsh domstate demo").strip() == "running"
    assert lab.run("lab-es-1", "virsh list --all --name | grep -cx demo || true").strip() == "0", "the source copy was released"


@pytest.mark.parametrize(
    ("playbook", "arguments", "sentence"),
    [
        ("migrate_vm", {}, "give both, as in -e vm=web-1 -e target=lab-de-1"),
        ("migrate_vm", {"vm": "nobody", "target": "lab-de-1"}, "vm=nobody must be a VM of the inventory"),
        ("migrate_vm", {"vm": "x", "source": "lab-es-1", "target": "nowhere"}, "target=nowhere"),
        ("deploy", {"at": "nowhere", "spec": {"name": "x"}}, "at=nowhere must be one of the hypervisors"),
        ("deploy", {"at": "lab-es-1"}, "spec the portable spec of"),
        ("plan_migrations", {"vms": ["web-1"]}, "must be the file to write"),
        ("plan_migrations", {"plan": "x.yml", "vms": ["nobody"]}, "vms: the inventory has no nobody among its vms"),
        (
            "plan_migrations",
            {"plan": "x.yml", "vms": [], "to": "nowhere"},
            "to: the inventory has no nowhere among its hypervisors",
        ),
        ("migrate_plan", {}, "plan: is required but not given"),
        ("migrate_plan", {"plan": "/nonexistent/plan.yml"}, "is no plan: the file is missing or empty"),
        ("evacuate", {"site": "nowhere"}, "site=nowhere must be a site with hypervisors (lab-es, lab-de, lab-es-south)"),
    ],
)
def test_what_is_missing_is_told_in_a_sentence(lab, playbook, arguments, sentence):
    shown = lab.shown(f"playbooks/{playbook}.yml", "-e", json.dumps(arguments))
    assert sentence in " ".join(shown.split())
    assert "lab-es-1 " not in shown.split("PLAY RECAP")[1], "a hypervisor was touched"
