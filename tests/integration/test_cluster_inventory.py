# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of clusters, and cluster_info, against API servers over TLS; hypervisors are libvirt's own test driver."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("kubernetes")

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import ClusterAccess, ClusterApi, Resource
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.connection import open_cluster

from tests.doubles.kubernetes.client import Cluster

from .lab import ROOT, command, environment

HOSTILE = "{{ lookup('pipe','id') }}"
NODES = Resource("", "v1", "Node", "nodes", namespaced=False)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.start(tmp_path_factory.mktemp("cluster"), name="edge", controllers=False, nodes=0) as cluster:
        api = open_cluster(ClusterAccess(str(cluster.kubeconfig)))
        add_node(api, "edge-1", "192.0.2.21", role="control-plane")
        add_node(api, "edge-9", "192.0.2.29")
        add_node(api, "kvm1", "-oProxyCommand=id")
        api.close()
        yield cluster


def add_node(api: ClusterApi, name: str, address: str, *, role: str = "") -> None:
    labels = {f"node-role.kubernetes.io/{role}": "true"} if role else {}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels, "annotations": {"x": HOSTILE}}}
    made = api.create(NODES, body)
    made["status"] = {
        "capacity": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "50Gi", "pods": "110"},
        "allocatable": {"cpu": "3500m", "memory": "7Gi", "ephemeral-storage": "45Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": address}],
        "nodeInfo": {"kubeletVersion": "v1.36.1+k3s1", "osImage": HOSTILE, "architecture": "amd64"},
    }
    api.replace(NODES, made, subresource="status")


class Bench:
    """A folder with a federation file, and Ansible's commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "t.sites.yml"

    def write(self, *sites: dict[str, Any], **settings: Any) -> None:
        shared = {"provider": "P", "country": "ES"}
        document = {"plugin": "virt8ra.federation.sites", "federation": "t", **settings}
        document["sites"] = [{**shared, **site} for site in sites]
        self.file.write_text(yaml.safe_dump(document), encoding="utf-8")

    def run(self, *arguments: str, name: str = "ansible-inventory", **more: str) -> subprocess.CompletedProcess[str]:
        env = environment(COLUMNS="10000", ANSIBLE_HOME=str(self.folder / "home"), **more)
        argv = [command(name), "-i", str(self.file), *arguments]
        return subprocess.run(argv, cwd=ROOT, env=env, text=True, capture_output=True, timeout=120, check=False)

    def listed(self, **more: str) -> dict[str, Any]:
        ran = self.run("--list", **more)
        assert ran.returncode == 0, ran.stderr
        return dict(
            json.loads(ran.stdout, object_hook=lambda item: item["__ansible_unsafe"] if set(item) == {"__ansible_unsafe"} else item)
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def hypervisor(folder: Path, name: str, vm: str = "web") -> dict[str, str]:
    described = folder / f"{name}.xml"
    domain = (
        f"<domain type='test'><name>{vm}</name><memory unit='KiB'>65536</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>"
    )
    described.write_text(f"<node>{domain}</node>", encoding="utf-8")
    return {"name": name, "address": f"{name}.example", "uri": f"test://{described}"}


def site(name: str, cluster: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "clusters": [cluster], **more}


def test_nodes_are_read_with_the_vms(bench: Bench, cluster: Cluster) -> None:
    (bench.folder / "k").mkdir()
    shutil.copy(cluster.kubeconfig, bench.folder / "k" / "edge")
    nodes = [{"name": "edge-1", "address": "198.51.100.1", "role": "agent"}, {"name": "edge-2", "address": "198.51.100.2"}]
    edge = {"name": "edge", "kubeconfig": "k/edge", "context": "edge", "nodes": nodes}
    bench.write(site("s", edge, hypervisors=[hypervisor(bench.folder, "kvm1")]))
    listed = bench.listed()
    hostvars = listed["_meta"]["hostvars"]
    assert set(listed["nodes"]["hosts"]) == set(listed["cluster_edge"]["hosts"]) == {"edge-1", "edge-2", "edge-9", "kvm1.edge"}
    assert set(listed["site_s"]["hosts"]) == {"kvm1", "web", "edge-1", "edge-2", "edge-9", "kvm1.edge"}
    declared = hostvars["edge-1"]
    assert declared["ansible_host"] == "198.51.100.1" and declared["federation_reachable"] is True
    assert declared["federation_node"]["role"] == "agent" and declared["federation_node"]["roles"] == ["control-plane"]
    assert declared["federation_node"]["ready"] is True and declared["federation_node"]["version"] == "v1.36.1+k3s1"
    assert declared["federation_node"]["capacity"] == {"cpus": 4, "memory": 2**33, "storage": 50 * 2**30, "pods": 110}
    assert declared["federation_node"]["allocatable"]["cpus"] == 3.5
    assert "ready" not in hostvars["edge-2"]["federation_node"]
    assert hostvars["edge-9"]["ansible_host"] == "192.0.2.29"
    assert hostvars["edge-9"]["federation_cluster"]["kubeconfig"] == str(bench.folder / "k" / "edge")
    # An address that is none is not connected to, and a node does not take a hypervisor's place.
    assert "ansible_host" not in hostvars["kvm1.edge"] and hostvars["kvm1"]["federation_kind"] == "hypervisor"


def test_what_a_cluster_says_is_never_templated_and_no_secret_is_shown(bench: Bench, cluster: Cluster) -> None:
    bench.write(site("s", {"name": "edge", "kubeconfig": str(cluster.kubeconfig)}, backend="kubernetes"))
    ran = bench.run("--list")
    hostvars = json.loads(ran.stdout)["_meta"]["hostvars"]
    assert hostvars["edge-9"]["federation_node"]["os_image"] == {"__ansible_unsafe": HOSTILE}
    play = [
        {"hosts": "nodes", "gather_facts": False, "connection": "local", "tasks": [{"debug": {"var": "federation_node.os_image"}}]}
    ]
    (bench.folder / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    played = bench.run(str(bench.folder / "play.yml"), name="ansible-playbook")
    assert played.returncode == 0 and "{{ lookup(" in played.stdout and "uid=" not in played.stdout
    user = json.loads(cluster.kubeconfig.read_text())["users"][0]["user"]
    for secret in user.values():
        assert secret not in ran.stdout + ran.stderr + played.stdout


@pytest.mark.parametrize("where", ["file", "environment"])
def test_kubeconfigs_are_looked_for_in_a_folder(bench: Bench, cluster: Cluster, where: str) -> None:
    folder = bench.folder / "clusters"
    folder.mkdir()
    shutil.copy(cluster.kubeconfig, folder / "edge.kubeconfig")
    settings = {"kubeconfig_path": "clusters"} if where == "file" else {}
    bench.write(site("s", {"name": "edge"}), site("t", {"name": "bare", "nodes": [{"name": "bare-1"}]}), **settings)
    listed = bench.listed(**({} if settings else {"VIRT8RA_KUBECONFIG_PATH": str(folder)}))
    assert set(listed["cluster_edge"]["hosts"]) == {"edge-1", "edge-9", "kvm1"}
    assert listed["cluster_bare"]["hosts"] == ["bare-1"] and "unreachable_sites" not in listed


def test_a_cluster_that_does_not_answer_is_a_warning(bench: Bench, cluster: Cluster) -> None:
    document = json.loads(cluster.kubeconfig.read_text())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{silent.getsockname()[1]}"
        (bench.folder / "silent").write_text(json.dumps(document))
        dead = {"name": "dead", "kubeconfig": "silent", "nodes": [{"name": "dead-1"}]}
        none = {"name": "none", "kubeconfig": "nowhere", "nodes": [{"name": "none-1"}]}
        alive = site("s", {"name": "edge", "kubeconfig": str(cluster.kubeconfig)}, hypervisors=[hypervisor(bench.folder, "h1")])
        alive["clusters"].append(none)
        bench.write(alive, site("d", dead), site_timeout=3)
        began = time.monotonic()
        ran = bench.run("--list")
        took = time.monotonic() - began
        listed = bench.listed()
        assert bench.run("--list", VIRT8RA_DISCOVER="false").stderr == ""
        bench.write(alive, site("d", dead), site_timeout=3, strict_sites=True)
        strict = bench.run("--list")
    assert ran.returncode == 0 and took < 30
    assert "Site d: cluster dead could not be read: " in ran.stderr
    assert f"Site s: cluster none could not be read: kubeconfig='{bench.folder}/nowhere': is not a file" in ran.stderr
    assert listed["unreachable_sites"] == {"children": ["site_d"], "hosts": ["none-1"]}
    assert listed["_meta"]["hostvars"]["dead-1"]["federation_reachable"] is False
    assert "web" in listed["vms"]["hosts"] and "edge-9" in listed["nodes"]["hosts"]
    assert "Site d: cluster dead could not be read" in strict.stderr and "edge-9" not in strict.stdout


def test_what_was_read_is_cached(bench: Bench, cluster: Cluster) -> None:
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(bench.folder / "cache")}
    bench.write(site("s", {"name": "edge", "kubeconfig": str(cluster.kubeconfig)}), **cache)
    first = bench.listed()
    before = cluster.requests()["list nodes"]
    assert bench.listed() == first
    assert cluster.requests()["list nodes"] == before
    bench.write(site("s", {"name": "edge", "kubeconfig": str(cluster.kubeconfig), "endpoint": "https://new.example"}), **cache)
    bench.listed()
    assert cluster.requests()["list nodes"] == before + 1


def test_nobody_asks_for_what_is_not_wanted(bench: Bench, cluster: Cluster) -> None:
    edge = {"name": "edge", "kubeconfig": str(cluster.kubeconfig), "nodes": [{"name": "edge-1"}]}
    bench.write(site("s", edge), filters={"exclude": [{"kind": "node"}]})
    before = cluster.requests()["list nodes"]
    assert "nodes" not in bench.listed()
    bench.write(site("s", edge), discover=False)
    assert bench.listed()["nodes"]["hosts"] == ["edge-1"]
    assert cluster.requests()["list nodes"] == before


def test_cluster_info(bench: Bench, cluster: Cluster) -> None:
    bench.write({"name": "s"})
    kubeconfig = {"VIRT8RA_KUBECONFIG": str(cluster.kubeconfig)}
    ran = bench.run(
        *("localhost", "-m", "virt8ra.federation.cluster_info"), name="ansible", ANSIBLE_CALLBACK_RESULT_FORMAT="json", **kubeconfig
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert '"distribution": "other"' in ran.stdout and '"v1.36.1+k3s1"' in ran.stdout and '"changed": false' in ran.stdout
    more = ["-a", "context=other patience=1"]
    wrong = bench.run("localhost", "-m", "virt8ra.federation.cluster_info", *more, name="ansible", **kubeconfig)
    assert wrong.returncode != 0
    assert f"context='other': is not a context of {cluster.kubeconfig}; use one of: edge" in wrong.stdout + wrong.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="the folder of the module must not be writable by others")
def test_cluster_info_names_the_right_that_is_missing(bench: Bench, cluster: Cluster) -> None:
    bench.write({"name": "s"})
    cluster.fault({"forbid": {"user": "restricted", "verb": "list", "resource": "nodes"}})
    try:
        more = ["-a", f"kubeconfig={cluster.restricted}"]
        ran = bench.run("localhost", "-m", "virt8ra.federation.cluster_info", *more, name="ansible")
    finally:
        cluster.fault({})
    assert ran.returncode != 0 and "this user may not list nodes" in ran.stdout + ran.stderr
