# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.ordering import stage

KINDS = [
    ("v1", "Namespace"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("v1", "ResourceQuota"),
    ("v1", "ServiceAccount"),
    ("v1", "Secret"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Service"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
    ("networking.k8s.io/v1", "Ingress"),
    ("shop.example.org/v1", "Order"),
    ("apiregistration.k8s.io/v1", "APIService"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
]


def test_kinds_come_in_the_order_in_which_they_need_each_other():
    stages = [stage({"apiVersion": version, "kind": kind}) for version, kind in KINDS]
    assert stages == sorted(set(stages))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("networking.k8s.io/v1", "NetworkPolicy"), ("apps/v1", "Deployment")),
        (("scheduling.k8s.io/v1", "PriorityClass"), ("apps/v1", "Deployment")),
        (("apps/v1", "Deployment"), ("autoscaling/v2", "HorizontalPodAutoscaler")),
        (("batch/v1", "CronJob"), ("batch/v1", "Job")),
    ],
)
def test_what_guards_workloads_is_there_before_them(first, then):
    assert stage({"apiVersion": first[0], "kind": first[1]}) < stage({"apiVersion": then[0], "kind": then[1]})


def test_a_kind_of_somebody_elses_group_is_a_custom_resource():
    assert stage({"apiVersion": "example.org/v1", "kind": "Namespace"}) == stage({"apiVersion": "example.org/v1", "kind": "Order"})
