# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pods that reach into claims' volumes: one for each claim and end, which does nothing but sleep."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any, Callable

from ...backends.cluster import ClusterApi, Object, Resource
from ...errors import ConflictError, ExistsError, ForbiddenError, MigrationFailed
from ..store import MIGRATION

PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
CLAIMS = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", namespaced=True)
CONTAINER = "mover"
_PREFIX = "virt8ra-mover-"
_LOOK = 0.2
_READY_SECONDS = 300.0
_GONE_SECONDS = 120.0
# These do not go away by waiting.
_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_IMAGE_SECONDS = 30.0
# Of those that the level "baseline" of PodSecurity allows: what it takes to write files as anybody's.
_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"]


@dataclass(frozen=True)
class Mover:
    """A pod that is ready, with the claim's volume at ``/data``."""

    api: ClusterApi
    namespace: str
    claim: str
    pod: str

    @property
    def place(self) -> str:
        return f"{self.namespace}/{self.claim} at {self.api.name}"


def pod_name(migration: str, claim: str) -> str:
    """The same in every run, so that one that was left behind is found again."""
    return _PREFIX + hashlib.sha256(f"{migration}/{claim}".encode()).hexdigest()[:12]


def manifest(migration: str, namespace: str, claim: str, image: str, *, node: str = "", read_only: bool = False) -> Object:
    """``node``: where it must run, because the volume may be bound to it, whatever taints that node has."""
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "command": ["sleep", "2147483647"],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": _CAPABILITIES}},
                # A quota may ask for them.
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "256Mi"}},
                "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": read_only}],
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
    }
    if node:
        fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
        terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
        spec["tolerations"] = [{"operator": "Exists"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(migration, claim),
            "namespace": namespace,
            # No mesh is needed, and its proxy would not let the pod be ready.
            "labels": {MIGRATION: migration, "sidecar.istio.io/inject": "false"},
            "annotations": {"linkerd.io/inject": "disabled"},
        },
        "spec": spec,
    }


def mounts(pod: Object, claim: str) -> bool:
    volumes = pod["spec"].get("volumes") or ()
    return any((volume.get("persistentVolumeClaim") or {}).get("claimName") == claim for volume in volumes)


def ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    there = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return there and not pod["metadata"].get("deletionTimestamp")


def obstacle(pod: Object) -> str:
    """Why it is not ready, in the cluster's words; empty when it says nothing."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _NO_IMAGE:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for condition in status.get("conditions") or ():
        if condition.get("status") == "False" and condition.get("message"):
            return str(condition["message"])
    return str(status.get("message") or status.get("reason") or "")


class MoverPods:
    """Of one migration at one end; many threads may ask for pods of different claims.

    :param read_only: at the source, where the pod is put beside one that uses the claim
    :param check: called while it waits; raises when this run must not go on
    """

    def __init__(self, api: ClusterApi, migration: str, image: str, check: Callable[[], None], *, read_only: bool) -> None:
        self.api = api
        self.migration = migration
        self.image = image
        self.check = check
        self.read_only = read_only

    def get(self, namespace: str, claim: str) -> Mover:
        """The claim's pod, ready; one that has failed or is going away is made anew."""
        name = pod_name(self.migration, claim)
        deadline = time.monotonic() + _READY_SECONDS
        begun = time.monotonic()
        while True:
            self.check()
            pod = self.api.get(PODS, name, namespace)
            if pod is None:
                self._create(namespace, claim)
            elif ready(pod):
                return Mover(self.api, namespace, claim, name)
            elif (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded") and not pod["metadata"].get("deletionTimestamp"):
                self._delete(pod)
            self._give_up(pod, namespace, claim, begun, deadline)
            time.sleep(_LOOK)

    def _give_up(self, pod: Object | None, namespace: str, claim: str, begun: float, deadline: float) -> None:
        why = obstacle(pod) if pod else ""
        where = f"the mover's pod of claim {namespace}/{claim} at {self.api.name}"
        if why.startswith(_NO_IMAGE) and time.monotonic() > begun + _IMAGE_SECONDS:
            remedy = "let the nodes pull it, or choose an image with a busybox that they have"
            raise MigrationFailed(f"{where} has no image ({why[:200]})", option="mover_image", value=self.image, remedy=remedy)
        if time.monotonic() > deadline:
            told = f" ({why[:200]})" if why else ""
            raise MigrationFailed(f"{where} is not ready after {_READY_SECONDS:g} s{told}", remedy="look at its events")

    def _create(self, namespace: str, claim: str) -> None:
        node = self._node(namespace, claim) if self.read_only else ""
        body = manifest(self.migration, namespace, claim, self.image, node=node, read_only=self.read_only)
        try:
            self.api.create(PODS, body)
        except ExistsError:
            return
        except ForbiddenError as error:
            where = f"namespace {namespace} at {self.api.name}"
            if "PodSecurity" in str(error):
                remedy = "label it pod-security.kubernetes.io/enforce=baseline for the time of the migration"
                raise MigrationFailed(f"{where} does not allow the mover's pod, which runs as root", remedy=remedy) from error
            if "quota" in str(error):
                raise MigrationFailed(f"the quota of {where} has no room for a mover's pod", remedy="raise it") from error
            raise

    def _node(self, namespace: str, claim: str) -> str:
        for pod in self.api.each(PODS, namespace):
            alive = (pod.get("status") or {}).get("phase") in ("Running", "Pending")
            if alive and mounts(pod, claim) and MIGRATION not in (pod["metadata"].get("labels") or {}):
                node = str(pod["spec"].get("nodeName") or "")
                if node:
                    return node
        return ""

    def _delete(self, pod: Object) -> None:
        metadata = pod["metadata"]
        try:
            self.api.delete(PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"], grace_seconds=0)
        except ConflictError:
            return  # another of that name by now

    def tidy(self, namespaces: tuple[str, ...]) -> None:
        """No pod of this migration is left in these namespaces; waits until they are gone."""
        deadline = time.monotonic() + _GONE_SECONDS
        labels = f"{MIGRATION}={self.migration}"
        while True:
            found = [pod for namespace in namespaces for pod in self.api.each(PODS, namespace, labels=labels)]
            left = [pod for pod in found if pod["metadata"]["name"].startswith(_PREFIX)]
            if not left:
                return
            for pod in left:
                if not pod["metadata"].get("deletionTimestamp"):
                    self._delete(pod)
            if time.monotonic() > deadline:
                first = left[0]["metadata"]
                what = f"pod {first['namespace']}/{first['name']} at {self.api.name} does not go away"
                raise MigrationFailed(what, remedy="look at its node, and delete it by hand")
            time.sleep(_LOOK)
