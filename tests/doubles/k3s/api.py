# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API of the cluster as one server runs it: the double of Kubernetes, on the state that the servers share.

Only the server that leads runs it. What it changes is kept by most servers before a request is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from pathlib import Path
from typing import Any

from ..kubernetes import crds
from ..kubernetes.cluster import Cluster, Options
from ..kubernetes.http import Request, Response
from ..kubernetes.start import furnish
from ..kubernetes.statuses import ApiError
from ..kubernetes.store import Event, copied
from . import log
from .datastore import Change, NoQuorum
from .version import VERSION

Object = dict[str, Any]
_NODES = ("", "nodes")
_LEASES = ("coordination.k8s.io", "leases")
_CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
REMOVE, REMOVED = "etcd.k3s.cattle.io/remove", "etcd.k3s.cattle.io/removed-node-name"
MEMBER, ADDRESS = "etcd.k3s.cattle.io/node-name", "etcd.k3s.cattle.io/node-address"


def unavailable(message: str = "etcdserver: no leader") -> Response:
    return Response(ApiError(500, message).status(), 500)


class Api:
    """As long as this server leads."""

    def __init__(self, datastore: Any, folder: Path, authority: bytes, url: str, grace: float) -> None:
        """``folder``: where the double looks for the authority, and keeps volumes."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "ca.crt").write_bytes(authority)
        self._datastore, self._grace = datastore, grace
        self._pending: dict[str, Object | None] = {}
        self._order = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.cluster = Cluster(Options(folder=folder, version=VERSION, nodes=0))
        # Who asks is known already: a server looks at certificates and passwords itself.
        vars(self.cluster.access)["identify"] = lambda _request: None
        self.cluster.url = url
        store = self.cluster.store
        kept = []
        for key, obj in datastore.state["objects"].items():
            group, plural, _rest = key.split("/", 2)
            kept.append({"group": group, "plural": plural, "object": copied(obj)})
        store.load({"rv": datastore.state["rv"], "objects": kept})
        for obj in store.objects(_CRDS):
            self.cluster.registry.replace_custom(obj["spec"]["group"], obj["spec"]["names"]["plural"], crds.kinds(obj))
        store.listeners.append(self._heard)

    def start(self) -> None:
        self.cluster.controllers.prepare()
        furnish(self.cluster.resources, self.cluster.registry, VERSION, 0, self.cluster.url)
        self.cluster.controllers.start()
        self._later(self._flushing())
        self._later(self._watching_nodes())

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await self.cluster.controllers.stop()
        await self.cluster.pods.stop()

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What changes is kept.

    def _heard(self, storage: tuple[str, str], event: Event) -> None:
        metadata = event.new.obj["metadata"]
        key = "/".join((*storage, metadata.get("namespace", ""), metadata["name"]))
        self._pending[key] = None if event.gone else event.new.obj
        if storage == _NODES:
            self._node(event)

    async def flush(self) -> None:
        async with self._order:
            if not self._pending:
                return
            change: Change = {"rv": self.cluster.store.rv, "put": {}, "gone": []}
            for key, obj in self._pending.items():
                if obj is None:
                    change["gone"].append(key)
                else:
                    change["put"][key] = obj
            self._pending = {}
            await self._datastore.propose(change)

    async def _flushing(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            with contextlib.suppress(NoQuorum):
                await self.flush()

    async def handle(self, request: Request) -> Response | None:
        response = await self.cluster.handle(request)
        try:
            await self.flush()
        except NoQuorum as error:
            return unavailable(str(error)) if response is not None else None
        return response

    # Nodes: who is silent is not ready; who is deleted leaves etcd, and may come again with another password.

    def _node(self, event: Event) -> None:
        node = event.new.obj
        annotations = node["metadata"].get("annotations") or {}
        if event.gone:
            self._later(self._forget(node["metadata"]["name"], annotations.get(MEMBER, "")))
        elif str(annotations.get(REMOVE, "")).lower() == "true" and annotations.get(MEMBER) and REMOVED not in annotations:
            self._later(self._expel(node["metadata"]["name"], annotations[MEMBER]))

    async def _forget(self, name: str, member: str) -> None:
        self.cluster.store.remove(("", "secrets"), "kube-system", f"{name}.node-password.k3s")
        self.cluster.store.remove(_LEASES, "kube-node-lease", name)
        if member and self._datastore.kind == "etcd":
            await self.flush()
            await self._datastore.remove(member)

    async def _expel(self, name: str, member: str) -> None:
        found = self.cluster.store.get(_NODES, "", name)
        if found is None or REMOVED in found.obj["metadata"]["annotations"]:
            return
        node = copied(found.obj)
        annotations = node["metadata"]["annotations"]
        annotations[REMOVED] = member
        annotations.pop(MEMBER, None)
        annotations.pop(ADDRESS, None)
        self.cluster.store.put(_NODES, node)
        await self.flush()
        await self._datastore.remove(member)

    async def _watching_nodes(self) -> None:
        """A new leader gives every node a whole period of grace, as a controller manager does."""
        began = datetime.datetime.now(datetime.timezone.utc)
        while True:
            await asyncio.sleep(2)
            now = datetime.datetime.now(datetime.timezone.utc)
            for node in tuple(self.cluster.store.objects(_NODES)):
                lease = self.cluster.store.get(_LEASES, "kube-node-lease", node["metadata"]["name"])
                told = lease.obj["spec"]["renewTime"] if lease else node["metadata"]["creationTimestamp"]
                heard = max(began, datetime.datetime.fromisoformat(told.replace("Z", "+00:00")))
                if (now - heard).total_seconds() > self._grace:
                    self._silent(node)

    def _silent(self, node: Object) -> None:
        conditions = (node.get("status") or {}).get("conditions") or []
        if not any(each["type"] == "Ready" and each["status"] != "Unknown" for each in conditions):
            return
        changed = copied(node)
        for each in changed["status"]["conditions"]:
            each.update(status="Unknown", reason="NodeStatusUnknown", message="Kubelet stopped posting node status.")
        self.cluster.store.put(_NODES, changed)
        log.info(f"node {node['metadata']['name']} is silent: NodeNotReady")
