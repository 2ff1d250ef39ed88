# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many VMs by one plan: written, edited, run wave after wave, gone on with, and a site emptied; each migration with its report."""

from __future__ import annotations

import json

import pytest
import yaml

from .guest import SOURCE, TARGET, Guest
from .lab import Lab

NAMES = ("t-plan-1", "t-plan-2")


@pytest.fixture(scope="class")
def guests(lab: Lab):
    made = [Guest(lab, name) for name in NAMES]
    try:
        for guest in made:
            guest.remove()
            guest.deploy()
        yield made
    finally:
        for guest in made:
            guest.remove()


@pytest.fixture(scope="class")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("plan")


def told(result, name):
    """The message of the playbook's task of that name."""
    shown = [task for play in result["plays"] for task in play["tasks"] if task["task"]["name"] == name]
    return shown[-1]["hosts"]["localhost"]["msg"]


def moved(result):
    return {
        host: entry["hosts"][host].get("changed")
        for play in result["plays"]
        for entry in play["tasks"]
        for host in entry["hosts"]
        if entry["task"]["name"].startswith("Migrate the VM") and " to " in host
    }


class TestPlan:
    """In this order: each test goes on where the one before ended."""

    def test_a_plan_is_written_once_and_keeps_the_caps(self, lab, guests, folder):
        extra = {"vms": list(NAMES), "to": TARGET, "plan": str(folder / "plan.yml"), "per_link": 1}
        result = lab.playbook("playbooks/plan_migrations.yml", extra=extra)
        assert result["rc"] == 0, result
        plan = yaml.safe_load((folder / "plan.yml").read_text("utf-8"))
        moves = [wave["moves"] for wave in plan["waves"]]
        assert sorted(move["vm"] for wave in moves for move in wave) == list(NAMES) and len(moves) == 2
        for wave in moves:
            assert wave[0]["mode"] in ("live", "warm", "cold") and wave[0]["estimate"]["bytes"] > 0 and wave[0]["reason"]
        before = (folder / "plan.yml").read_bytes()
        again = lab.playbook("playbooks/plan_migrations.yml", extra={**extra, "per_link": 2})
        assert "stays as it is" in told(again, "Show the plan")[0] and (folder / "plan.yml").read_bytes() == before

    def test_nonsense_in_it_is_refused_before_anything_is_touched(self, lab, guests, folder):
        text = (folder / "plan.yml").read_text("utf-8").replace(f"target: {TARGET}", "target: lab-xx-1", 1)
        (folder / "nonsense.yml").write_text(text, "utf-8")
        result = lab.playbook("playbooks/migrate_plan.yml", extra={"plan": str(folder / "nonsense.yml")})
        read = next(task for play in result["plays"] for task in play["tasks"] if task["task"]["name"] == "Read it")
        assert "target='lab-xx-1': is no hypervisor of the federation" in read["hosts"]["localhost"]["msg"]
        assert result["rc"] != 0 and not moved(result)
        assert [guest.state(SOURCE) for guest in guests] == ["running", "running"]

    def test_a_move_that_cannot_be_stops_the_next_wave_when_that_is_asked_for(self, lab, guests, folder):
        plan = yaml.safe_load((folder / "plan.yml").read_text("utf-8"))
        plan["waves"][0]["moves"][0]["networks"] = {"public": "nowhere"}
        (folder / "blocked.yml").write_text(yaml.safe_dump(plan), "utf-8")
        extra = {"plan": str(folder / "blocked.yml"), "on_failure": "stop", "report_dir": str(folder / "reports")}
        result = lab.playbook("playbooks/migrate_plan.yml", extra=extra)
        lines = told(result, "Tell what was done")
        assert result["rc"] != 0 and "nowhere" in lines[0] and "not tried" in lines[1], lines
        assert [guest.state(SOURCE) for guest in guests] == ["running", "running"]

    def test_it_is_run_as_it_was_edited(self, lab, guests, folder):
        plan = yaml.safe_load((folder / "plan.yml").read_text("utf-8"))
        plan["limits"]["per_link"] = 2
        plan["waves"] = [{"moves": [{**wave["moves"][0], "mode": mode} for wave, mode in zip(plan["waves"], ("warm", "live"))]}]
        (folder / "plan.yml").write_text(yaml.safe_dump(plan), "utf-8")
        extra = {"plan": str(folder / "plan.yml"), "report_dir": str(folder / "reports")}
        result = lab.playbook("playbooks/migrate_plan.yml", extra=extra)
        assert result["rc"] == 0, told(result, "Tell what was done")
        assert list(moved(result).values()) == [True, True]
        for guest in guests:
            assert (guest.state(SOURCE), guest.state(TARGET)) == ("shut off", "running")
            assert guest.verdict(TARGET)["lost"] == 0
        again = lab.playbook("playbooks/migrate_plan.yml", extra=extra)
        assert again["rc"] == 0 and list(moved(again).values()) == [False, False]

    def test_each_has_its_report(self, folder):
        reports = [json.loads(path.read_text("utf-8")) for path in sorted((folder / "reports").glob("*.json"))]
        assert sorted((report["vm"], report["phase"]) for report in reports) == [(name, "completed") for name in NAMES]
        assert sorted(report["mode"] for report in reports) == ["live", "warm"]
        for report in reports:
            page = (folder / "reports" / f"{report['vm']}-{report['id'][:8]}.html").read_text("utf-8")
            assert f"{report['vm']} is at {TARGET}, after" in page and "<svg" in page and "checked" in page
            assert all(event["ended"] is not None for event in report["events"]), report["events"]

    def test_a_site_is_emptied(self, lab, guests, folder):
        released = lab.playbook("playbooks/migrate_plan.yml", extra={"plan": str(folder / "plan.yml"), "state": "released"})
        assert released["rc"] == 0, told(released, "Tell what was done")
        # Only this test's own VMs, whatever else the lab has.
        extra = {
            "site": "lab-de",
            "to": [SOURCE],
            "vms": list(NAMES),
            "plan": str(folder / "evacuate.yml"),
            "report_dir": str(folder / "reports"),
        }
        shown = lab.playbook("playbooks/evacuate.yml", extra=extra, check=True)
        assert shown["rc"] == 0 and not (folder / "evacuate.yml").exists()
        assert [guest.state(TARGET) for guest in guests] == ["running", "running"]
        result = lab.playbook("playbooks/evacuate.yml", extra=extra)
        assert result["rc"] == 0, told(result, "Tell what was done")
        assert [guest.state(SOURCE) for guest in guests] == ["running", "running"]
        for guest in guests:
            assert guest.verdict(SOURCE)["lost"] == 0
