# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Claims get volumes: those that fit, or new ones of their storage class; what becomes of a volume when its claim goes."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..admission import quantity
from ..containers import claims
from ..store import Event
from .hub import CLAIMS, NODES, PODS, VOLUMES, Controller, Hub, Object, Storage

CLASSES = ("storage.k8s.io", "storageclasses")
_CLAIM_HELD, _VOLUME_HELD = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"


class Claims(Controller):
    """Keys are claims; a volume's have no namespace."""

    storages = (CLAIMS, VOLUMES, PODS)

    def __init__(self, hub: Hub, folder: Path) -> None:
        super().__init__(hub)
        self._folder = folder

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        obj = event.new.obj
        metadata = obj["metadata"]
        if storage == PODS:
            return [(metadata["namespace"], claim) for claim, _writes in claims(obj)]
        if storage == CLAIMS:
            volume = (obj.get("spec") or {}).get("volumeName")
            return [(metadata["namespace"], metadata["name"]), *([("", volume)] if volume else [])]
        reference = (obj.get("spec") or {}).get("claimRef") or {}
        return [("", metadata["name"]), *([(reference["namespace"], reference["name"])] if reference else self._waiting())]

    def _waiting(self) -> list[tuple[str, str]]:
        found = (each for each in self.hub.store.objects(CLAIMS) if not each["spec"].get("volumeName"))
        return [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found]

    def sync(self, namespace: str, name: str) -> float | None:
        if not namespace:
            return self._volume(name)
        claim = self.hub.get(CLAIMS, namespace, name)
        if claim is None:
            return None
        users = self._users(namespace, name)
        if claim["metadata"].get("deletionTimestamp"):
            if not users:
                self._let_go(CLAIMS, claim, _CLAIM_HELD)
            return None
        if claim["status"].get("phase") != "Bound":
            self._bind(claim, users)
        return None

    def _users(self, namespace: str, name: str) -> list[Object]:
        return [
            pod
            for pod in self.hub.store.objects(PODS, namespace)
            if pod["status"].get("phase") not in ("Succeeded", "Failed") and any(claim == name for claim, _writes in claims(pod))
        ]

    def _let_go(self, storage: Storage, obj: Object, finalizer: str) -> None:
        finalizers = obj["metadata"].get("finalizers") or []
        if finalizer in finalizers:
            kept = [each for each in finalizers if each != finalizer]
            self.hub.replace(storage, {**obj, "metadata": {**obj["metadata"], "finalizers": kept}})

    def _bind(self, claim: Object, users: list[Object]) -> None:
        hub, spec, metadata = self.hub, claim["spec"], claim["metadata"]
        found = hub.get(CLASSES, "", spec.get("storageClassName") or "")
        waits = bool(found) and found["volumeBindingMode"] == "WaitForFirstConsumer"
        volume = self._fitting(claim)
        if volume is None and not spec.get("volumeName"):
            if found is None or "no-provisioner" in found["provisioner"] or (waits and not users):
                return
            volume = hub.create(VOLUMES, self._provisioned(claim, found))
        if volume is None:
            return
        reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": metadata["namespace"], "name": metadata["name"],
                     "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}  # fmt: skip
        if (volume["spec"].get("claimRef") or {}).get("uid") != metadata["uid"]:
            volume = hub.replace(VOLUMES, {**volume, "spec": {**volume["spec"], "claimRef": reference}})
        hub.status(VOLUMES, volume, phase="Bound")
        (self._folder / volume["metadata"]["name"]).mkdir(parents=True, exist_ok=True)
        annotations = {**(metadata.get("annotations") or {}), "pv.kubernetes.io/bind-completed": "yes"}
        if not spec.get("volumeName"):
            annotations["pv.kubernetes.io/bound-by-controller"] = "yes"
        if found and not spec.get("volumeName"):
            annotations["volume.kubernetes.io/storage-provisioner"] = found["provisioner"]
            annotations["volume.beta.kubernetes.io/storage-provisioner"] = found["provisioner"]
            if waits:
                annotations["volume.kubernetes.io/selected-node"] = self._node()
        bound = {**claim, "metadata": {**metadata, "annotations": annotations}}
        bound["spec"] = {**spec, "volumeName": volume["metadata"]["name"]}
        claim = hub.replace(CLAIMS, bound)
        capacity = {"storage": volume["spec"]["capacity"]["storage"]}
        hub.status(CLAIMS, claim, phase="Bound", accessModes=volume["spec"]["accessModes"], capacity=capacity)

    def _node(self) -> str:
        return next((str(node["metadata"]["name"]) for node in self.hub.store.objects(NODES)), "")

    def _fitting(self, claim: Object) -> Object | None:
        """The volume that the claim names, or that names the claim, or a free one of its class that is large enough."""
        spec, metadata = claim["spec"], claim["metadata"]
        if spec.get("volumeName"):
            volume = self.hub.get(VOLUMES, "", spec["volumeName"])
            reference = (volume or {}).get("spec", {}).get("claimRef") or {}
            mine = not reference or (reference.get("namespace"), reference.get("name")) == (metadata["namespace"], metadata["name"])
            return volume if mine and reference.get("uid") in (None, "", metadata["uid"]) else None
        size = quantity(spec["resources"]["requests"]["storage"])
        fitting = []
        for volume in self.hub.store.objects(VOLUMES):
            has, reference = volume["spec"], volume["spec"].get("claimRef") or {}
            reserved = (reference.get("namespace"), reference.get("name")) == (metadata["namespace"], metadata["name"])
            if reserved and reference.get("uid") in (None, "", metadata["uid"]):
                return volume
            same = (has.get("storageClassName") or "") == (spec.get("storageClassName") or "")
            modes = set(spec["accessModes"]) <= set(has.get("accessModes") or [])
            room = quantity(has["capacity"]["storage"])
            if not reference and same and modes and room >= size and volume["status"].get("phase") == "Available":
                fitting.append((room, volume))
        return min(fitting, key=lambda each: each[0])[1] if fitting else None

    def _provisioned(self, claim: Object, found: Object) -> Object:
        name = f"pvc-{claim['metadata']['uid']}"
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [self._node()]}]}]
        return {
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": found["provisioner"]}},
            "spec": {
                "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
                "accessModes": claim["spec"]["accessModes"],
                "persistentVolumeReclaimPolicy": found["reclaimPolicy"],
                "storageClassName": found["metadata"]["name"],
                "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
                "hostPath": {"path": str(self._folder / name), "type": "DirectoryOrCreate"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            },
        }

    def _volume(self, name: str) -> float | None:
        volume = self.hub.get(VOLUMES, "", name)
        if volume is None:
            return None
        spec, status = volume["spec"], volume.get("status") or {}
        reference = spec.get("claimRef") or {}
        claim = self.hub.get(CLAIMS, reference.get("namespace", ""), reference.get("name", "")) if reference else None
        bound = bool(claim) and reference.get("uid") in (None, "", claim["metadata"]["uid"])
        if reference.get("uid") and not bound:
            self.hub.status(VOLUMES, volume, phase="Released")
            if spec["persistentVolumeReclaimPolicy"] == "Delete":
                if "pv.kubernetes.io/provisioned-by" in (volume["metadata"].get("annotations") or {}):
                    shutil.rmtree(self._folder / name, ignore_errors=True)
                self.hub.delete(VOLUMES, "", name)
                volume = self.hub.get(VOLUMES, "", name) or volume
        elif not reference and status.get("phase") != "Available":
            self.hub.status(VOLUMES, volume, phase="Available")
        if volume["metadata"].get("deletionTimestamp") and not bound:
            self._let_go(VOLUMES, volume, _VOLUME_HELD)
        return None
