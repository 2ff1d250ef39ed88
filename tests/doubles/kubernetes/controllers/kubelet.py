# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scheduler and the nodes: pods get a node, start, become ready, end, and are taken away."""

from __future__ import annotations

import asyncio
import signal
import time
import traceback
from typing import Any

from .. import containers
from ..resources import Asked, now
from ..statuses import ApiError
from ..store import Event
from .hub import CLAIMS, NODES, PODS, Controller, Hub, Object, Storage, condition

KUBELET = "kubelet"
_READY_AFTER = 0.1
# A first process that does not hear SIGTERM gets this many seconds at most: tests are not to wait for the usual 30.
LONGEST_GRACE = 3.0


class Kubelet(Controller):
    """All nodes in one."""

    storages = (PODS, CLAIMS, NODES)

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._started: dict[str, float] = {}
        self._ending: dict[str, float] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._busy: set[str] = set()
        self._address = 1

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        metadata = event.new.obj["metadata"]
        if storage == PODS:
            if event.gone and self.hub.pods.runs(event.new.obj):
                self._task(self.hub.pods.remove(metadata["uid"]))
            return [] if event.gone else [(metadata["namespace"], metadata["name"])]
        namespace = metadata.get("namespace", "")
        waiting = (pod for pod in self.hub.store.objects(PODS, namespace) if pod["status"].get("phase") == "Pending")
        return [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in waiting]

    def _task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def resume(self) -> None:
        """After a restart: what ran starts anew."""
        for pod in self.hub.store.objects(PODS):
            if pod["status"].get("phase") == "Running":
                self.hub.pods.live.add(pod["metadata"]["uid"])
                if any(containers.is_busybox(each["image"]) for each in containers.all_of(pod)):
                    self._busy.add(pod["metadata"]["uid"])
                    self._task(self._begin(pod))
            self.hub.add(self, pod["metadata"]["namespace"], pod["metadata"]["name"])

    def sync(self, namespace: str, name: str) -> float | None:
        pod = self.hub.get(PODS, namespace, name)
        if pod is None:
            return None
        if pod["metadata"].get("deletionTimestamp"):
            return self._end(pod)
        phase = pod["status"].get("phase")
        if not pod["spec"].get("nodeName"):
            return self._schedule(pod)
        if phase == "Pending":
            return self._start(pod)
        if phase == "Running":
            return self._look(pod)
        return None

    def _schedule(self, pod: Object) -> float | None:
        """Onto the first node that takes it, once its claims are bound."""
        hub, metadata = self.hub, pod["metadata"]
        why = ""
        for claim, _writes in containers.claims(pod):
            found = hub.get(CLAIMS, metadata["namespace"], claim)
            if found is None:
                why = f'persistentvolumeclaim "{claim}" not found'
            elif found["status"].get("phase") != "Bound":
                why = "pod has unbound immediate PersistentVolumeClaims"
        wanted = pod["spec"].get("nodeSelector") or {}
        nodes = [
            node
            for node in hub.store.objects(NODES)
            if not node["spec"].get("unschedulable")
            and all((node["metadata"].get("labels") or {}).get(key) == value for key, value in wanted.items())
        ]
        if not nodes:
            why = f"0/{sum(1 for _node in hub.store.objects(NODES))} nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
        if why:
            told = condition("PodScheduled", False, "Unschedulable", why, now(), pod["status"].get("conditions") or [])
            hub.status(PODS, pod, "kube-scheduler", conditions=[told])
            return None
        hub.replace(PODS, {**pod, "spec": {**pod["spec"], "nodeName": nodes[0]["metadata"]["name"]}}, "kube-scheduler")
        return None

    def _start(self, pod: Object) -> float | None:
        hub, metadata = self.hub, pod["metadata"]
        uid = metadata["uid"]
        for claim, _writes in containers.claims(pod):
            if not containers.volume_of(hub.store, metadata["namespace"], claim):
                return 0.2
        began = self._started.setdefault(uid, time.monotonic())
        left = began + _READY_AFTER - time.monotonic()
        if left > 0:
            return left
        hub.pods.live.add(uid)
        for container in containers.all_of(pod):
            if containers.is_busybox(container["image"]):
                if uid not in self._busy:
                    self._busy.add(uid)
                    self._task(self._begin(pod))
                return None
        return self._running(pod)

    async def _begin(self, pod: Object) -> None:
        """Start what really runs, then say so."""
        metadata = pod["metadata"]
        try:
            for container in containers.all_of(pod):
                if containers.is_busybox(container["image"]):
                    process = await self.hub.pods.started(pod, container)
                    self._task(self._wait(process, metadata["namespace"], metadata["name"]))
        except (OSError, ApiError, ValueError, KeyError) as error:
            print(f"pod {metadata['namespace']}/{metadata['name']} cannot be started for real: {error}", flush=True)
        except Exception:
            traceback.print_exc()
        self._busy.discard(metadata["uid"])
        now_there = self.hub.get(PODS, metadata["namespace"], metadata["name"])
        if now_there and now_there["metadata"]["uid"] == metadata["uid"] and not now_there["metadata"].get("deletionTimestamp"):
            self._running(now_there)

    async def _wait(self, process: asyncio.subprocess.Process, namespace: str, name: str) -> None:
        await process.wait()
        self.hub.add(self, namespace, name)

    def _running(self, pod: Object) -> float | None:
        uid, at = pod["metadata"]["uid"], now()
        self._address += 1
        address = f"10.42.{self._address // 250}.{self._address % 250 + 1}"
        states = [
            {"name": each["name"], "image": each["image"], "imageID": f"{each['image']}@sha256:{'0' * 64}", "ready": True, "started": True,
             "restartCount": 0, "containerID": f"containerd://{uid}-{each['name']}", "state": {"running": {"startedAt": at}}}
            for each in containers.all_of(pod)
        ]  # fmt: skip
        before = pod["status"].get("conditions") or []
        names = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
        told = [condition(name, True, "", "", at, before) for name in names]
        addresses = {"hostIP": "10.0.0.10", "hostIPs": [{"ip": "10.0.0.10"}], "podIP": address, "podIPs": [{"ip": address}]}
        self.hub.status(PODS, pod, KUBELET, phase="Running", conditions=told, containerStatuses=states, startTime=at, **addresses)
        return None

    def _look(self, pod: Object) -> float | None:
        """Whether its commands have ended; those of a Job that are not for real end well after a moment."""
        uid, spec = pod["metadata"]["uid"], pod["spec"]
        codes = []
        for container in containers.all_of(pod):
            code = self.hub.pods.ended(uid, container["name"])
            real = containers.is_busybox(container["image"])
            if not real and spec["restartPolicy"] != "Always":
                code = 0
            codes.append(code)
        if any(code is None for code in codes):
            return None
        if spec["restartPolicy"] == "Always" or (spec["restartPolicy"] == "OnFailure" and any(codes)):
            self._task(self._again(pod))
            return None
        self._over(pod, "Failed" if any(codes) else "Succeeded", [int(code or 0) for code in codes])
        self._task(self.hub.pods.ended_all(uid))
        return None

    async def _again(self, pod: Object) -> None:
        """A container that ended and is to run for ever is started anew."""
        metadata = pod["metadata"]
        if metadata["uid"] in self._busy:
            return
        self._busy.add(metadata["uid"])
        await self.hub.pods.ended_all(metadata["uid"])
        await asyncio.sleep(0.5)
        await self._begin(pod)

    def _over(self, pod: Object, phase: str, codes: list[int]) -> None:
        at = now()
        states = [
            {**state, "ready": False, "started": False,
             "state": {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": at, "startedAt": at}}}
            for state, code in zip(pod["status"].get("containerStatuses") or [], codes)
        ]  # fmt: skip
        before = pod["status"].get("conditions") or []
        told = [
            condition(each["type"], False, "PodCompleted", "", at, before) if each["type"] in ("Ready", "ContainersReady") else each
            for each in before
        ]
        self.hub.status(PODS, pod, KUBELET, phase=phase, containerStatuses=states, conditions=told)

    def evict(self, pod: Object) -> None:
        self._task(self.hub.pods.ended_all(pod["metadata"]["uid"]))
        self.hub.pods.live.discard(pod["metadata"]["uid"])
        at, before = now(), pod["status"].get("conditions") or []
        told = [each for each in before if each["type"] not in ("Ready", "ContainersReady", "DisruptionTarget")]
        told += [condition(name, False, "PodFailed", "", at, before) for name in ("Ready", "ContainersReady")]
        told.append(condition("DisruptionTarget", True, "TerminationByKubelet", "", at, before))
        message = "The node was low on resource: memory."
        self.hub.status(PODS, pod, KUBELET, phase="Failed", reason="Evicted", message=message, conditions=told)

    def _end(self, pod: Object) -> float | None:
        """SIGTERM, the grace, SIGKILL, and the pod is gone unless a finalizer holds it."""
        hub, metadata = self.hub, pod["metadata"]
        uid = metadata["uid"]
        if hub.pods.runs(pod):
            if uid not in self._ending:
                real = hub.pods.signal(uid, signal.SIGTERM)
                grace = min(metadata.get("deletionGracePeriodSeconds", 0), LONGEST_GRACE) if real else 0.05
                self._ending[uid] = time.monotonic() + grace
            alive = any(
                hub.pods.ended(uid, each["name"]) is None and hub.pods.has(uid, each["name"]) for each in containers.all_of(pod)
            )
            left = self._ending[uid] - time.monotonic()
            if left > 0 and (alive or left <= 0.05):
                return min(left, 0.1)
            self._task(self._gone(pod))
            return None
        hub.resources.delete(hub.kind(PODS), metadata["namespace"], metadata["name"], {"gracePeriodSeconds": 0}, Asked(KUBELET))
        return None

    async def _gone(self, pod: Object) -> None:
        metadata = pod["metadata"]
        await self.hub.pods.remove(metadata["uid"])
        self._ending.pop(metadata["uid"], None)
        now_there = self.hub.get(PODS, metadata["namespace"], metadata["name"])
        if now_there and now_there["metadata"]["uid"] == metadata["uid"]:
            if now_there["metadata"].get("finalizers") and now_there["status"].get("phase") == "Running":
                self._over(now_there, "Succeeded", [0] * len(containers.all_of(now_there)))
            self.hub.add(self, metadata["namespace"], metadata["name"])

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
