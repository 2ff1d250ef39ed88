# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes of a cluster have their turns in the order of the plan, whichever of them is slow to answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from .lab import ROOT, TIMEOUT, command, environment

NODES = ("one", "two", "three")


@pytest.mark.parametrize("slow", NODES)
def test_turns_are_in_the_order_of_the_plan(tmp_path: Path, slow: str) -> None:
    turn = [{"name": "note", "ansible.builtin.shell": f"echo {{{{ inventory_hostname }}}} >> {tmp_path}/turns"}]
    (tmp_path / "turn.yml").write_text(yaml.safe_dump(turn), encoding="utf-8")
    role = {"name": "virt8ra.federation.k3s_cluster", "tasks_from": "turns"}
    late = "{{ lookup('ansible.builtin.pipe', 'sleep ' ~ (1 if inventory_hostname == '" + slow + "' else 0)) }}"
    play = {
        "name": "take turns",
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "late": late,
            "__k3s_cluster_turn": str(tmp_path / "turn.yml"),
            "__k3s_cluster_plan": {"batches": "{{ [[late ~ 'one'], ['two'], ['three']] }}"},
        },
        "tasks": [{"name": "turns", "ansible.builtin.include_role": role}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    argv = [command("ansible-playbook"), "-i", f"{','.join(NODES)},", str(tmp_path / "play.yml")]
    done = subprocess.run(argv, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "turns").read_text(encoding="utf-8").split() == list(NODES)
