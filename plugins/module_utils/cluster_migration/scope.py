# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which objects go along: what users have in the chosen namespaces, and what that needs outside them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backends.cluster import Object
from ..errors import InputError
from . import resting
from .ordering import group_of, is_custom
from .request import Request
from .store import FENCE, MIGRATION, NAMESPACE

_SYSTEM = ("kube-system", "kube-public", "kube-node-lease", NAMESPACE)
# The cluster itself makes and keeps them: each cluster has its own.
_OWN_KINDS = {
    ("", "Event"),
    ("events.k8s.io", "Event"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("apps", "ControllerRevision"),
    ("coordination.k8s.io", "Lease"),
    ("coordination.k8s.io", "LeaseCandidate"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("networking.k8s.io", "IngressClass"),
    ("node.k8s.io", "RuntimeClass"),
}
_OWN_GROUPS = ("storage.k8s.io", "resource.k8s.io", "metrics.k8s.io", "internal.apiserver.k8s.io", "k3s.cattle.io")
_MADE_BY = {
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "Service",
    "Endpoints",
    "Node",
}
_SLICE_MAKERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_SLICES = "endpointslice.kubernetes.io/managed-by"
_DISTRIBUTION = ("objectset.rio.cattle.io/id", "objectset.rio.cattle.io/owner-name")


@dataclass(frozen=True)
class Context:
    """What is needed outside the namespaces. ``groups``: API groups of which custom resources go along, with all of their definitions.

    ``whole``: all that users have goes along, so every definition does. ``selecting``: Services that find their own pods, as
    ``namespace/name``: their Endpoints are the cluster's.
    """

    namespaces: frozenset[str]
    groups: frozenset[str] = field(default_factory=frozenset)
    cluster_roles: frozenset[str] = field(default_factory=frozenset)
    priority_classes: frozenset[str] = field(default_factory=frozenset)
    whole: bool = False
    selecting: frozenset[str] = frozenset()


def chosen(request: Request, namespaces: Iterable[Object]) -> list[str]:
    """Names of the namespaces that go along; InputError for one that does not exist, or is the cluster's own."""
    names = sorted(item["metadata"]["name"] for item in namespaces)
    for option in ("namespaces", "exclude_namespaces"):
        for name in getattr(request, option):
            if name not in names:
                users = [one for one in names if not _is_system(one)]
                remedy = f"use some of: {', '.join(users[:20]) or 'none'}"
                raise InputError("is not a namespace of the source", option=option, value=name, remedy=remedy)
    for name in request.namespaces:
        if _is_system(name):
            raise InputError("is the cluster's own", option="namespaces", value=name, remedy="leave it out")
    wanted = request.namespaces or [name for name in names if not _is_system(name)]
    found = sorted(set(wanted) - set(request.exclude_namespaces))
    if not found:
        raise InputError("leaves nothing to migrate", option="namespaces", value=[], remedy="name a namespace of the source")
    return found


def _is_system(name: str) -> bool:
    return name in _SYSTEM or name.startswith("kube-")


def carried(item: Object, context: Context) -> str | None:
    """Why it does not go along, in a few words; None when it does."""
    metadata = item["metadata"]
    if metadata.get("deletionTimestamp"):
        return "is being deleted"
    if (group_of(item), item["kind"]) in _OWN_KINDS or group_of(item) in _OWN_GROUPS:
        return "is the cluster's own"
    if is_distributions(item):
        return "belongs to the Kubernetes distribution"
    return _within(item, context) if metadata.get("namespace") else _outside(item, context)


def is_distributions(item: Object) -> bool:
    """Whether k3s made it, of a manifest of its own."""
    metadata = item["metadata"]
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    return any(mark in marks for mark in _DISTRIBUTION)


def _within(item: Object, context: Context) -> str | None:
    metadata, kind = item["metadata"], item["kind"]
    if metadata["namespace"] not in context.namespaces:
        return "is in another namespace"
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    owner = resting.controller_of(item)
    if _makes(owner):
        return f"is made by its {owner['kind']}"
    reasons = {
        "is a node's own": kind == "Pod" and resting.MIRROR in annotations,
        "is the cluster's own": (kind, metadata["name"]) == ("ConfigMap", "kube-root-ca.crt"),
        "is a migration's own": (kind, metadata["name"]) == ("ResourceQuota", FENCE) or MIGRATION in labels,
        "is made by its Service": (kind == "EndpointSlice" and labels.get(_SLICES) in _SLICE_MAKERS)
        or (kind == "Endpoints" and (_is_controllers(labels, annotations) or _where(item) in context.selecting)),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _where(item: Object) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _makes(owner: Mapping[str, Any]) -> bool:
    """Whether an owner makes anew what it owns, at the target as well."""
    if owner.get("kind") not in _MADE_BY:
        return False
    ours = {"apiVersion": owner.get("apiVersion", ""), "kind": owner["kind"]}
    return owner["kind"] in ("Node", "Endpoints") or not is_custom(ours)


def _is_controllers(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    return "endpoints.kubernetes.io/last-change-trigger-time" in annotations or "endpoints.kubernetes.io/managed-by" in labels


def _outside(item: Object, context: Context) -> str | None:
    """What has no namespace goes along when the namespaces need it."""
    kind, name = item["kind"], item["metadata"]["name"]
    group = group_of(item)
    needed = {
        "Namespace": lambda: name in context.namespaces,
        "CustomResourceDefinition": lambda: context.whole or item["spec"]["group"] in context.groups,
        "PriorityClass": lambda: name in context.priority_classes and not name.startswith("system-"),
        "ClusterRole": lambda: name in context.cluster_roles,
        "ClusterRoleBinding": lambda: bool(subjects_within(item, context.namespaces)),
        "MutatingWebhookConfiguration": lambda: bool(resting.served_from(item, context.namespaces)),
        "ValidatingWebhookConfiguration": lambda: bool(resting.served_from(item, context.namespaces)),
        "APIService": lambda: ((item["spec"].get("service") or {}).get("namespace", "")) in context.namespaces,
    }
    if not is_custom(item):
        return None if kind in needed and needed[kind]() else "is not needed by the namespaces"
    return None if group in context.groups else "is not needed by the namespaces"


def subjects_within(item: Object, namespaces: frozenset[str]) -> list[Object]:
    """The service accounts of these namespaces among the subjects of a binding."""
    subjects = item.get("subjects") or ()
    return [dict(one) for one in subjects if one.get("kind") == "ServiceAccount" and one.get("namespace") in namespaces]
