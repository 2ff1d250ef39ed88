# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.references import References, references
from cluster_world import shop, thing

SPEC = {
    "serviceAccountName": "web",
    "priorityClassName": "high",
    "runtimeClassName": "gvisor",
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"disk": "ssd"},
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {"key": "kubernetes.io/hostname", "operator": "In", "values": ["es-1"]},
                            {"key": "zone", "operator": "In", "values": ["a", "b"]},
                            {"key": "gone", "operator": "NotIn", "values": ["c"]},
                        ]
                    }
                ]
            }
        }
    },
    "initContainers": [{"name": "i", "image": "busybox", "envFrom": [{"secretRef": {"name": "env"}}]}],
    "containers": [
        {
            "name": "c",
            "image": "nginx",
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "word", "key": "a"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "may-lack", "key": "a", "optional": True}}},
            ],
        }
    ],
    "volumes": [
        {"name": "a", "secret": {"secretName": "tls"}},
        {"name": "b", "configMap": {"name": "pages"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "d", "hostPath": {"path": "/srv"}},
        {"name": "e", "projected": {"sources": [{"secret": {"name": "part"}}, {"configMap": {"name": "other"}}]}},
    ],
}


def test_a_pod_needs_all_that_it_names_and_is_not_optional():
    found = references(thing("Deployment", "web", version="apps/v1", spec={"template": {"spec": SPEC}}))
    assert found == References(
        priority_classes={"high"},
        runtime_classes={"gvisor"},
        images={"busybox", "nginx"},
        secrets={"registry", "env", "word", "tls", "part"},
        config_maps={"pages", "other"},
        claims={"data"},
        accounts={"web"},
        labels={("disk", "ssd"), ("kubernetes.io/hostname", "es-1")},
        host_paths={"/srv"},
    )


def test_a_custom_resource_tells_nothing():
    assert references(thing("Deployment", "web", version="example.org/v1", spec={"template": {"spec": SPEC}})) == References()


def test_claims_name_a_class_or_none_or_leave_it_open():
    assert references(thing("PersistentVolumeClaim", "x", spec={"storageClassName": "fast"})).storage_classes == {"fast"}
    assert references(thing("PersistentVolumeClaim", "x", spec={"storageClassName": ""})).storage_classes == {""}
    assert references(thing("PersistentVolumeClaim", "x", spec={})).default_storage


def test_an_ingress_of_old_names_its_class_by_an_annotation():
    old = thing(
        "Ingress", "x", version="networking.k8s.io/v1", spec={}, metadata={"annotations": {"kubernetes.io/ingress.class": "nginx"}}
    )
    assert references(old).old_ingress_classes == {"nginx"}
    assert references(old).ingress_classes == set()


def test_ports_and_addresses_of_services():
    spec = {
        "ports": [{"port": 1, "nodePort": 30001, "protocol": "UDP"}, {"port": 2}],
        "healthCheckNodePort": 31000,
        "loadBalancerIP": "192.0.2.1",
    }
    found = references(thing("Service", "x", spec=spec))
    assert found.node_ports == {(30001, "UDP"), (31000, "TCP")}
    assert found.load_balancer_ips == {"192.0.2.1"}


def test_the_samples_images_and_secrets_are_found():
    found = [references(item) for item in shop()]
    assert {image for one in found for image in one.images} == {"busybox:1.37"}
    assert {"registry", "web-tls", "database"} <= {name for one in found for name in one.secrets}
