# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deployments make ReplicaSets, ReplicaSets and DaemonSets make pods."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ..resources import now
from ..selectors import chosen
from ..store import Event, copied
from .hub import (
    DAEMONSETS,
    DEPLOYMENTS,
    NODES,
    PODS,
    REPLICASETS,
    Controller,
    Object,
    Storage,
    condition,
    is_active,
    is_ready,
    owner_of,
)

_REVISION = "deployment.kubernetes.io/revision"


def hashed(template: Any) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def pod_of(template: Object, metadata: Object) -> Object:
    """A pod of a template; ``metadata`` is put over the template's."""
    given = template.get("metadata") or {}
    labels = {**(given.get("labels") or {}), **metadata.pop("labels", {})}
    made = {"labels": labels, **metadata}
    if given.get("annotations"):
        made["annotations"] = given["annotations"]
    return {"metadata": made, "spec": copied(template["spec"])}


class ReplicaSets(Controller):
    storages = (REPLICASETS, PODS)

    def sync(self, namespace: str, name: str) -> float | None:
        hub = self.hub
        owner = hub.get(REPLICASETS, namespace, name)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return None
        self._adopt(namespace, owner)
        pods = [pod for pod in hub.children(PODS, owner) if is_active(pod)]
        wanted = owner["spec"]["replicas"]
        for _each in range(wanted - len(pods)):
            metadata = {"generateName": f"{name}-", "ownerReferences": [owner_of(hub.kind(REPLICASETS), owner)]}
            pods.append(hub.create(PODS, pod_of(owner["spec"]["template"], metadata), namespace))
        pods.sort(key=lambda pod: (is_ready(pod), pod["metadata"]["creationTimestamp"]))
        for pod in pods[: max(0, len(pods) - wanted)]:
            hub.delete(PODS, namespace, pod["metadata"]["name"])
        pods = [pod for pod in hub.children(PODS, owner) if is_active(pod)]
        ready = sum(is_ready(pod) for pod in pods) or None
        owner = hub.get(REPLICASETS, namespace, name)
        if owner:
            counts = {"readyReplicas": ready, "availableReplicas": ready, "fullyLabeledReplicas": len(pods) or None}
            hub.status(REPLICASETS, owner, replicas=len(pods), observedGeneration=owner["metadata"]["generation"], **counts)
        return None

    def _adopt(self, namespace: str, owner: Object) -> None:
        """Pods that fit and are nobody's."""
        for pod in tuple(self.hub.store.objects(PODS, namespace)):
            metadata = pod["metadata"]
            nobodys = not any(each.get("controller") for each in metadata.get("ownerReferences") or [])
            if nobodys and is_active(pod) and chosen(owner["spec"]["selector"], metadata.get("labels")):
                references = [*(metadata.get("ownerReferences") or []), owner_of(self.hub.kind(REPLICASETS), owner)]
                self.hub.replace(PODS, {**pod, "metadata": {**metadata, "ownerReferences": references}})


class Deployments(Controller):
    storages = (DEPLOYMENTS, REPLICASETS)

    def sync(self, namespace: str, name: str) -> float | None:
        hub = self.hub
        owner = hub.get(DEPLOYMENTS, namespace, name)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return None
        spec = owner["spec"]
        sets = hub.children(REPLICASETS, owner)
        mark = hashed(spec["template"])
        current = next((each for each in sets if each["metadata"]["labels"].get("pod-template-hash") == mark), None)
        old = [each for each in sets if each is not current]
        revision = max([int((each["metadata"].get("annotations") or {}).get(_REVISION, 0)) for each in old], default=0) + 1
        if current is None and not spec.get("paused"):
            current = hub.create(REPLICASETS, self._set(owner, mark, revision), namespace)
        if current is not None:
            self._roll(namespace, spec, current, old)
        annotations = owner["metadata"].get("annotations") or {}
        if current is not None and annotations.get(_REVISION) != str(revision):
            metadata = {**owner["metadata"], "annotations": {**annotations, _REVISION: str(revision)}}
            owner = hub.replace(DEPLOYMENTS, {**owner, "metadata": metadata})
        self._tell(namespace, owner, mark)
        return None

    def _set(self, owner: Object, mark: str, revision: int) -> Object:
        spec, name = owner["spec"], owner["metadata"]["name"]
        template = copied(spec["template"])
        template["metadata"]["labels"] = {**(template["metadata"].get("labels") or {}), "pod-template-hash": mark}
        selector = copied(spec["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), "pod-template-hash": mark}
        metadata = {
            "name": f"{name}-{mark}",
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {_REVISION: str(revision), "deployment.kubernetes.io/desired-replicas": str(spec["replicas"])},
            "ownerReferences": [owner_of(self.hub.kind(DEPLOYMENTS), owner)],
        }
        replicas = 0 if spec["strategy"]["type"] == "Recreate" else spec["replicas"]
        return {"metadata": metadata, "spec": {"replicas": replicas, "selector": selector, "template": template}}

    def _roll(self, namespace: str, spec: Object, current: Object, old: list[Object]) -> None:
        """Recreate: the old ones are gone first. RollingUpdate: the new ones are ready first."""
        wanted = spec["replicas"]
        recreate = spec["strategy"]["type"] == "Recreate"
        left = any(self.hub.children(PODS, each) for each in old)
        if not (recreate and left):
            self._scale(current, wanted)
        if recreate or (current.get("status") or {}).get("readyReplicas", 0) >= wanted:
            for each in old:
                self._scale(each, 0)

    def _scale(self, replica_set: Object, wanted: int) -> None:
        if replica_set["spec"]["replicas"] != wanted:
            self.hub.replace(REPLICASETS, {**replica_set, "spec": {**replica_set["spec"], "replicas": wanted}})

    def _tell(self, namespace: str, owner: Object, mark: str) -> None:
        sets = self.hub.children(REPLICASETS, owner)

        def total(field: str, of: list[Object]) -> int:
            return sum((each.get("status") or {}).get(field, 0) for each in of)

        updated = [each for each in sets if each["metadata"]["labels"].get("pod-template-hash") == mark]
        ready, wanted = total("readyReplicas", sets), owner["spec"]["replicas"]
        before = (owner.get("status") or {}).get("conditions") or []
        done = total("readyReplicas", updated) >= wanted
        told = [
            condition(
                "Available",
                ready >= wanted,
                "MinimumReplicasAvailable" if ready >= wanted else "MinimumReplicasUnavailable",
                "",
                now(),
                before,
            ),
            condition("Progressing", True, "NewReplicaSetAvailable" if done else "ReplicaSetUpdated", "", now(), before),
        ]
        self.hub.status(
            DEPLOYMENTS,
            owner,
            observedGeneration=owner["metadata"]["generation"],
            replicas=total("replicas", sets) or None,
            updatedReplicas=total("replicas", updated) or None,
            readyReplicas=ready or None,
            availableReplicas=ready or None,
            unavailableReplicas=max(0, wanted - ready) or None,
            conditions=told,
        )


class DaemonSets(Controller):
    """One pod on each node that its node selector takes."""

    storages = (DAEMONSETS, PODS, NODES)

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        if storage == NODES:
            return [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in self.hub.store.objects(DAEMONSETS)]
        return super().keys(storage, event)

    def sync(self, namespace: str, name: str) -> float | None:
        hub = self.hub
        owner = hub.get(DAEMONSETS, namespace, name)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return None
        template = owner["spec"]["template"]
        selector = template["spec"].get("nodeSelector") or {}
        wanted = [
            node["metadata"]["name"]
            for node in hub.store.objects(NODES)
            if all((node["metadata"].get("labels") or {}).get(key) == value for key, value in selector.items())
        ]
        mark = hashed(template)
        by_node = {pod["spec"].get("nodeName"): pod for pod in hub.children(PODS, owner) if is_active(pod)}
        for node, pod in by_node.items():
            if node not in wanted or pod["metadata"]["labels"].get("controller-revision-hash") != mark:
                hub.delete(PODS, namespace, pod["metadata"]["name"])
        for node in wanted:
            if node not in by_node:
                metadata = {"generateName": f"{name}-", "labels": {"controller-revision-hash": mark, "pod-template-generation": "1"},
                            "ownerReferences": [owner_of(hub.kind(DAEMONSETS), owner)]}  # fmt: skip
                pod = pod_of(template, metadata)
                pod["spec"]["nodeName"] = node
                hub.create(PODS, pod, namespace)
        pods = [pod for pod in hub.children(PODS, owner) if is_active(pod)]
        ready = sum(is_ready(pod) for pod in pods)
        hub.status(
            DAEMONSETS,
            hub.get(DAEMONSETS, namespace, name) or owner,
            observedGeneration=owner["metadata"]["generation"],
            currentNumberScheduled=len(pods),
            desiredNumberScheduled=len(wanted),
            numberMisscheduled=0,
            numberReady=ready,
            numberAvailable=ready or None,
            updatedNumberScheduled=len(pods) or None,
        )
        return None
