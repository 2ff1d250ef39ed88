# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small controllers behind the API, and the node that runs pods; all look at objects anew until they are as wanted."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from ..access import Access
from ..discovery import Registry
from ..http import Request, Response
from ..pods import Pods
from ..resources import Resources
from ..selectors import chosen
from ..statuses import ApiError, success
from .garbage import Garbage
from .hub import NAMESPACES, PODS, SERVICES, Controller, Hub, Object, is_active
from .jobs import CronJobs, Jobs
from .kubelet import Kubelet
from .namespaces import Namespaces, Tokens
from .replicas import DaemonSets, Deployments, ReplicaSets
from .services import Ingresses, Services
from .stateful import StatefulSets
from .volumes import Claims
from .watchers import BUDGETS, Autoscalers, Budgets, Quotas


class Controllers:
    """``active``: without it only namespaces and garbage are looked after, and no pod ever runs."""

    def __init__(self, resources: Resources, registry: Registry, pods: Pods, active: bool, folder: Path, access: Access) -> None:
        self._resources, self._pods = resources, pods
        self._hub = Hub(resources, registry, pods)
        self._kubelet = Kubelet(self._hub)
        self._active, self._folder, self._access = active, folder, access
        self._task: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Before the first object: from now on changes are heard."""
        hub = self._hub
        authority = (self._folder / "ca.crt").read_text()
        first: list[Controller] = [Namespaces(hub, authority), Tokens(hub, authority, self._access), Garbage(hub)]
        if self._active:
            kinds = (
                ReplicaSets,
                Deployments,
                DaemonSets,
                StatefulSets,
                Jobs,
                CronJobs,
                Services,
                Ingresses,
                Budgets,
                Autoscalers,
                Quotas,
            )
            first += [kind(hub) for kind in kinds]
            first += [Claims(hub, self._folder / "volumes"), self._kubelet]
        hub.controllers = first
        resources = self._resources.store
        for storage, shelf in resources.shelves.items():
            for (namespace, name), stored in shelf.objects.items():
                for owner in stored.obj["metadata"].get("ownerReferences") or []:
                    hub.owned[owner["uid"]].add((storage, namespace, name))
        resources.listeners.append(hub.hear)

    def start(self) -> None:
        if self._active:
            self._kubelet.resume()
        for controller in self._hub.controllers:
            if controller.storages and controller.storages[0] not in (PODS, SERVICES):
                for (namespace, name), _stored in self._resources.store.each(controller.storages[0]):
                    self._hub.add(controller, namespace, name)
        # What every namespace is to have is there before anybody can ask.
        for home in tuple(self._resources.store.objects(NAMESPACES)):
            self._hub.controllers[0].sync("", home["metadata"]["name"])
        self._task = asyncio.get_running_loop().create_task(self._hub.run())

    async def stop(self) -> None:
        self._hub.quit()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._kubelet.stop()

    async def evict(self, request: Request, target: Any) -> Response:
        """429 when a budget does not let the pod go."""
        found = self._resources.get(target.kind, target.namespace, target.name)
        pod = found.obj
        for budget in self._resources.store.objects(BUDGETS, target.namespace):
            if not chosen(budget["spec"].get("selector"), pod["metadata"].get("labels")) or not is_active(pod):
                continue
            if not (budget.get("status") or {}).get("disruptionsAllowed", 0):
                why = f"The disruption budget {budget['metadata']['name']} needs more healthy pods than there are"
                causes = [{"reason": "DisruptionBudget", "message": why}]
                raise ApiError(429, "Cannot evict pod as it would violate the pod's disruption budget.", details={"causes": causes})
        options = (request.object() or {}).get("deleteOptions") or {}
        self._resources.delete(target.kind, target.namespace, target.name, options)
        return Response(success(), 201)

    def evict_all(self, prefix: str) -> list[str]:
        """As a node short of memory does: pods whose names begin so fail at once, and their processes die."""
        hub, done = self._hub, []
        for pod in tuple(hub.store.objects(PODS)):
            if pod["metadata"]["name"].startswith(prefix) and is_active(pod):
                done.append(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}")
                self._kubelet.evict(pod)
        return done


__all__ = ["Controllers", "Object"]
