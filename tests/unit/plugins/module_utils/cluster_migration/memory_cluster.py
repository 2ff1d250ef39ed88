# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster in memory for tests of what decides: objects in a dictionary, pods as the controllers would have them.

It is no API server. What is to be proved of one is proved on tests/doubles/kubernetes.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import (
    Changed,
    ClusterApi,
    Object,
    Resource,
    Running,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import resting
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.carrying import CRDS
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.lease import LEASES
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.quiesce import QUOTAS
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.store import CONFIG_MAPS, NAMESPACES, SECRETS
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import ConflictError, ExistsError, NotFoundError

VERBS = frozenset({"list", "create", "get", "delete", "patch", "update"})
WIDGETS = Resource("example.org", "v1", "Widget", "widgets", namespaced=True, verbs=VERBS)
ALL = tuple(
    Resource(one.group, one.version, one.kind, one.plural, one.namespaced, VERBS)
    for one in (*resting.RESTED.values(), QUOTAS, LEASES, CONFIG_MAPS, NAMESPACES, SECRETS, CRDS, WIDGETS)
)


class MemoryCluster(ClusterApi):
    """``before`` is called before every change, with the verb and the body or name; what it raises is the API's fault."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.server = f"memory://{name}"
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.before: Callable[[str, Any], None] = lambda _verb, _what: None
        self._applied: dict[tuple[str, str, str], Object] = {}
        self._serial = itertools.count(1)

    # What a test says and asks

    def put(self, item: Object) -> Object:
        resource = self.resource(item["apiVersion"], item["kind"])
        assert resource is not None
        return self.create(resource, item)

    def pods(self) -> list[str]:
        self._reconcile()
        return sorted(f"{key[1]}/{key[2]}" for key in self.objects if key[0] == "Pod")

    # ClusterApi

    def version(self) -> dict[str, str]:
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.0"}

    def uid(self) -> str:
        return f"uid-of-{self.name}"

    def resources(self, *, fresh: bool = False) -> tuple[Resource, ...]:
        return ALL

    def resource(self, api_version: str, kind: str) -> Resource | None:
        return next((one for one in ALL if (one.api_version, one.kind) == (api_version, kind)), None)

    def each(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> Iterator[Object]:
        self._reconcile()
        for key, item in sorted(self.objects.items()):
            if key[0] == resource.kind and namespace in ("", key[1]) and _matches(item, labels):
                yield copy.deepcopy(item)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        self._reconcile()
        return copy.deepcopy(self.objects.get((resource.kind, namespace, name)))

    def create(self, resource: Resource, body: Object, *, dry_run: bool = False) -> Object:
        self.before("create", body)
        key = _key(body)
        if key in self.objects:
            raise ExistsError(f"{key} exists")
        return self._stored(key, copy.deepcopy(body), None)

    def replace(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        self.before("replace", body)
        there = self.objects.get(_key(body))
        if there is None:
            raise NotFoundError(f"{_key(body)} is gone")
        if body["metadata"].get("resourceVersion") not in (None, there["metadata"]["resourceVersion"]):
            raise ConflictError("it changed")
        return self._stored(_key(body), copy.deepcopy(body), there)

    def apply(self, resource: Resource, body: Object, *, manager: str, force: bool = False, dry_run: bool = False) -> Object:
        if not dry_run:
            self.before("apply", body)
        there = self.objects.get(_key(body))
        given_up = _given_up(self._applied.get(_key(body), {}), body) if there else {}
        merged = _merged(_merged(copy.deepcopy(there or {}), given_up), copy.deepcopy(body))
        if not dry_run:
            self._applied[_key(body)] = copy.deepcopy(body)
        return merged if dry_run else self._stored(_key(body), merged, there)

    def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        body: Any,
        *,
        kind: str = "merge",
        subresource: str = "",
        manager: str = "",
    ) -> Object:
        self.before("patch", (resource.kind, namespace, name, body))
        there = self.objects.get((resource.kind, namespace, name))
        if there is None:
            raise NotFoundError(f"{name} is gone")
        if kind == "merge":
            return self._stored(_key(there), _merged(copy.deepcopy(there), body), there)
        changed = copy.deepcopy(there)
        for operation in body:
            if operation["op"] == "add":
                _root, field, index, last = operation["path"].split("/")
                changed[field][int(index)][last] = operation["value"]
        return self._stored(_key(there), changed, there)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        propagation: str = "Background",
        grace_seconds: int | None = None,
    ) -> bool:
        self.before("delete", (resource.kind, namespace, name))
        there = self.objects.get((resource.kind, namespace, name))
        if there is None:
            return False
        if uid and there["metadata"]["uid"] != uid:
            raise ConflictError("another one")
        if resource.kind == "Namespace":
            self.objects = {key: item for key, item in self.objects.items() if key[1] != name}
        del self.objects[resource.kind, namespace, name]
        return True

    def watch(
        self, resource: Resource, namespace: str = "", *, since: str = "", labels: str = "", fields: str = "", seconds: int = 60
    ) -> Iterator[Changed]:
        raise NotImplementedError

    def allowed(self, verb: str, resource: Resource, namespace: str = "", *, subresource: str = "") -> bool:
        return True

    def run(self, namespace: str, pod: str, command: Any, *, container: str = "", stdin: bool = False) -> Running:
        raise NotImplementedError

    def close(self) -> None:
        pass

    # The server's own work

    def _stored(self, key: tuple[str, str, str], body: Object, before: Object | None) -> Object:
        metadata = body["metadata"]
        metadata["resourceVersion"] = str(next(self._serial))
        metadata["uid"] = before["metadata"]["uid"] if before else f"{self.name}-{metadata['resourceVersion']}"
        self.objects[key] = body
        return copy.deepcopy(body)

    def _reconcile(self) -> None:
        """Pods as controllers would have them, ready at once; none anew where a quota allows none."""
        wanted: dict[tuple[str, str, str], Object] = {}
        for (kind, namespace, name), item in list(self.objects.items()):
            count = _count(item)
            item["metadata"].setdefault("generation", 1)
            if kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
                for index in range(count):
                    owner = {"apiVersion": item["apiVersion"], "kind": kind, "name": name, "controller": True}
                    metadata = {"name": f"{name}-{index}", "namespace": namespace, "ownerReferences": [owner]}
                    wanted["Pod", namespace, f"{name}-{index}"] = {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "metadata": metadata,
                        "spec": {},
                    }
        for key, item in list(self.objects.items()):
            if key[0] == "Pod" and item["metadata"].get("ownerReferences") and key not in wanted:
                del self.objects[key]
        for key, pod in wanted.items():
            if key not in self.objects and ("ResourceQuota", key[1], "virt8ra-moved") not in self.objects:
                self._stored(key, pod, None)
        for (kind, namespace, name), item in list(self.objects.items()):
            ready = sum(1 for key in wanted if key[1] == namespace and key[2].rsplit("-", 1)[0] == name and key in self.objects)
            if kind in ("Deployment", "StatefulSet"):
                item["status"] = {"readyReplicas": ready, "observedGeneration": 1}
            elif kind == "DaemonSet":
                item["status"] = {"desiredNumberScheduled": _count(item), "numberReady": ready, "observedGeneration": 1}


def _count(item: Object) -> int:
    spec = item.get("spec") or {}
    if item["kind"] in ("Deployment", "StatefulSet"):
        return int(spec.get("replicas", 1))
    if item["kind"] == "DaemonSet":
        selector = spec.get("template", {}).get("spec", {}).get("nodeSelector") or {}
        return 0 if resting.NOWHERE in selector else 1
    if item["kind"] == "Job":
        return 0 if spec.get("suspend") or resting.is_finished(item) else 1
    return 0


def _key(item: Object) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _matches(item: Object, labels: str) -> bool:
    own = item["metadata"].get("labels") or {}
    for part in filter(None, labels.split(",")):
        key, _equals, value = part.partition("=")
        if key not in own or (value and own[key] != value):
            return False
    return True


def _given_up(before: Any, now: Any) -> Any:
    """The keys that were applied before and are not now, as a merge patch that takes them away."""
    gone = {}
    for key, value in before.items():
        if key not in now:
            gone[key] = _given_up(value, {}) if isinstance(value, dict) and value else None
        elif isinstance(value, dict) and isinstance(now[key], dict):
            gone[key] = _given_up(value, now[key])
    return gone


def _merged(before: Any, change: Any) -> Any:
    if not isinstance(change, dict) or not isinstance(before, dict):
        return change
    for key, value in change.items():
        if value is None:
            before.pop(key, None)
        else:
            before[key] = _merged(before.get(key, {}), value) if isinstance(value, dict) else value
    return before
