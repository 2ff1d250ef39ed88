# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pod in an object: of a Pod itself, or the template of what makes pods. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..backends.cluster import Object
from .ordering import group_of

_TEMPLATES = {
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("", "ReplicationController"),
    ("batch", "Job"),
}
_LISTS = ("initContainers", "containers", "ephemeralContainers")


def pod_spec(item: Object) -> Object:
    """Its pod's spec, the very one in it; empty for what has no pods."""
    spec: Any = item.get("spec") or {}
    kind = (group_of(item), item["kind"])
    if kind == ("", "Pod"):
        return dict(spec) if not isinstance(spec, dict) else spec
    if kind == ("batch", "CronJob"):
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
        kind = ("batch", "Job")
    if kind not in _TEMPLATES:
        return {}
    found: Object = (spec.get("template") or {}).get("spec") or {}
    return found


def containers(pod: Object) -> Iterator[Object]:
    """All of them, those that run first and those that were put in included."""
    for key in _LISTS:
        yield from pod.get(key) or ()


def claims_of(pod: Object) -> list[str]:
    """Names of the claims that it mounts."""
    volumes = pod.get("volumes") or ()
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def copies(item: Object) -> int:
    """How many pods it is to have; of a DaemonSet one at the least."""
    spec = item.get("spec") or {}
    if item["kind"] == "CronJob":
        return 0
    if item["kind"] == "Job":
        return int(spec.get("parallelism", 1))
    return int(spec.get("replicas", 1)) if item["kind"] not in ("Pod", "DaemonSet") else 1
