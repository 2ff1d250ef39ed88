# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of a cluster objects need, in the words of a ResourceQuota; Kubernetes' quantities as numbers. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from ..backends.cluster import Object
from .objects import listed, part, pod_spec, sort_of, spec_of

_QUANTITY = re.compile(r"^([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:[eE]([+-]?\d{1,3})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?\Z")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_ONE = Fraction(1)
# What is counted one by one, as its own name and as count/<name>.
_COUNTED = {
    ("", "ConfigMap"): "configmaps",
    ("", "Secret"): "secrets",
    ("", "Service"): "services",
    ("", "PersistentVolumeClaim"): "persistentvolumeclaims",
    ("", "ReplicationController"): "replicationcontrollers",
    ("apps", "Deployment"): "deployments.apps",
    ("apps", "StatefulSet"): "statefulsets.apps",
    ("batch", "Job"): "jobs.batch",
    ("batch", "CronJob"): "cronjobs.batch",
}
_REPLICATED = {("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "ReplicaSet"), ("", "ReplicationController")}
Amounts = dict[str, Fraction]


def quantity(text: Any) -> Fraction:
    """``500m`` is 1/2, ``1Gi`` is 2**30; what is no quantity counts as nothing."""
    match = _QUANTITY.match(str(text))
    if match is None:
        return Fraction(0)
    number, exponent, unit = match.groups()
    value = Fraction(number if not number.endswith(".") else number[:-1])
    if unit in _BINARY:
        return value * (1 << _BINARY[unit])
    power = int(exponent) if exponent else _DECIMAL.get(unit or "", 0)
    scale: int = 10 ** abs(power)
    return value * scale if power >= 0 else value / scale


def amounts(item: Object, *, nodes: int = 1) -> Amounts:
    """What an object and its pods need when it runs.

    :param nodes: on how many nodes a DaemonSet has pods
    """
    found: Counter[str] = Counter()
    sort = sort_of(item)
    if sort in _COUNTED:
        found[_COUNTED[sort]] += 1
        found[f"count/{_COUNTED[sort]}"] += 1
    total: Amounts = {key: Fraction(number) for key, number in found.items()}
    if sort == ("", "PersistentVolumeClaim"):
        _add_claim(total, item)
    elif sort == ("", "Service"):
        _add_service(total, item)
    copies = replicas(item, nodes=nodes)
    if copies:
        for key, value in of_pod(pod_spec(item)).items():
            total[key] = total.get(key, Fraction(0)) + value * copies
    return total


def replicas(item: Object, *, nodes: int = 1) -> int:
    """How many pods it has when it runs; none for a CronJob, which has some at times only."""
    sort, spec = sort_of(item), spec_of(item)
    if sort in _REPLICATED:
        return int(spec.get("replicas", 1) or 0)
    if sort == ("apps", "DaemonSet"):
        return nodes
    if sort == ("batch", "Job"):
        return int(spec.get("parallelism", 1) or 0)
    return 1 if sort == ("", "Pod") else 0


def of_pod(spec: Mapping[str, Any]) -> Amounts:
    """One pod: what its containers ask for together, or its neediest init container alone, whichever is more."""
    total: Amounts = {"pods": _ONE, "count/pods": _ONE}
    for side in ("requests", "limits"):
        for resource in ("cpu", "memory", "ephemeral-storage"):
            together = sum((_asked(one, side, resource) for one in _lasting(spec)), Fraction(0))
            alone = max((_asked(one, side, resource) for one in listed(spec, "initContainers")), default=Fraction(0))
            most = max(together, alone)
            if most:
                total[f"{side}.{resource}"] = most
    return total


def _lasting(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from listed(spec, "containers")
    yield from (one for one in listed(spec, "initContainers") if one.get("restartPolicy") == "Always")


def _asked(container: Mapping[str, Any], side: str, resource: str) -> Fraction:
    """A container with a limit and no request asks for its limit."""
    asked = part(container, "resources", side).get(resource)
    if asked is None and side == "requests":
        asked = part(container, "resources", "limits").get(resource)
    return quantity(asked) if asked is not None else Fraction(0)


def largest(spec: Mapping[str, Any]) -> Amounts:
    """The most that any one container of a pod asks for or may take, by resource, as a LimitRange judges it."""
    found: Amounts = {}
    for container in (*listed(spec, "initContainers"), *listed(spec, "containers")):
        for resource in ("cpu", "memory"):
            most = max(_asked(container, "limits", resource), _asked(container, "requests", resource))
            if most > found.get(resource, 0):
                found[resource] = most
    return found


def claim_bytes(claim: Mapping[str, Any]) -> int:
    """The capacity that a claim has, or else asks for."""
    has = part(claim, "status", "capacity").get("storage")
    return int(quantity(has if has is not None else asked_storage(claim)))


def asked_storage(claim: Mapping[str, Any]) -> Any:
    return part(claim, "spec", "resources", "requests").get("storage", 0)


def _add_claim(total: Amounts, claim: Object) -> None:
    size = quantity(asked_storage(claim))
    total["requests.storage"] = size
    storage_class = spec_of(claim).get("storageClassName")
    if storage_class:
        total[f"{storage_class}.storageclass.storage.k8s.io/requests.storage"] = size
        total[f"{storage_class}.storageclass.storage.k8s.io/persistentvolumeclaims"] = _ONE


def _add_service(total: Amounts, service: Object) -> None:
    kind = spec_of(service).get("type")
    if kind == "LoadBalancer":
        total["services.loadbalancers"] = _ONE
    if kind in ("LoadBalancer", "NodePort") and spec_of(service).get("allocateLoadBalancerNodePorts", True):
        total["services.nodeports"] = Fraction(len(listed(service, "spec", "ports")))


def show_amount(key: str, value: Fraction) -> str:
    """``1.5`` CPUs, ``512 MiB``, ``3``."""
    if key.endswith(("memory", "storage")):
        amount = float(value)
        for unit in ("", "Ki", "Mi", "Gi"):
            if amount < 1024:
                return f"{amount:g}{unit}" if amount == int(amount) else f"{amount:.1f}{unit}"
            amount /= 1024
        return f"{amount:.1f}Ti"
    return f"{float(value):g}"
