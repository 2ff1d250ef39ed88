# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all controllers share: a queue of what to look at again, and short ways to the objects."""

from __future__ import annotations

import asyncio
import collections
import traceback
from typing import Any

from ..discovery import Registry
from ..kinds import Kind
from ..pods import Pods
from ..resources import CONTROLLER, Asked, Resources
from ..statuses import ApiError
from ..store import Event

Object = dict[str, Any]
Storage = tuple[str, str]
PODS, SERVICES, NAMESPACES, NODES = ("", "pods"), ("", "services"), ("", "namespaces"), ("", "nodes")
CLAIMS, VOLUMES = ("", "persistentvolumeclaims"), ("", "persistentvolumes")
DEPLOYMENTS, REPLICASETS, STATEFULSETS, DAEMONSETS = (
    ("apps", name) for name in ("deployments", "replicasets", "statefulsets", "daemonsets")
)
JOBS, CRONJOBS = ("batch", "jobs"), ("batch", "cronjobs")
_AT_ONCE = 50


class Controller:
    """``storages``: what it hears of; by default an object is looked at for its own sake, and its owner's."""

    storages: tuple[Storage, ...] = ()

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        """Which ``(namespace, name)`` of the controller's own kind a change is about."""
        metadata = event.new.obj["metadata"]
        if storage == self.storages[0]:
            return [(metadata.get("namespace", ""), metadata["name"])]
        kinds = {self.hub.kind(self.storages[0]).kind}
        owners = [owner for owner in metadata.get("ownerReferences") or [] if owner.get("controller") and owner["kind"] in kinds]
        return [(metadata.get("namespace", ""), owner["name"]) for owner in owners]

    def sync(self, namespace: str, name: str) -> float | None:
        """Bring things nearer to what is wanted; seconds after which to look again, or None."""
        raise NotImplementedError


class Hub:
    """Runs the controllers one step at a time, between requests."""

    def __init__(self, resources: Resources, registry: Registry, pods: Pods) -> None:
        self.resources, self.store, self.registry, self.pods = resources, resources.store, registry, pods
        self.controllers: list[Controller] = []
        self.owned: dict[str, set[tuple[Storage, str, str]]] = collections.defaultdict(set)
        self._queue: dict[tuple[Controller, str, str], None] = {}
        self._woken = asyncio.Event()
        self._kinds: dict[Storage, Kind] = {}
        self._later: set[asyncio.TimerHandle] = set()

    def kind(self, storage: Storage) -> Kind:
        found = self._kinds.get(storage)
        if found is None:
            found = self.registry.stored(storage)
            if found is None:
                raise KeyError(storage)
            if not found.custom:
                self._kinds[storage] = found
        return found

    def hear(self, storage: Storage, event: Event) -> None:
        metadata = event.new.obj["metadata"]
        place = (storage, metadata.get("namespace", ""), metadata["name"])
        for owner in (event.old.obj["metadata"].get("ownerReferences") or []) if event.old else []:
            self.owned[owner["uid"]].discard(place)
        if not event.gone:
            for owner in metadata.get("ownerReferences") or []:
                self.owned[owner["uid"]].add(place)
        for controller in self.controllers:
            if storage in controller.storages or not controller.storages:
                for namespace, name in controller.keys(storage, event):
                    self.add(controller, namespace, name)

    def add(self, controller: Controller, namespace: str, name: str) -> None:
        self._queue[(controller, namespace, name)] = None
        self._woken.set()

    def add_later(self, seconds: float, controller: Controller, namespace: str, name: str) -> None:
        handle: asyncio.TimerHandle

        def due() -> None:
            self._later.discard(handle)
            self.add(controller, namespace, name)

        handle = asyncio.get_running_loop().call_later(seconds, due)
        self._later.add(handle)

    async def run(self) -> None:
        """For ever. What fails is tried again after a while."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._queue:
                for key in list(self._queue)[:_AT_ONCE]:
                    del self._queue[key]
                    self._step(*key)
                await asyncio.sleep(0)

    def _step(self, controller: Controller, namespace: str, name: str) -> None:
        try:
            again = controller.sync(namespace, name)
        except ApiError:
            again = 0.5
        except Exception:
            traceback.print_exc()
            again = 2.0
        if again is not None:
            self.add_later(again, controller, namespace, name)

    def quit(self) -> None:
        for handle in self._later:
            handle.cancel()

    def get(self, storage: Storage, namespace: str, name: str) -> Object | None:
        found = self.store.get(storage, namespace, name)
        return found.obj if found else None

    def create(self, storage: Storage, obj: Object, namespace: str = "", manager: str = CONTROLLER.manager) -> Object:
        return self.resources.create(self.kind(storage), obj, namespace, Asked(manager))

    def replace(self, storage: Storage, obj: Object, manager: str = CONTROLLER.manager) -> Object:
        metadata = obj["metadata"]
        return self.resources.replace(self.kind(storage), metadata.get("namespace", ""), metadata["name"], obj, Asked(manager))

    def status(self, storage: Storage, obj: Object, manager: str = CONTROLLER.manager, **fields: Any) -> None:
        """Fields of the status that are to be as given; None takes one away."""
        status = {**(obj.get("status") or {}), **fields}
        status = {key: value for key, value in status.items() if value is not None}
        if status != (obj.get("status") or {}):
            metadata = obj["metadata"]
            new = {**obj, "status": status}
            self.resources.replace(
                self.kind(storage), metadata.get("namespace", ""), metadata["name"], new, Asked(manager), "status"
            )

    def delete(self, storage: Storage, namespace: str, name: str, **options: Any) -> None:
        if self.store.get(storage, namespace, name) is not None:
            self.resources.delete(self.kind(storage), namespace, name, options)

    def children(self, storage: Storage, obj: Object) -> list[Object]:
        """What an object controls, by name."""
        uid = obj["metadata"]["uid"]
        found = [self.get(*place) for place in sorted(self.owned.get(uid, ())) if place[0] == storage]
        return [
            each
            for each in found
            if each and any(owner["uid"] == uid and owner.get("controller") for owner in each["metadata"]["ownerReferences"])
        ]


def owner_of(kind: Kind, obj: Object) -> Object:
    """The reference of what an object controls to it."""
    known = {"apiVersion": kind.api_version, "kind": kind.kind, "name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
    return {**known, "controller": True, "blockOwnerDeletion": True}


def condition(of: str, true: bool, reason: str, message: str, at: str, before: list[Object]) -> Object:
    """The time of its last change stays while its status does."""
    status = "True" if true else "False"
    old = next((each for each in before if each["type"] == of and each["status"] == status), None)
    time = old.get("lastTransitionTime", at) if old else at
    made = {"type": of, "status": status, "lastTransitionTime": time}
    made.update({"reason": reason} if reason else {})
    made.update({"message": message} if message else {})
    return made


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def is_active(pod: Object) -> bool:
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not over and not pod["metadata"].get("deletionTimestamp")
