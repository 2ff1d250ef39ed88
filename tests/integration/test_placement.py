# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""deploy finds a place, keeps to it, and breaks rules only with a reason that stays with the VM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .guest import Guest
from .lab import Lab

HOST, OTHER = "lab-de-1", "lab-es-1"
PLAYBOOK = "playbooks/deploy.yml"


@pytest.fixture
def guest(lab: Lab):
    """A name, of which nothing is left afterwards."""
    made = Guest(lab, "t-place")
    made.remove()
    yield made
    made.remove()


def arguments(tmp_path: Path, **more: Any) -> list[str]:
    spec = {
        "name": "t-place",
        "cpus": 1,
        "memory": "64MiB",
        "placement": {"forbidden_countries": ["ES"], "weights": {"pack": 1}},
    }
    path = tmp_path / "t-place.json"
    path.write_text(json.dumps({"spec": spec, "state": "present", **more}), encoding="utf-8")
    return ["-e", f"@{path}"]


def specs(lab: Lab, host: str) -> list[dict[str, Any]]:
    result = lab.module(host, "virt8ra.federation.vm_info", {"name": "t-place", "site": "{{ federation_site }}"})
    return [status["vm"] for status in result["vms"]]


@pytest.mark.usefixtures("guest")
def test_a_vm_is_made_where_its_rules_allow_it_and_stays(lab, tmp_path):
    shown = lab.shown(PLAYBOOK, "--check", *arguments(tmp_path))
    assert f"t-place: 1. {HOST}" in shown
    assert "may not run in ES, where site lab-es is" in shown
    assert not specs(lab, HOST), "a check makes nothing"
    assert "failed=0" in lab.shown(PLAYBOOK, *arguments(tmp_path))
    assert specs(lab, HOST)[0]["placement"]["forbidden_countries"] == ["ES"]
    assert not specs(lab, OTHER)
    again = lab.playbook(PLAYBOOK, extra=json.loads((tmp_path / "t-place.json").read_text(encoding="utf-8")))
    assert again["stats"][HOST]["changed"] == 0


@pytest.mark.usefixtures("guest")
def test_rules_are_broken_only_with_a_reason_which_stays(lab, tmp_path):
    refused = lab.shown(PLAYBOOK, *arguments(tmp_path, at=OTHER))
    assert "may not run in ES" in refused
    assert not specs(lab, OTHER)
    given = arguments(tmp_path, at=OTHER, override_reason="until spring")
    assert "BROKEN, because until spring" in lab.shown(PLAYBOOK, *given)
    assert specs(lab, OTHER)[0]["placement"]["override"] == {"hypervisor": OTHER, "reason": "until spring"}
