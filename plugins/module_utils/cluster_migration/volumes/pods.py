# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pods that reach into claims' volumes: one for each claim and end, which does nothing but sleep."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

from ...backends.cluster import ClusterApi, Object, Resource
from ...errors import BackendError, ConflictError, ExistsError, MigrationFailed
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
# Of those that the level "baseline" of PodSecurity allows: what it takes to read anybody's files, which is more than DAC_READ_SEARCH
# would be but is allowed, while the volume is mounted to be read only; and to write files as anybody's.
_TO_READ = ["DAC_OVERRIDE"]
_TO_WRITE = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"]
# A pod whose migration nobody goes on with leaves the volume by itself; one that is needed for longer is made anew.
_LIFE_SECONDS = 24 * 3600


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
    capabilities = _TO_READ if read_only else _TO_WRITE
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": _LIFE_SECONDS,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "command": ["sleep", "2147483647"],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": [*capabilities]}},
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
        """The claim's pod, ready; one that has failed or is going away is made anew.

        :raises MigrationFailed: another pod mounts the claim at the target
        """
        if not self.read_only:
            self._check_alone(namespace, claim)
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
        users = self._users(namespace, claim) if self.read_only else ()
        node = next((node for node in (str(pod["spec"].get("nodeName") or "") for pod in users) if node), "")
        body = manifest(self.migration, namespace, claim, self.image, node=node, read_only=self.read_only)
        try:
            self.api.create(PODS, body)
        except ExistsError:
            return
        except BackendError as error:
            where = f"namespace {namespace} at {self.api.name}"
            if "PodSecurity" in str(error):
                remedy = "label it pod-security.kubernetes.io/enforce=baseline for the time of the migration"
                raise MigrationFailed(f"{where} does not allow the mover's pod, which runs as root", remedy=remedy) from error
            if "exceeded quota" in str(error):
                raise MigrationFailed(f"the quota of {where} has no room for a mover's pod", remedy="raise it") from error
            raise

    def _users(self, namespace: str, claim: str) -> Iterator[Object]:
        """Pods that mount the claim, those of this migration aside."""
        for pod in self.api.each(PODS, namespace):
            alive = (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            ours = (pod["metadata"].get("labels") or {}).get(MIGRATION) == self.migration
            if alive and not ours and mounts(pod, claim):
                yield pod

    def _check_alone(self, namespace: str, claim: str) -> None:
        for pod in self._users(namespace, claim):
            what = f"claim {namespace}/{claim} at {self.api.name} is mounted by pod {pod['metadata']['name']}, which could write to it too"
            raise MigrationFailed(what, remedy="scale what it belongs to down to zero, and start the migration again")

    def present(self, namespace: str, claim: str) -> Mover | None:
        """The claim's pod as it is now; None when there is none that is ready."""
        name = pod_name(self.migration, claim)
        pod = self.api.get(PODS, name, namespace)
        return Mover(self.api, namespace, claim, name) if pod is not None and ready(pod) else None

    def drop(self, namespace: str, claim: str) -> None:
        """The claim's pod goes, if there is one; ``get`` makes another."""
        pod = self.api.get(PODS, pod_name(self.migration, claim), namespace)
        if pod is not None:
            self._delete(pod)

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
