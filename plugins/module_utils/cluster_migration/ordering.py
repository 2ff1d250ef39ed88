# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order objects come to the target: what others need first, what could refuse or start others last. Pure."""

from __future__ import annotations

from ..backends.cluster import Object
from .objects import sort_of

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


def stage(item: Object) -> int:
    """The place of its kind, from 0 for namespaces to the highest for webhooks; it needs ``apiVersion`` and ``kind`` only."""
    return _STAGE_OF.get(sort_of(item), _STAGE_OF[_CUSTOM, ""])
