# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""StatefulSets: pods of fixed names, each with claims of its own, one after the other."""

from __future__ import annotations

from ..store import copied
from .hub import CLAIMS, PODS, STATEFULSETS, Controller, Object, is_active, is_ready, owner_of
from .replicas import hashed, pod_of

REVISIONS = ("apps", "controllerrevisions")


class StatefulSets(Controller):
    storages = (STATEFULSETS, PODS)

    def sync(self, namespace: str, name: str) -> float | None:
        hub = self.hub
        owner = hub.get(STATEFULSETS, namespace, name)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return None
        mark = f"{name}-{hashed(owner['spec']['template'])}"
        self._revision(namespace, owner, mark)
        self._move(namespace, owner, mark)
        owner = hub.get(STATEFULSETS, namespace, name) or owner
        pods = hub.children(PODS, owner)
        ready = sum(is_ready(pod) and is_active(pod) for pod in pods)
        updated = sum(pod["metadata"]["labels"].get("controller-revision-hash") == mark for pod in pods)
        done = updated == len(pods)
        current = mark if done else (owner.get("status") or {}).get("currentRevision", mark)
        hub.status(
            STATEFULSETS,
            owner,
            observedGeneration=owner["metadata"]["generation"],
            replicas=len(pods),
            readyReplicas=ready or None,
            currentReplicas=len(pods) or None,
            updatedReplicas=updated or None,
            availableReplicas=ready,
            currentRevision=current,
            updateRevision=mark,
            collisionCount=0,
        )
        return None

    def _revision(self, namespace: str, owner: Object, mark: str) -> None:
        if self.hub.get(REVISIONS, namespace, mark) is None:
            known = len(self.hub.children(REVISIONS, owner))
            metadata = {
                "name": mark,
                "labels": dict(owner["spec"]["template"]["metadata"].get("labels") or {}),
                "ownerReferences": [owner_of(self.hub.kind(STATEFULSETS), owner)],
            }
            data = {"spec": {"template": owner["spec"]["template"]}}
            self.hub.create(REVISIONS, {"metadata": metadata, "data": data, "revision": known + 1}, namespace)

    def _move(self, namespace: str, owner: Object, mark: str) -> None:
        """One step: what is too much goes from the top, what is missing comes from the bottom."""
        hub, spec, name = self.hub, owner["spec"], owner["metadata"]["name"]
        first = (spec.get("ordinals") or {}).get("start", 0)
        wanted = [f"{name}-{first + number}" for number in range(spec["replicas"])]
        pods = {pod["metadata"]["name"]: pod for pod in hub.children(PODS, owner)}
        ordered = spec["podManagementPolicy"] == "OrderedReady"
        for each in wanted:
            pod = pods.get(each)
            if pod is None:
                self._make(namespace, owner, each, mark)
                if ordered:
                    return
            elif pod["metadata"].get("deletionTimestamp"):
                if ordered:
                    return
            elif pod["status"].get("phase") in ("Failed", "Succeeded"):
                hub.delete(PODS, namespace, each)
                return
            elif ordered and not is_ready(pod):
                return
        above = sorted((each for each in pods if each not in wanted), key=lambda each: int(each.rsplit("-", 1)[1]), reverse=True)
        for each in above[:1] if ordered else above:
            if not pods[each]["metadata"].get("deletionTimestamp"):
                hub.delete(PODS, namespace, each)
        if above or spec["updateStrategy"]["type"] != "RollingUpdate":
            return
        partition = (spec["updateStrategy"].get("rollingUpdate") or {}).get("partition", 0)
        for number in range(len(wanted) - 1, partition - 1, -1):
            pod = pods.get(wanted[number])
            if pod and pod["metadata"]["labels"].get("controller-revision-hash") != mark:
                hub.delete(PODS, namespace, wanted[number])
                return

    def _make(self, namespace: str, owner: Object, pod_name: str, mark: str) -> None:
        hub, spec = self.hub, owner["spec"]
        labels = {
            "controller-revision-hash": mark,
            "statefulset.kubernetes.io/pod-name": pod_name,
            "apps.kubernetes.io/pod-index": pod_name.rsplit("-", 1)[1],
        }
        pod = pod_of(
            spec["template"], {"name": pod_name, "labels": labels, "ownerReferences": [owner_of(hub.kind(STATEFULSETS), owner)]}
        )
        pod["spec"].update({"hostname": pod_name, **({"subdomain": spec["serviceName"]} if spec.get("serviceName") else {})})
        volumes = pod["spec"].setdefault("volumes", [])
        for template in spec.get("volumeClaimTemplates") or []:
            volume = template["metadata"]["name"]
            claim = f"{volume}-{pod_name}"
            if hub.get(CLAIMS, namespace, claim) is None:
                wanted = (spec["selector"].get("matchLabels")) or {}
                metadata = {"name": claim, "labels": {**(template["metadata"].get("labels") or {}), **wanted}}
                if template["metadata"].get("annotations"):
                    metadata["annotations"] = template["metadata"]["annotations"]
                hub.create(CLAIMS, {"metadata": metadata, "spec": copied(template["spec"])}, namespace)
            volumes[:] = [each for each in volumes if each["name"] != volume]
            volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": claim}})
        hub.create(PODS, pod, namespace)
