# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put to rest and woken again, every kind is what it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import resting
from memory_cluster import MemoryCluster

SERVICE = {"service": {"namespace": "shop", "name": "hook"}}
HOOKS = [
    {"name": "ours.example.org", "clientConfig": SERVICE, "failurePolicy": "Fail"},
    {"name": "theirs.example.org", "clientConfig": {"url": "https://example.org"}, "failurePolicy": "Fail"},
]


def made(api_version: str, kind: str, spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"name": "one", **({} if kind.endswith("WebhookConfiguration") else {"namespace": "shop"})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **({} if spec is None else {"spec": spec}), **more}


THINGS = [
    made("apps/v1", "Deployment", {"replicas": 3}),
    made("apps/v1", "Deployment", {"replicas": 0}),
    made(
        "apps/v1",
        "StatefulSet",
        {"replicas": 2, "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Retain"}},
    ),
    made("apps/v1", "StatefulSet", {"replicas": 2, "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Retain"}}),
    made("apps/v1", "ReplicaSet", {"replicas": 1}),
    made("v1", "ReplicationController", {"replicas": 1}),
    made("apps/v1", "DaemonSet", {"template": {"spec": {"containers": []}}}),
    made("apps/v1", "DaemonSet", {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}),
    made("batch/v1", "CronJob", {"suspend": False}),
    made("batch/v1", "CronJob", {"suspend": True}),
    made("batch/v1", "Job", {"suspend": False}),
    made("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", webhooks=HOOKS),
]


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing["kind"])
def test_there_and_back(thing: dict[str, Any]) -> None:
    cluster = MemoryCluster("es")
    resource = resting.RESTED[thing["kind"]]
    cluster.objects[thing["kind"], thing["metadata"].get("namespace", ""), "one"] = before = copy.deepcopy(thing)
    before["metadata"].update(uid="u", resourceVersion="0")
    memory = resting.remembered(before, {"shop"})
    assert memory is not None
    for make in (lambda item: resting.rest_patch(item, memory, "id"), lambda item: resting.wake_patch(item, memory)):
        item = cluster.get(resource, "one", thing["metadata"].get("namespace", ""))
        assert item is not None
        patch = make(item)
        if patch is not None:
            cluster.patch(resource, "one", thing["metadata"].get("namespace", ""), patch[1], kind=patch[0])
        item = cluster.get(resource, "one", thing["metadata"].get("namespace", ""))
        assert item is not None
        # A second time, there is nothing to do.
        assert make(item) is None
    for part in ("spec", "webhooks"):
        assert item.get(part) == thing.get(part)


@pytest.mark.parametrize("thing", [one for one in THINGS if "webhooks" not in one], ids=lambda thing: thing["kind"])
def test_what_sleeps_at_the_target_wakes_as_it_was(thing: dict[str, Any]) -> None:
    memory = resting.remembered(thing, {"shop"})
    assert memory is not None
    asleep = resting.asleep(copy.deepcopy(thing), "id")
    assert resting.rests(asleep, memory)
    assert resting.awake(asleep, memory) == thing


def test_claims_outlive_a_set_that_would_delete_them() -> None:
    memory = resting.remembered(THINGS[2], {"shop"})
    assert memory is not None
    patch = resting.rest_patch(THINGS[2], memory, "id")
    assert patch == ("merge", {"spec": {"replicas": 0, "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Retain"}}})


def owned(thing: dict[str, Any], kind: str) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": kind, "name": "boss", "controller": True, "uid": "u"}
    return {**thing, "metadata": {**thing["metadata"], "ownerReferences": [owner]}}


def test_what_follows_its_owner_is_not_remembered() -> None:
    assert resting.remembered(owned(THINGS[4], "Deployment"), {"shop"}) is None
    assert resting.remembered(owned(THINGS[4], "Rollout"), {"shop"}) == {"replicas": 1, "ready": 0, "owner": "Rollout"}
    assert resting.remembered(owned(made("v1", "Pod", {}), "Job"), {"shop"}) is None
    assert resting.remembered(made("v1", "Pod", {}), {"shop"}) == {"bare": True, "ready": 0, "owner": ""}
    assert resting.remembered(made("v1", "Pod", {}, status={"phase": "Succeeded"}), {"shop"}) is None
    assert resting.remembered(made("v1", "ConfigMap"), {"shop"}) is None


def test_a_finished_job_is_not_run_again() -> None:
    job = made("batch/v1", "Job", {"suspend": False}, status={"conditions": [{"type": "Complete", "status": "True"}]})
    assert resting.remembered(job, {"shop"}) is None
    assert resting.asleep(job, "id")["spec"]["suspend"] is True


def test_webhooks_of_others_are_let_alone() -> None:
    assert resting.remembered(THINGS[-1], {"shop"}) == {"failurePolicy": {"ours.example.org": "Fail"}}
    assert resting.remembered(THINGS[-1], {"other"}) is None


@pytest.mark.parametrize(
    ("item", "memory", "ready"),
    [
        (made("apps/v1", "Deployment", {"replicas": 3}, status={"readyReplicas": 2}), None, False),
        (made("apps/v1", "Deployment", {"replicas": 3}, status={"readyReplicas": 2}), {"ready": 2}, True),
        (made("apps/v1", "Deployment", {"replicas": 3}), {"ready": 0}, True),
        (made("apps/v1", "DaemonSet", {}, status={"desiredNumberScheduled": 2, "numberReady": 1}), {"ready": 1}, False),
        (made("apps/v1", "DaemonSet", {}, status={"desiredNumberScheduled": 2, "numberReady": 2}), {"ready": 1}, True),
        (made("apps/v1", "DaemonSet", {}, status={}), {"ready": 1}, False),
        (made("v1", "Pod", {}, status={"conditions": [{"type": "Ready", "status": "True"}]}), None, True),
        (made("batch/v1", "Job", {}), None, True),
    ],
)
def test_ready(item: dict[str, Any], memory: dict[str, Any] | None, ready: bool) -> None:
    assert resting.is_ready(item, memory) is ready


def test_what_the_controller_has_not_seen_yet_is_not_ready() -> None:
    item = made("apps/v1", "Deployment", {"replicas": 1}, status={"readyReplicas": 1, "observedGeneration": 1})
    item["metadata"]["generation"] = 2
    assert not resting.is_ready(item)


def test_keys_are_read_as_they_are_written() -> None:
    for thing in THINGS:
        key = resting.key_of(thing)
        assert resting.parts_of(key) == (thing["apiVersion"], thing["kind"], thing["metadata"].get("namespace", ""), "one")
    assert resting.shown("apps/v1/Deployment/shop/web") == "Deployment shop/web"
    assert resting.shown("v1/Namespace//shop") == "Namespace shop"
