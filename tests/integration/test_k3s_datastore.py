# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A k3s control plane moves to new hosts by its snapshot, for real: taken back when the target fails, then moved, then released."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from .k3s_lab import HOSTS, REAL, K3sLab
from .test_k3s_cluster import TOKEN, VERSION, failures, fine, settings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(REAL), reason="needs faults of the stand-in")]

OLD_SERVER, NEW_SERVER, THIRD, OLD_AGENT, NEW_AGENT = HOSTS
OLD, NEW = "t-k3s-old", "t-k3s-new"
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "pvc-payroll"},
    "spec": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "local": {"path": "/var/lib/rancher/k3s/storage/pvc-payroll"},
        "nodeAffinity": {
            "required": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [OLD_AGENT]}]}
                ]
            }
        },
    },
}
FILE = "/var/lib/rancher/k3s/storage/pvc-payroll/november"


def declare(lab: K3sLab) -> None:
    lab.declare({OLD: {OLD_SERVER: "server", OLD_AGENT: "agent"}, NEW: {NEW_SERVER: "server", NEW_AGENT: "agent"}}, **settings(lab))
    for host, node in ((NEW_SERVER, OLD_SERVER), (NEW_AGENT, OLD_AGENT)):
        folder = lab.inventory / "host_vars"
        folder.mkdir(exist_ok=True)
        (folder / f"{host}.yml").write_text(yaml.safe_dump({"k3s_cluster_node_name": node}), encoding="utf-8")


def move(lab: K3sLab, state: str, **more: Any) -> dict[str, Any]:
    """What the playbook told."""
    given = {
        "source_cluster": OLD,
        "target_cluster": NEW,
        "source_kubeconfig": str(lab.folder / "old.yaml"),
        "target_kubeconfig": str(lab.folder / "new.yaml"),
        "clusters_dir": str(lab.folder / "clusters"),
        "state": state,
        "ready_timeout": 120,
        **more,
    }
    return lab.playbook("playbooks/migrate_cluster_datastore.yml", extra=given)


def kubeconfig(lab: K3sLab, server: str, path: Path) -> None:
    text = lab.run(server, "cat /etc/rancher/k3s/k3s.yaml").replace("127.0.0.1", HOSTS[server])
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def units(lab: K3sLab, host: str) -> str:
    return lab.run(host, "systemctl is-active k3s k3s-agent; systemctl is-enabled k3s k3s-agent 2>/dev/null; true")


@pytest.fixture(scope="module")
def cluster(k3s_lab: K3sLab) -> K3sLab:
    """A server and an agent with a volume, declared beside two hosts that shall take their place."""
    declare(k3s_lab)
    fine(k3s_lab.apply(OLD))
    kubeconfig(k3s_lab, OLD_SERVER, k3s_lab.folder / "old.yaml")
    # The target's API is the same cluster's: the same administrator, at another address.
    moved = (k3s_lab.folder / "old.yaml").read_text(encoding="utf-8").replace(HOSTS[OLD_SERVER], HOSTS[NEW_SERVER])
    (k3s_lab.folder / "new.yaml").write_text(moved, encoding="utf-8")
    (k3s_lab.folder / "new.yaml").chmod(0o600)
    for host in (OLD_AGENT, NEW_AGENT):
        k3s_lab.run(host, "apt-get -qq update && apt-get -qq install --yes --no-install-recommends rsync > /dev/null")
    k3s_lab.run(OLD_AGENT, f"mkdir -p $(dirname {FILE}) && echo paid > {FILE} && chown 1000:1000 {FILE}")
    k3s_lab.request(OLD_SERVER, "POST", "/api/v1/persistentvolumes", VOLUME)
    return k3s_lab


def test_the_plan_is_told_and_nothing_is_done(cluster: K3sLab) -> None:
    told = fine(move(cluster, "planned"))
    assert "here the downtime begins" in json.dumps(told["plays"])
    assert units(cluster, OLD_SERVER).split()[0] == "active"


def test_a_target_that_fails_is_withdrawn_and_the_source_goes_on(cluster: K3sLab) -> None:
    cluster.fault(NEW_SERVER, exit=True)
    told = move(cluster, "completed")
    assert told["rc"] != 0, "the target cannot start"
    assert "active" not in units(cluster, OLD_SERVER).split()[:1]
    fine(move(cluster, "aborted"))
    cluster.fault(NEW_SERVER)
    assert units(cluster, OLD_SERVER).split()[0] == "active"
    # It takes again what is written: nothing has been frozen for good.
    cluster.kubectl(OLD_SERVER, f"label node {OLD_AGENT} after=abort")
    written = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "after-abort"}, "data": {"kept": "yes"}}
    cluster.request(OLD_SERVER, "POST", "/api/v1/namespaces/default/configmaps", written)
    assert cluster.ready(OLD_SERVER) == dict.fromkeys([OLD_SERVER, OLD_AGENT], VERSION)


def test_from_the_snapshot_on_the_source_takes_nothing_more(cluster: K3sLab) -> None:
    """Cut off between the snapshot and the stop: what is written then would be lost, and is refused."""
    told = cluster.playbook(cluster.play(OLD, {"k3s_cluster_state": "backed_up", "k3s_cluster_backup_freeze": True}), extra={})
    fine(told)
    lost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "too-late"}}
    with pytest.raises(AssertionError, match="takes nothing more"):
        cluster.request(OLD_SERVER, "POST", "/api/v1/namespaces/default/configmaps", lost)
    fine(move(cluster, "aborted"))
    cluster.request(OLD_SERVER, "POST", "/api/v1/namespaces/default/configmaps", lost)


def test_it_moves_whole_and_the_source_stays_stopped(cluster: K3sLab) -> None:
    authority = "sha256sum < /var/lib/rancher/k3s/server/tls/server-ca.crt"
    before = cluster.run(OLD_SERVER, authority)
    cluster.run(OLD_AGENT, f"echo more >> {FILE}")
    fine(move(cluster, "completed"))
    assert cluster.run(NEW_SERVER, authority) == before
    assert cluster.ready(NEW_SERVER) == dict.fromkeys([OLD_SERVER, OLD_AGENT], VERSION)
    kept = cluster.request(NEW_SERVER, "GET", "/api/v1/namespaces/default/configmaps/after-abort")
    assert kept["data"] == {"kept": "yes"}
    assert cluster.run(NEW_AGENT, f"cat {FILE}; stat -c %u {FILE}") == "paid\nmore\n1000\n"
    for host in (OLD_SERVER, OLD_AGENT):
        assert set(units(cluster, host).split()) <= {"inactive", "disabled", "failed", "unknown"}
    # The new one is not frozen, and a second run has nothing to do.
    cluster.request(NEW_SERVER, "POST", "/api/v1/namespaces/default/configmaps", {**VOLUME, "kind": "ConfigMap", "spec": None})
    again = fine(move(cluster, "completed"))
    assert sum(stats["changed"] for stats in again["stats"].values()) == 0
    refused = move(cluster, "aborted")
    assert refused["rc"] != 0 and "what was written at the target since would be lost" in " ".join(failures(refused))


def test_the_release_leaves_nothing_at_the_source(cluster: K3sLab) -> None:
    fine(move(cluster, "released"))
    for host in (OLD_SERVER, OLD_AGENT):
        assert cluster.run(host, "ls /var/lib/rancher /etc/rancher /usr/local/bin/k3s 2>/dev/null; true") == ""
    assert cluster.ready(NEW_SERVER) == dict.fromkeys([OLD_SERVER, OLD_AGENT], VERSION)
    assert TOKEN not in cluster.calls(NEW_SERVER)
