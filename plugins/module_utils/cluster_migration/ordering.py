# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order objects are made at the target: what others need comes first, what may refuse others comes last. Pure."""

from __future__ import annotations

from ..backends.cluster import Object

# By group and kind; what is not here is a custom resource, or a kind of which nothing is known.
_ORDER: tuple[tuple[tuple[str, str], ...], ...] = (
    (("", "Namespace"),),
    (("apiextensions.k8s.io", "CustomResourceDefinition"),),
    (("scheduling.k8s.io", "PriorityClass"), ("rbac.authorization.k8s.io", "ClusterRole")),
    (("", "ResourceQuota"), ("", "LimitRange"), ("networking.k8s.io", "NetworkPolicy")),
    (("", "ServiceAccount"),),
    (("", "Secret"), ("", "ConfigMap")),
    (("rbac.authorization.k8s.io", "Role"),),
    (("rbac.authorization.k8s.io", "RoleBinding"), ("rbac.authorization.k8s.io", "ClusterRoleBinding")),
    (("", "PersistentVolumeClaim"),),
    (("", "Service"),),
    (("", "Endpoints"), ("discovery.k8s.io", "EndpointSlice")),
    (("policy", "PodDisruptionBudget"),),
)
_CUSTOM = len(_ORDER)
_LATER: tuple[tuple[tuple[str, str], ...], ...] = (
    (("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("apps", "ReplicaSet"), ("", "ReplicationController")),
    (("batch", "Job"), ("batch", "CronJob"), ("", "Pod")),
    (("autoscaling", "HorizontalPodAutoscaler"), ("networking.k8s.io", "Ingress")),
    (("apiregistration.k8s.io", "APIService"),),
    (
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ),
)
_STAGES = {
    **{kind: number for number, kinds in enumerate(_ORDER) for kind in kinds},
    **{kind: _CUSTOM + 1 + number for number, kinds in enumerate(_LATER) for kind in kinds},
}


def group_of(item: Object) -> str:
    """Empty for the core group."""
    version = str(item.get("apiVersion", ""))
    return version.split("/", 1)[0] if "/" in version else ""


def stage(item: Object) -> int:
    """Its place in the order, by its group and kind alone; 0 is first."""
    return _STAGES.get((group_of(item), str(item.get("kind", ""))), _CUSTOM)


def is_custom(item: Object) -> bool:
    """Whether its kind is none of Kubernetes' own that are carried."""
    return (group_of(item), str(item.get("kind", ""))) not in _STAGES
