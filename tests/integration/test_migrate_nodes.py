# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of ``migrate_cluster`` with ``method=nodes``, on a double of the API server.

The moves of the VMs themselves are vm_migration's, which has tests of its own; here one that only notes what it was asked for, and
can be told to fail, stands in for it. The nodes' words (Leases) come from a thread of the test.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.applications.sample import Kubectl
from tests.doubles.kubernetes.client import Cluster

from .lab import ROOT, TIMEOUT, command, environment

NODES = ("node-1", "node-2", "node-3", "node-4")
SERVERS = NODES[:3]
CORDONED = "federation.virt8ra.eu/cordoned"
# In place of playbooks/tasks/migrate.yml: what was asked for, how the nodes were then, and where the VM is from now on.
STAND_IN = """
- name: Read the nodes
  kubernetes.core.k8s_info: {kubeconfig: "{{ nodes_kubeconfig }}", kind: Node}
  register: seen
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
- name: Note it
  ansible.builtin.lineinfile:
    path: "{{ noted }}"
    create: true
    mode: "0600"
    line: "{{ {'move': move, 'cordoned': cordoned} | to_json }}"
  vars:
    cordoned: "{{ seen.resources | selectattr('spec.unschedulable', 'defined') | selectattr('spec.unschedulable') | map(attribute='metadata.name') }}"
  check_mode: false
- name: Fail
  ansible.builtin.fail: {msg: told to fail}
  when: move.vm == failing | default('') and move.state not in ['planned', 'aborted']
- name: Give a plan
  ansible.builtin.set_fact:
    migration: {plan: {blockers: "{{ [{'message': 'no room'}] if move.vm == blocked | default('') else [] }}"}}
"""


class Words(threading.Thread):
    """The nodes' Leases, renewed every second, as kubelets do."""

    def __init__(self, kubectl: Kubectl) -> None:
        super().__init__(daemon=True)
        self._kubectl = kubectl
        self._over = threading.Event()
        self.silent: set[str] = set()
        for name in NODES:
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            kubectl.create(
                [{**lease, "metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {"holderIdentity": name}}]
            )

    def run(self) -> None:
        while not self._over.wait(1):
            for name in set(NODES) - self.silent:
                now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
                body = json.dumps({"spec": {"renewTime": now}})
                self._kubectl.run("-n", "kube-node-lease", "patch", "lease", name, "--type=merge", "-p", body, check=False)

    def end(self) -> None:
        self._over.set()
        self.join()


class Site:
    """A cluster of four nodes at kvm1, and a copy of the playbooks with the stand-in."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder = folder
        self.cluster = cluster
        self.kubectl = Kubectl(cluster.kubeconfig)
        self.noted = folder / "noted"
        shutil.copytree(ROOT / "playbooks", folder / "playbooks")
        (folder / "playbooks" / "tasks" / "migrate.yml").write_text(STAND_IN, encoding="utf-8")
        for name in SERVERS:
            self.kubectl.run("label", "node", name, "node-role.kubernetes.io/control-plane=true", "--overwrite")
            self.kubectl.run("label", "node", name, "node-role.kubernetes.io/etcd=true")
        self.kubectl.run("label", "node", NODES[3], "node-role.kubernetes.io/control-plane-", check=False)
        self.place(dict.fromkeys(NODES, "kvm1"))

    def place(self, at: dict[str, str], migrations: dict[str, dict[str, str]] | None = None) -> None:
        """Where the inventory shows the VMs."""
        vms = {
            f"{name}.site": {
                "federation_name": name,
                "federation_hypervisor_name": where,
                "federation_migration": (migrations or {}).get(name),
            }
            for name, where in at.items()
        }
        hypervisors = {name: {"ansible_connection": "local"} for name in ("kvm1", "kvm2", "kvm3")}
        inventory = {"all": {"children": {"vms": {"hosts": vms}, "hypervisors": {"hosts": hypervisors}}}}
        (self.folder / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")

    def run(self, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        given = {"method": "nodes", "source_kubeconfig": str(self.cluster.kubeconfig), "noted": str(self.noted), **variables}
        argv = [command("ansible-playbook"), "-i", str(self.folder / "inventory.yml")]
        argv += [str(self.folder / "playbooks" / "migrate_cluster.yml"), "-e", json.dumps(given), *arguments]
        self.noted.unlink(missing_ok=True)
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

    def moves(self, state: str) -> list[tuple[str, list[str]]]:
        """VMs in the order in which they were moved to that state, each with the nodes that were cordoned then."""
        lines = self.noted.read_text(encoding="utf-8").splitlines() if self.noted.exists() else []
        read = [json.loads(line) for line in lines]
        return [(entry["move"]["vm"], entry["cordoned"]) for entry in read if entry["move"]["state"] == state]

    def cordoned(self) -> list[str]:
        return [node["metadata"]["name"] for node in self.kubectl.each("nodes") if node["spec"].get("unschedulable")]

    def marked(self) -> list[str]:
        nodes = self.kubectl.each("nodes")
        return [node["metadata"]["name"] for node in nodes if CORDONED in node["metadata"].get("annotations", {})]


@pytest.fixture
def site(tmp_path):
    with Cluster.start(tmp_path / "cluster", name="edge", nodes=4) as cluster:
        made = Site(tmp_path, cluster)
        words = Words(made.kubectl)
        words.start()
        made.words = words
        yield made
        words.end()


def test_they_move_one_by_one_agents_first(site):
    done = site.run(to="kvm2,kvm3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.moves("planned") == [(name, []) for name in ("node-4", "node-1", "node-2", "node-3")]
    assert site.moves("completed") == [(name, [name]) for name in ("node-4", "node-1", "node-2", "node-3")]
    assert site.cordoned() == site.marked() == []


def test_check_mode_touches_nothing_and_tells_the_order(site):
    done = site.run("--check", to="kvm2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "node-4 (agent): VM node-4 from kvm1 to kvm2" in done.stdout
    assert site.moves("completed") == []
    assert site.cordoned() == []


def test_a_blocker_of_the_last_one_keeps_all_where_they_are(site):
    done = site.run(to="kvm2", blocked="node-3")
    assert done.returncode != 0
    assert "VM node-3 of node node-3 may not go to kvm2: no room" in done.stdout
    assert site.moves("completed") == []
    assert site.cordoned() == []


def test_the_first_failure_stops_it_and_a_second_run_goes_on(site):
    done = site.run(to="kvm2", failing="node-1")
    assert done.returncode != 0
    assert [vm for vm, _cordoned in site.moves("completed")] == ["node-4", "node-1"]
    assert site.cordoned() == site.marked() == ["node-1"]

    site.place({"node-4": "kvm2", "node-1": "kvm1", "node-2": "kvm1", "node-3": "kvm1"})
    done = site.run(to="kvm2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [vm for vm, _cordoned in site.moves("completed")] == ["node-1", "node-2", "node-3"]
    assert site.cordoned() == site.marked() == []


def test_one_that_arrived_before_the_run_died_is_only_uncordoned(site):
    """And the cordon of somebody else stays."""
    site.kubectl.run("annotate", "node", "node-2", f"{CORDONED}=kvm2")
    for name in ("node-2", "node-4"):
        site.kubectl.run("cordon", name)
    site.place(dict.fromkeys(NODES, "kvm2"))
    done = site.run(to="kvm2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.moves("completed") == []
    assert site.cordoned() == ["node-4"]
    assert site.marked() == []


def test_a_node_that_is_not_heard_of_again_stops_it(site):
    site.words.silent.add("node-4")
    done = site.run(to="kvm2", ready_timeout=10)
    assert done.returncode != 0
    assert [vm for vm, _cordoned in site.moves("completed")] == ["node-4"]
    assert site.marked() == ["node-4"], "so that nothing is scheduled there, and a second run begins with it"


def test_abort_takes_back_what_is_under_way(site):
    site.kubectl.run("annotate", "node", "node-1", f"{CORDONED}=kvm2")
    site.kubectl.run("cordon", "node-1")
    under_way = {"source": "kvm1", "target": "kvm2", "phase": "switching"}
    site.place({**dict.fromkeys(NODES, "kvm1"), "node-4": "kvm2"}, {"node-1": under_way})
    done = site.run(to="kvm2", state="aborted")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [vm for vm, _cordoned in site.moves("aborted")] == ["node-1"]
    assert site.moves("completed") == []
    assert site.cordoned() == site.marked() == []


def test_a_name_that_is_no_hypervisor_is_refused(site):
    done = site.run(to="kvm9")
    assert done.returncode != 0
    assert "is no hypervisor of the inventory" in done.stdout
    assert site.cordoned() == []


def test_the_state_of_a_move_wins_over_that_of_the_command_line():
    """``-e state=completed`` is above all variables of a task: a plan that took it would move the VM."""
    (migrate,) = [
        task["virt8ra.federation.vm_migration"]
        for task in yaml.safe_load((ROOT / "playbooks" / "tasks" / "migrate.yml").read_text(encoding="utf-8"))
        if "virt8ra.federation.vm_migration" in task
    ]
    assert migrate["state"].startswith("{{ move.get('state', ")
