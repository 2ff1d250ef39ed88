# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of ``migrate_cluster_datastore``: which hosts take which step, and which do not.

What looks at the hosts and what works on them is replaced: the one tells what the test wants, the others note who took them. The
decisions themselves, wherever a run dies, are in the unit tests of ``cluster_migration.datastore``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.doubles.kubernetes.client import Cluster

from .lab import ROOT, TIMEOUT, command, environment

VERSION = "v1.36.0+k3s1"
OLD = {f"old{n}": {"end": "source", "role": "server", "node": f"s{n}"} for n in (1, 2, 3)}
OLD["old-agent"] = {"end": "source", "role": "agent", "node": "a1"}
NEW = {f"new{n}": {"end": "target", "role": "server", "node": f"s{n}"} for n in (1, 2, 3)}
NEW["new-agent"] = {"end": "target", "role": "agent", "node": "a1"}
STEPS = ("withdraw", "unfence", "return", "volumes", "note", "snapshot", "fence", "restore", "join", "settle", "release", "mark")
LOOK = """
- name: Look
  ansible.builtin.set_fact:
    datastore_service: k3s
    datastore_host: "{{ {'name': inventory_hostname} | combine(shown) }}"
"""
STEP = """
- name: Note it
  ansible.builtin.shell: echo STEP {{ inventory_hostname }} >> {{ noted }}
  delegate_to: localhost
  throttle: 1
- name: Fail
  ansible.builtin.fail: {msg: told to fail}
  when: failing | default('') == 'STEP'
"""


class Site:
    """The playbook's copy, and an inventory of eight hosts that show what they are told."""

    def __init__(self, folder, kubeconfig) -> None:
        self.folder = folder
        self.kubeconfig = kubeconfig
        self.noted = folder / "noted"
        tasks = folder / "playbooks" / "tasks"
        shutil.copytree(ROOT / "playbooks", folder / "playbooks")
        (tasks / "datastore_look.yml").write_text(LOOK, encoding="utf-8")
        for step in STEPS:
            (tasks / f"datastore_{step}.yml").write_text(STEP.replace("STEP", step), encoding="utf-8")
        self.show({})

    def show(self, changes: dict[str, dict[str, Any]]) -> None:
        runs = {"active": True, "enabled": True, "version": VERSION}
        groups: dict[str, dict[str, Any]] = {}
        for group, hosts in (("cluster_edge", OLD), ("cluster_edge_de", NEW)):
            shown = {}
            for name, host in hosts.items():
                own = {**host, **(runs if host["end"] == "source" else {})}
                own |= {"data": True, "datastore": "etcd"} if name in OLD and host["role"] == "server" else {}
                shown[name] = {"ansible_connection": "local", "ansible_become": False, "shown": {**own, **changes.get(name, {})}}
            groups[group] = {"hosts": shown}
        inventory = {"all": {"children": {**groups, "clusters": {"children": {name: {} for name in groups}}}}}
        (self.folder / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")

    def run(self, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        self.noted.unlink(missing_ok=True)
        given = {
            "source_cluster": "edge",
            "target_cluster": "edge-de",
            "source_kubeconfig": str(self.kubeconfig),
            "target_kubeconfig": str(self.kubeconfig),
            "noted": str(self.noted),
            **variables,
        }
        argv = [command("ansible-playbook"), "-i", str(self.folder / "inventory.yml"), *arguments, "-e", json.dumps(given)]
        argv.append(str(self.folder / "playbooks" / "migrate_cluster_datastore.yml"))
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=environment(),
            text=True,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def taken(self) -> list[tuple[str, set[str]]]:
        """The steps in their order, each with the hosts that took it."""
        found: list[tuple[str, set[str]]] = []
        for line in self.noted.read_text(encoding="utf-8").splitlines() if self.noted.exists() else []:
            step, host = line.split()
            if found and found[-1][0] == step:
                found[-1][1].add(host)
            else:
                found.append((step, {host}))
        return found


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory):
    with Cluster.start(tmp_path_factory.mktemp("edge"), name="edge") as cluster:
        yield cluster.kubeconfig


@pytest.fixture
def site(tmp_path, kubeconfig):
    return Site(tmp_path, kubeconfig)


SOURCE, TARGET = set(OLD), set(NEW)
SERVERS = {"new1", "new2", "new3"}
FENCED = {"active": False, "enabled": False, "mark": "fenced"}


def test_all_steps_by_the_right_hosts(site):
    done = site.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.taken() == [
        ("volumes", TARGET),
        ("note", {"localhost"}),
        ("snapshot", {"old1"}),
        ("fence", SOURCE),
        ("snapshot", {"old1"}),
        ("volumes", TARGET),
        ("restore", SERVERS),
        ("join", {"new-agent"}),
        ("settle", {"localhost"}),
        ("mark", TARGET),
    ]


def test_check_mode_only_tells(site):
    done = site.run("--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stop and disable k3s at the source: here the downtime begins" in done.stdout
    assert site.taken() == []
    done = site.run(state="planned")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.taken() == []


def test_a_blocker_stops_it_before_anything(site):
    site.show({"new2": {"data": True}})
    done = site.run()
    assert done.returncode != 0
    assert "new2 has k3s and a datastore of its own" in done.stdout
    assert site.taken() == []


def test_nothing_is_restored_when_the_source_cannot_be_stopped(site):
    done = site.run(failing="fence")
    assert done.returncode != 0
    assert [step for step, _hosts in site.taken()] == ["volumes", "note", "snapshot", "fence"]


def test_the_source_is_not_started_while_the_target_cannot_be_stopped(site):
    site.show({**dict.fromkeys(OLD, FENCED), "new1": {"mark": "restoring", "active": True}})
    done = site.run(state="aborted", failing="withdraw")
    assert done.returncode != 0
    assert [step for step, _hosts in site.taken()] == ["withdraw"]


def test_abort(site):
    site.show({**dict.fromkeys(OLD, FENCED), "new1": {"mark": "restoring", "active": True}})
    done = site.run(state="aborted")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.taken() == [("withdraw", TARGET), ("unfence", SOURCE), ("return", {"localhost"})]


def test_two_control_planes_are_refused(site):
    site.show({"new1": {"mark": "restored", "active": True}})
    done = site.run()
    assert done.returncode != 0
    assert "servers of both ends run" in done.stdout
    assert site.taken() == []


def test_names_that_are_no_clusters_are_refused(site):
    done = site.run(target_cluster="nowhere")
    assert done.returncode != 0
    assert "must be two clusters of the inventory" in done.stdout
