# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Those that only count: budgets, autoscalers, quotas."""

from __future__ import annotations

from ..admission import usage
from ..resources import now
from ..selectors import chosen
from ..store import Event
from .hub import DEPLOYMENTS, PODS, STATEFULSETS, Controller, Storage, condition, is_active, is_ready

BUDGETS, SCALERS, QUOTAS = ("policy", "poddisruptionbudgets"), ("autoscaling", "horizontalpodautoscalers"), ("", "resourcequotas")


def _share(value: int | str, total: int, up: bool = True) -> int:
    if isinstance(value, int):
        return value
    part = total * int(value.rstrip("%"))
    return -(-part // 100) if up else part // 100


class Budgets(Controller):
    storages = (BUDGETS, PODS)

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        metadata = event.new.obj["metadata"]
        if storage == BUDGETS:
            return [(metadata["namespace"], metadata["name"])]
        found = self.hub.store.objects(BUDGETS, metadata["namespace"])
        return [(metadata["namespace"], each["metadata"]["name"]) for each in found]

    def sync(self, namespace: str, name: str) -> float | None:
        budget = self.hub.get(BUDGETS, namespace, name)
        if budget is None:
            return None
        spec = budget["spec"]
        pods = [
            pod for pod in self.hub.store.objects(PODS, namespace) if chosen(spec.get("selector"), pod["metadata"].get("labels"))
        ]
        pods = [pod for pod in pods if is_active(pod)]
        healthy, total = sum(is_ready(pod) for pod in pods), len(pods)
        wanted = (
            total - _share(spec["maxUnavailable"], total)
            if "maxUnavailable" in spec
            else _share(spec.get("minAvailable", 1), total)
        )
        allowed = max(0, healthy - wanted)
        before = (budget.get("status") or {}).get("conditions") or []
        reason = "SufficientPods" if allowed else "InsufficientPods"
        told = [{**condition("DisruptionAllowed", allowed > 0, reason, "", now(), before), "message": ""}]
        self.hub.status(
            BUDGETS,
            budget,
            currentHealthy=healthy,
            desiredHealthy=max(0, wanted),
            expectedPods=total,
            disruptionsAllowed=allowed,
            observedGeneration=budget["metadata"]["generation"],
            conditions=told,
        )
        return None


class Autoscalers(Controller):
    """Without metrics it only keeps the number of replicas between its bounds, and leaves 0 alone, as the real one does."""

    storages = (SCALERS, DEPLOYMENTS, STATEFULSETS)

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        metadata = event.new.obj["metadata"]
        if storage == SCALERS:
            return [(metadata["namespace"], metadata["name"])]
        found = self.hub.store.objects(SCALERS, metadata["namespace"])
        named = (each for each in found if each["spec"]["scaleTargetRef"]["name"] == metadata["name"])
        return [(metadata["namespace"], each["metadata"]["name"]) for each in named]

    def sync(self, namespace: str, name: str) -> float | None:
        scaler = self.hub.get(SCALERS, namespace, name)
        if scaler is None:
            return None
        spec = scaler["spec"]
        reference = spec["scaleTargetRef"]
        storage = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFULSETS}.get(reference["kind"])
        target = self.hub.get(storage, namespace, reference["name"]) if storage else None
        if target is None or storage is None:
            self.hub.status(SCALERS, scaler, currentReplicas=0, desiredReplicas=0)
            return None
        current = target["spec"]["replicas"]
        wanted = min(max(current, spec.get("minReplicas", 1)), spec["maxReplicas"]) if current else 0
        if wanted != current:
            self.hub.replace(storage, {**target, "spec": {**target["spec"], "replicas": wanted}})
        before = (scaler.get("status") or {}).get("conditions") or []
        reason = "ScalingDisabled" if not current else "FailedGetResourceMetric"
        told = [
            condition("AbleToScale", True, "SucceededGetScale", "", now(), before),
            condition("ScalingActive", False, reason, "", now(), before),
        ]
        self.hub.status(SCALERS, scaler, currentReplicas=current, desiredReplicas=wanted, conditions=told)
        return None


class Quotas(Controller):
    storages = ()

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        metadata = event.new.obj["metadata"]
        if event.old is not None and not event.gone and storage != QUOTAS:
            return []
        found = self.hub.store.objects(QUOTAS, metadata["namespace"]) if metadata.get("namespace") else ()
        return [(metadata["namespace"], each["metadata"]["name"]) for each in found]

    def sync(self, namespace: str, name: str) -> float | None:
        quota = self.hub.get(QUOTAS, namespace, name)
        if quota is None:
            return None
        hard = quota["spec"].get("hard") or {}
        used = dict.fromkeys(hard, 0.0)
        for kind in self.hub.registry.storages():
            if kind.namespaced:
                for obj in self.hub.store.objects(kind.storage, namespace):
                    for key, amount in usage(kind, obj).items():
                        if key in used:
                            used[key] += amount
        self.hub.status(
            QUOTAS,
            quota,
            hard=dict(hard),
            used={key: f"{value:g}" if value < 1e6 else str(int(value)) for key, value in used.items()},
        )
        return None
