# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sample application moves from one cluster to another as a whole: on doubles, or on real Kubernetes with real pods.

Nothing in here knows which of them it is, but for what ``pair.doubles()`` skips.
"""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from tests.applications import sample
from tests.applications.volume import Entry, change_volume_data, differences, write_volume_data
from tests.integration.clusters import Pair

SOURCE, TARGET = 0, 1
VOLUMES = (("database-0", "/data"), ("database-1", "/journal"))


@pytest.fixture
def shop(pair: Pair) -> Pair:
    """The sample runs at the source, with data in two of its volumes."""
    sample.install(pair.source.kubectl, pair.namespace)
    sample.settle(pair.source.kubectl, pair.namespace)
    for pod, path in VOLUMES:
        pair.source.fill(pair.namespace, pod, path, write_volume_data)
    return pair


def running(pair: Pair, end: int) -> set[str]:
    """Workloads with a pod that runs and mounts a claim: what must never be at both ends."""
    pods = pair.ends[end].kubectl.each("pods", pair.namespace)
    return {
        pod["metadata"]["labels"]["app"]
        for pod in pods
        if pod["status"]["phase"] in ("Pending", "Running")
        and "app" in pod["metadata"].get("labels", {})
        and any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes", []))
    }


def without_starts(entries: dict[str, Entry]) -> dict[str, Entry]:
    """The database notes each of its starts: that file is no loss. Times are kept to the second: a busybox cannot set more."""
    return {name: replace(entry, time_ns=entry.time_ns // 10**9 * 10**9) for name, entry in entries.items() if name != "starts"}


def test_the_plan_touches_nothing(shop: Pair):
    before = shop.source.objects(shop.namespace)
    result = shop.migrate("completed", check=True)
    assert not result.get("failed"), result.get("msg")
    assert not result["plan"]["blockers"]
    assert result["plan"]["objects"]["StatefulSet"] == 1
    assert {volume["claim"] for volume in result["plan"]["volumes"]} >= {"data-database-0", "journal-database-1", "uploads"}
    assert shop.source.objects(shop.namespace) == before
    assert shop.target.kubectl.get("namespace", shop.namespace) is None
    assert running(shop, SOURCE) == {"web", "database"}


def test_all_of_it_moves(shop: Pair):
    wanted = {volume: without_starts(shop.source.contents(shop.namespace, *volume)) for volume in VOLUMES}
    before = shop.source.objects(shop.namespace)
    result = shop.migrate("completed")
    assert not result.get("failed"), result.get("msg")
    assert result["migration"]["phase"] == "completed"

    sample.settle(shop.target.kubectl, shop.namespace, moved=True)
    assert running(shop, SOURCE) == set()
    assert running(shop, TARGET) == {"web", "database"}
    for volume, entries in wanted.items():
        assert differences(entries, without_starts(shop.target.contents(shop.namespace, *volume))) == []
    after = shop.target.objects(shop.namespace)
    # The token of a ServiceAccount is the cluster's own; all else has come.
    assert {key for key in before if key[0] not in ("Job",) and key != ("Secret", "robot-token")} <= set(after)
    _compare_contents(before, after)
    _compare_chains(shop)

    again = shop.migrate("completed")
    assert not again.get("failed"), again.get("msg")
    assert not again["changed"]

    released = shop.migrate("released")
    assert not released.get("failed"), released.get("msg")
    assert shop.source.kubectl.get("namespace", shop.namespace) is None
    assert running(shop, TARGET) == {"web", "database"}


def _compare_contents(before: dict, after: dict) -> None:
    for kind, field in (("ConfigMap", "data"), ("ConfigMap", "binaryData"), ("Secret", "data"), ("Secret", "type")):
        for key, item in before.items():
            if key[0] == kind and key not in (("Secret", "robot-token"), ("ConfigMap", "kube-root-ca.crt")):
                assert after[key].get(field) == item.get(field), key
    big = after["ConfigMap", "catalogue"]
    assert len(base64.b64decode(big["binaryData"]["stamp.bin"])) == 2**17
    assert after["Deployment", "web"]["spec"]["replicas"] == 2
    assert after["Deployment", "retired"]["spec"]["replicas"] == 0
    assert not after["CronJob", "report"]["spec"].get("suspend")
    assert after["CronJob", "cleaning"]["spec"]["suspend"]
    assert after["Service", "web-port"]["spec"]["ports"][0]["nodePort"] == 30980
    assert after["Service", "database"]["spec"]["clusterIP"] == "None"
    assert after["ConfigMap", "guarded"]["metadata"]["finalizers"] == ["shop.example.org/guard"]
    assert after["Order", "first"]["spec"] == before["Order", "first"]["spec"]


def _compare_chains(shop: Pair) -> None:
    """Every owner is one that the target has: else its garbage collector would take what it owns."""
    kubectl = shop.target.kubectl
    region = kubectl.get("regions.shop.example.org", f"{shop.namespace}-rioja")
    uids = {item["metadata"]["uid"] for item in kubectl.each("orders.shop.example.org,configmaps,secrets", shop.namespace)}
    assert region is not None
    uids.add(region["metadata"]["uid"])
    owned = [item for item in kubectl.each("configmaps,secrets", shop.namespace) if item["metadata"].get("ownerReferences")]
    assert {item["metadata"]["name"] for item in owned} == {"first-plan", "first-receipt", "first-copy", "rioja-taxes"}
    assert all(owner["uid"] in uids for item in owned for owner in item["metadata"]["ownerReferences"])


def test_what_changes_after_the_seed_comes_along(shop: Pair):
    result = shop.migrate("synced")
    assert not result.get("failed"), result.get("msg")
    assert running(shop, SOURCE) == {"web", "database"}
    assert running(shop, TARGET) == set()
    pod, path = VOLUMES[0]
    shop.source.fill(shop.namespace, pod, path, change_volume_data)
    wanted = without_starts(shop.source.contents(shop.namespace, pod, path))
    result = shop.migrate("completed")
    assert not result.get("failed"), result.get("msg")
    sample.settle(shop.target.kubectl, shop.namespace, moved=True)
    assert differences(wanted, without_starts(shop.target.contents(shop.namespace, pod, path))) == []


def test_aborted_leaves_the_source_as_it_was(shop: Pair):
    before = shop.source.objects(shop.namespace)
    data = {volume: without_starts(shop.source.contents(shop.namespace, *volume)) for volume in VOLUMES}
    assert not shop.migrate("synced").get("failed")
    result = shop.migrate("aborted")
    assert not result.get("failed"), result.get("msg")
    sample.settle(shop.source.kubectl, shop.namespace)
    assert shop.source.objects(shop.namespace) == before
    assert {volume: without_starts(shop.source.contents(shop.namespace, *volume)) for volume in VOLUMES} == data
    assert shop.target.kubectl.get("namespace", shop.namespace) is None


def test_a_target_without_a_sign_of_life_gives_all_back(shop: Pair):
    """No sign of life comes: the cutover fails, and the application runs on at the source."""
    before = shop.source.objects(shop.namespace)
    result = shop.migrate("completed", life_probes=[{"host": "127.0.0.1", "port": 1, "timeout": 3}])
    assert result.get("failed")
    sample.settle(shop.source.kubectl, shop.namespace)
    assert running(shop, SOURCE) == {"web", "database"}
    assert running(shop, TARGET) == set()
    assert not shop.migrate("aborted").get("failed")
    assert shop.source.objects(shop.namespace) == before


def test_somebody_elses_object_at_the_target_is_left_alone(shop: Pair):
    theirs = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": shop.namespace}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "pages", "namespace": shop.namespace},
            "data": {"a": "theirs"},
        },
    ]
    for item in theirs:
        shop.target.kubectl.create([item])
    result = shop.migrate("completed")
    assert result.get("failed")
    assert "pages" in result["msg"]
    assert (shop.target.kubectl.get("configmap", "pages", shop.namespace) or {})["data"] == {"a": "theirs"}
    assert running(shop, SOURCE) == {"web", "database"}


def test_the_same_cluster_twice_is_refused(pair: Pair):
    result = pair.migrate("completed", target_kubeconfig=str(pair.source.kubeconfig), target_context=pair.source.context)
    assert result.get("failed")
    assert "same cluster" in result["msg"]


def test_a_namespace_that_does_not_exist_is_refused(pair: Pair):
    result = pair.migrate("completed", namespaces=["t-nowhere"])
    assert result.get("failed")
    assert "t-nowhere" in result["msg"]
