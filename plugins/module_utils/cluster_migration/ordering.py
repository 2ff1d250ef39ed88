# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order objects come to the target: what others need first, what could refuse or start others last. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ..backends.cluster import Object
from .objects import group_of, owners_of, sort_of

_CUSTOM = "custom"
# Kinds of one line need nothing of each other. Quotas and limits hold for what comes after them; claims wait for a first pod anyway.
_STAGES = (
    (("", "Namespace"),),
    (("apiextensions.k8s.io", "CustomResourceDefinition"),),
    (("scheduling.k8s.io", "PriorityClass"), ("rbac.authorization.k8s.io", "ClusterRole")),
    (("", "LimitRange"), ("", "ResourceQuota")),
    (("", "ServiceAccount"),),
    (("", "Secret"), ("", "ConfigMap")),
    (
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ),
    (("", "PersistentVolumeClaim"), ("resource.k8s.io", "ResourceClaimTemplate"), ("networking.k8s.io", "NetworkPolicy")),
    (("", "Service"), ("", "Endpoints"), ("discovery.k8s.io", "EndpointSlice")),
    (("", "PodTemplate"),),
    (
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("", "ReplicationController"),
        ("batch", "CronJob"),
    ),
    # One of them may be of a CronJob.
    (("batch", "Job"),),
    (("", "Pod"),),
    (("policy", "PodDisruptionBudget"), ("autoscaling", "HorizontalPodAutoscaler"), ("networking.k8s.io", "Ingress")),
    ((_CUSTOM, ""),),
    (("apiregistration.k8s.io", "APIService"),),
    (
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ),
)
_STAGE_OF = {sort: number for number, sorts in enumerate(_STAGES) for sort in sorts}
_Key = tuple[str, str, str, str]


def stage(item: Object) -> int:
    """The place of its kind, from 0 for namespaces to the highest for webhooks; it needs ``apiVersion`` and ``kind`` only."""
    return _STAGE_OF.get(sort_of(item), _STAGE_OF[_CUSTOM, ""])


def ordered(items: Iterable[Object]) -> list[Object]:
    """Stage by stage, but nothing before what owns it; always the same, in whatever order they are given.

    What is owned by a later stage is drawn there. Owners that are not among the items are nobody's affair, nor are circles.
    """
    found = {_key(item): item for item in items}
    places: dict[_Key, tuple[int, int]] = {}
    for key in sorted(found):
        _place(key, found, places, ())
    return [found[key] for key in sorted(found, key=lambda key: (*places[key], key))]


def _place(key: _Key, found: dict[_Key, Object], places: dict[_Key, tuple[int, int]], below: tuple[_Key, ...]) -> tuple[int, int]:
    """``(stage, depth)``: the latest stage of itself and of what owns it, and how many owners are above it there."""
    if key not in places:
        place = (stage(found[key]), 0)
        for owner in _owners(key, found):
            if owner != key and owner not in below:
                above = _place(owner, found, places, (*below, key))
                place = max(place, (above[0], above[1] + 1))
        places[key] = place
    return places[key]


def _owners(key: _Key, found: dict[_Key, Object]) -> list[_Key]:
    """An owner is in the same namespace, or in none."""
    owners = []
    for owner in owners_of(found[key]):
        for namespace in (key[2], ""):
            other = (group_of(owner), str(owner.get("kind", "")), namespace, str(owner.get("name", "")))
            if other in found:
                owners.append(other)
                break
    return owners


def _key(item: Object) -> _Key:
    metadata = item["metadata"]
    return (*sort_of(item), str(metadata.get("namespace") or ""), str(metadata["name"]))
