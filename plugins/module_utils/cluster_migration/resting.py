# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a cluster's objects runs, how each kind is put to rest, woken again, and seen to be ready. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..backends.cluster import Object, Resource
from .objects import copied

Memory = dict[str, Any]

DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", namespaced=True)
STATEFUL_SETS = Resource("apps", "v1", "StatefulSet", "statefulsets", namespaced=True)
REPLICA_SETS = Resource("apps", "v1", "ReplicaSet", "replicasets", namespaced=True)
DAEMON_SETS = Resource("apps", "v1", "DaemonSet", "daemonsets", namespaced=True)
CONTROLLERS = Resource("", "v1", "ReplicationController", "replicationcontrollers", namespaced=True)
CRON_JOBS = Resource("batch", "v1", "CronJob", "cronjobs", namespaced=True)
JOBS = Resource("batch", "v1", "Job", "jobs", namespaced=True)
PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
VALIDATING = Resource(
    "admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", namespaced=False
)
MUTATING = Resource(
    "admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", namespaced=False
)
SCALED = (DEPLOYMENTS, STATEFUL_SETS, REPLICA_SETS, CONTROLLERS)
WEBHOOKS = (VALIDATING, MUTATING)
RESTED = {resource.kind: resource for resource in (*WEBHOOKS, CRON_JOBS, JOBS, *SCALED, DAEMON_SETS, PODS)}
_SCALED_KINDS = tuple(resource.kind for resource in SCALED)
_WEBHOOK_KINDS = tuple(resource.kind for resource in WEBHOOKS)
# No node has it: a DaemonSet with it has no pods.
NOWHERE = "federation.virt8ra.eu/nowhere"
_RETENTION = "persistentVolumeClaimRetentionPolicy"
MIRROR = "kubernetes.io/config.mirror"


def key_of(item: Object) -> str:
    """``apps/v1/Deployment/shop/web``; what has no namespace has an empty one."""
    metadata = item["metadata"]
    return f"{item['apiVersion']}/{item['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def parts_of(key: str) -> tuple[str, str, str, str]:
    """``(api version, kind, namespace, name)``."""
    api_version, kind, namespace, name = key.rsplit("/", 3)
    return api_version, kind, namespace, name


def shown(key: str) -> str:
    """``Deployment shop/web``."""
    _version, kind, namespace, name = parts_of(key)
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def controller_of(item: Object) -> Mapping[str, Any]:
    """The owner that controls it; empty for none."""
    for owner in item["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return {}


def remembered(item: Object, namespaces: Collection[str]) -> Memory | None:
    """What an object was before it is put to rest; None for what need not be, or is by its owner.

    :param namespaces: the chosen ones, by which webhooks are told that are served from there
    """
    kind, owner = item["kind"], str(controller_of(item).get("kind", ""))
    if kind in _WEBHOOK_KINDS:
        policies = {str(hook["name"]): str(hook.get("failurePolicy", "Fail")) for hook in served_from(item, namespaces)}
        return {"failurePolicy": policies} if policies else None
    if kind == "Pod":
        return None if owner or not _is_bare(item) else {"bare": True, "ready": int(is_ready(item)), "owner": ""}
    if kind == "Job" and is_finished(item):
        return None
    if kind in _SCALED_KINDS and owner in RESTED:
        return None
    memory = _spec_of(item)
    return None if memory is None else {**memory, "owner": owner}


def _spec_of(item: Object) -> Memory | None:
    kind, spec, status = item["kind"], item.get("spec") or {}, item.get("status") or {}
    if kind in _SCALED_KINDS:
        memory: Memory = {"replicas": int(spec.get("replicas", 1)), "ready": int(status.get("readyReplicas") or 0)}
        # Such a StatefulSet would delete its claims, and their data, once it has no replicas.
        if (spec.get(_RETENTION) or {}).get("whenScaled") == "Delete":
            memory["whenScaled"] = "Delete"
        return memory
    if kind == "DaemonSet":
        selector = ((spec.get("template") or {}).get("spec") or {}).get("nodeSelector")
        resting = selector is not None and NOWHERE in selector
        return None if resting else {"nodeSelector": selector, "ready": int(status.get("numberReady") or 0)}
    return {"suspend": bool(spec.get("suspend"))} if kind in ("CronJob", "Job") else None


def _is_bare(pod: Object) -> bool:
    """Whether nothing would make it anew."""
    metadata = pod["metadata"]
    return not is_over(pod) and MIRROR not in (metadata.get("annotations") or {}) and not metadata.get("deletionTimestamp")


def served_from(item: Object, namespaces: Collection[str]) -> list[Object]:
    """The webhooks of a configuration whose service is in one of the namespaces."""
    hooks = item.get("webhooks")
    return [hook for hook in hooks if _served_in(hook) in namespaces] if isinstance(hooks, list) else []


def _served_in(hook: Any) -> str:
    """The namespace of a webhook's service; empty for one that is asked by its URL."""
    found: Any = hook
    for key in ("clientConfig", "service", "namespace"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def is_finished(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(one.get("type") in ("Complete", "Failed") and one.get("status") == "True" for one in conditions)


def is_over(pod: Object) -> bool:
    """Whether none of its containers runs, nor will."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def rests(item: Object, memory: Memory) -> bool:
    """Whether it is at rest by its spec."""
    kind, spec = item["kind"], item.get("spec") or {}
    if kind in _SCALED_KINDS:
        kept = "whenScaled" not in memory or (spec.get(_RETENTION) or {}).get("whenScaled") != "Delete"
        return int(spec.get("replicas", 1)) == 0 and kept
    if kind == "DaemonSet":
        return NOWHERE in (((spec.get("template") or {}).get("spec") or {}).get("nodeSelector") or {})
    if kind in ("CronJob", "Job"):
        return bool(spec.get("suspend"))
    if kind in _WEBHOOK_KINDS:
        ours = memory["failurePolicy"]
        return all(hook.get("failurePolicy") == "Ignore" for hook in item.get("webhooks") or () if hook["name"] in ours)
    return False


def wakes(memory: Memory) -> bool:
    """Whether there is anything to wake: what had no replicas, or was suspended, stays as it is."""
    if "replicas" in memory:
        return bool(memory["replicas"]) or "whenScaled" in memory
    return not memory.get("suspend", False)


def rest_patch(item: Object, memory: Memory, migration_id: str) -> tuple[str, Any] | None:
    """``(kind of patch, body)`` that puts it to rest; None when it rests, or is a Pod, which only can be deleted."""
    if item["kind"] == "Pod" or rests(item, memory):
        return None
    kind = item["kind"]
    if kind in _SCALED_KINDS:
        kept = {_RETENTION: {"whenScaled": "Retain"}} if "whenScaled" in memory else {}
        return "merge", {"spec": {"replicas": 0, **kept}}
    if kind == "DaemonSet":
        return "merge", {"spec": {"template": {"spec": {"nodeSelector": {NOWHERE: migration_id}}}}}
    if kind in _WEBHOOK_KINDS:
        return "json", _policies(item, dict.fromkeys(memory["failurePolicy"], "Ignore"))
    return "merge", {"spec": {"suspend": True}}


def wake_patch(item: Object, memory: Memory) -> tuple[str, Any] | None:
    """``(kind of patch, body)`` that makes it what it was; None when it is."""
    kind = item["kind"]
    if kind == "Pod" or not rests(item, memory):
        return None
    if kind in _SCALED_KINDS:
        policy = {_RETENTION: {"whenScaled": memory["whenScaled"]}} if "whenScaled" in memory else {}
        return ("merge", {"spec": {"replicas": memory["replicas"], **policy}}) if memory["replicas"] or policy else None
    if kind == "DaemonSet":
        selector = None if memory["nodeSelector"] is None else {NOWHERE: None, **memory["nodeSelector"]}
        return "merge", {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
    if kind in _WEBHOOK_KINDS:
        operations = _policies(item, memory["failurePolicy"])
        return ("json", operations) if operations else None
    return None if memory["suspend"] else ("merge", {"spec": {"suspend": False}})


def _policies(item: Object, wanted: Mapping[str, str]) -> list[Object]:
    operations: list[Object] = []
    for index, hook in enumerate(item.get("webhooks") or ()):
        policy = wanted.get(hook["name"])
        if policy is not None and hook.get("failurePolicy") != policy:
            operations.append({"op": "test", "path": f"/webhooks/{index}/name", "value": hook["name"]})
            operations.append({"op": "add", "path": f"/webhooks/{index}/failurePolicy", "value": policy})
    return operations


def asleep(item: Object, migration_id: str) -> Object:
    """The object as it may be at an end where nothing may run yet. A Pod cannot sleep: it is not to be made."""
    kind = item["kind"]
    if kind not in RESTED or kind in ("Pod", *_WEBHOOK_KINDS):
        return item
    item = copied(item)
    spec = item.setdefault("spec", {})
    if kind in _SCALED_KINDS:
        spec["replicas"] = 0
        if _RETENTION in spec:
            spec[_RETENTION]["whenScaled"] = "Retain"
    elif kind == "DaemonSet":
        spec.setdefault("template", {}).setdefault("spec", {}).setdefault("nodeSelector", {})[NOWHERE] = migration_id
    else:
        spec["suspend"] = True
    return item


def awake(item: Object, memory: Memory) -> Object:
    """The object as it was before it was put to rest."""
    kind = item["kind"]
    item = copied(item)
    spec = item.get("spec", {})
    if kind in _SCALED_KINDS:
        spec["replicas"] = memory["replicas"]
        if "whenScaled" in memory:
            spec.setdefault(_RETENTION, {})["whenScaled"] = memory["whenScaled"]
    elif kind == "DaemonSet":
        inner = spec.setdefault("template", {}).setdefault("spec", {})
        inner.pop("nodeSelector", None)
        if memory["nodeSelector"] is not None:
            inner["nodeSelector"] = dict(memory["nodeSelector"])
    elif kind in ("CronJob", "Job"):
        spec["suspend"] = memory["suspend"]
    elif kind in _WEBHOOK_KINDS:
        for hook in item.get("webhooks") or ():
            hook["failurePolicy"] = memory["failurePolicy"].get(hook["name"], hook.get("failurePolicy", "Fail"))
    return item


def is_ready(item: Object, memory: Memory | None = None) -> bool:
    """Whether as much of it is ready as was at the source; without a memory, all of it."""
    kind, spec, status = item["kind"], item.get("spec") or {}, item.get("status") or {}
    if kind == "Pod":
        conditions = status.get("conditions") or ()
        return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    if kind not in _SCALED_KINDS and kind != "DaemonSet":
        return True
    if int(status.get("observedGeneration") or 0) < int(item["metadata"].get("generation") or 0):
        return False
    if kind == "DaemonSet":
        wanted, ready = int(status.get("desiredNumberScheduled") or 0), int(status.get("numberReady") or 0)
        # Another cluster has another number of nodes: all of them count, unless none was ready at the source either.
        return (memory is not None and memory["ready"] == 0) or (wanted > 0 and ready >= wanted)
    wanted = int(spec.get("replicas", 1))
    if memory is not None:
        wanted = min(wanted, memory["ready"])
    return int(status.get("readyReplicas") or 0) >= wanted
