# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from fractions import Fraction

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import Resource
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.target_facts import (
    Limit,
    Node,
    Quota,
    target_facts,
    version_of,
)
from cluster_world import SHOP, thing

OURS = {"annotations": {"federation.virt8ra.eu/migration": "abc"}}
DEFAULT = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}


def read(*items, resources=(), version=None):
    def list_of(api_version, kind):
        return [item for item in items if (item["apiVersion"], item["kind"]) == (api_version, kind)]

    return target_facts(list_of, resources, version or {"major": "1", "minor": "36"}, name="de", uid="u", namespaces=[SHOP])


@pytest.mark.parametrize(
    ("told", "version"),
    [({"major": "1", "minor": "36"}, (1, 36)), ({"major": "1", "minor": "30+"}, (1, 30)), ({}, (0, 0)), ({"major": "x"}, (0, 0))],
)
def test_versions_are_read_as_servers_write_them(told, version):
    assert version_of(told) == version


def test_classes_and_their_defaults():
    storage = [
        thing(
            "StorageClass",
            "old",
            "",
            "storage.k8s.io/v1",
            provisioner="a",
            metadata={**DEFAULT, "creationTimestamp": "2025-01-01T00:00:00Z"},
        ),
        thing(
            "StorageClass",
            "new",
            "",
            "storage.k8s.io/v1",
            provisioner="b",
            metadata={**DEFAULT, "creationTimestamp": "2026-01-01T00:00:00Z"},
        ),
        thing("StorageClass", "other", "", "storage.k8s.io/v1", provisioner="c"),
    ]
    found = read(
        *storage,
        thing("IngressClass", "traefik", "", "networking.k8s.io/v1"),
        thing("PriorityClass", "high", "", "scheduling.k8s.io/v1", value=5),
        thing("PriorityClass", "made", "", "scheduling.k8s.io/v1", value=6, metadata=OURS),
        thing("RuntimeClass", "gvisor", "", "node.k8s.io/v1"),
        thing("ClusterRole", "view", "", "rbac.authorization.k8s.io/v1"),
    )
    assert found.storage_classes == {"old": "a", "new": "b", "other": "c"}
    assert found.default_storage_class == "new"
    assert (found.ingress_classes, found.default_ingress_class) == ({"traefik"}, "")
    assert found.priority_classes == {"high": 5, "made": 6}
    assert (found.has_priority("high"), found.has_priority("made"), found.has_priority("none")) == (True, False, False)
    assert (found.runtime_classes, found.roles) == ({"gvisor"}, {"view"})


def test_ports_and_addresses_that_are_taken():
    spec = {"ports": [{"port": 80, "nodePort": 30980}], "healthCheckNodePort": 31000, "loadBalancerIP": "192.0.2.1"}
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"hostname": "lb.example.org"}]}}
    found = read(thing("Service", "web", "other", spec=spec, status=status))
    assert found.node_ports == {"30980/TCP": "other/web", "31000/TCP": "other/web"}
    assert found.load_balancer_ips == {"192.0.2.1": "other/web", "192.0.2.2": "other/web"}


def test_definitions_and_whose_they_are():
    spec = {
        "group": "a.org",
        "scope": "Cluster",
        "names": {"kind": "Shop", "plural": "shops"},
        "versions": [{"name": "v2", "served": True}, {"name": "v1", "served": True}, {"name": "v0", "served": False}],
    }
    found = read(thing("CustomResourceDefinition", "shops.a.org", "", "apiextensions.k8s.io/v1", spec=spec, metadata=OURS))
    one = found.definitions["shops.a.org"]
    assert (one.sort, one.namespaced, one.served, one.ours) == (("a.org", "Shop"), False, ("v1", "v2"), True)


def test_quotas_and_limits_of_the_namespaces_only():
    hard = {"pods": "3", "requests.memory": "1Gi"}
    quotas = [
        thing("ResourceQuota", "a", spec={"hard": hard}, status={"used": {"pods": "1"}}),
        thing("ResourceQuota", "b", spec={"hard": {}, "scopes": ["BestEffort"]}),
        thing("ResourceQuota", "a", "other", spec={"hard": hard}),
    ]
    limits = [
        thing("LimitRange", "l", name, spec={"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "1m"}}]})
        for name in (SHOP, "other")
    ]
    found = read(*quotas, *limits)
    assert found.quotas == (
        Quota(SHOP, "a", {"pods": Fraction(3), "requests.memory": Fraction(2**30)}, {"pods": Fraction(1)}),
        Quota(SHOP, "b", {}, {}, scoped=True),
    )
    assert found.limits == (Limit(SHOP, "l", "Container", {"cpu": Fraction(1)}, {"cpu": Fraction(1, 1000)}),)


def test_nodes_and_what_they_tell():
    status = {
        "allocatable": {"cpu": "3500m", "memory": "8Gi", "pods": "110"},
        "nodeInfo": {"architecture": "arm64"},
        "images": [{"names": ["docker.io/library/busybox@sha256:aa", "busybox:1.37"]}, {"names": None}],
    }
    found = read(thing("Node", "de-1", "", spec={"unschedulable": True}, status=status, metadata={"labels": {"a": "b"}}))
    images = frozenset({"docker.io/library/busybox@sha256:aa", "docker.io/library/busybox:1.37"})
    assert found.nodes == (Node("de-1", {"a": "b"}, Fraction(7, 2), Fraction(2**33), 110, "arm64", False, images),)


def test_what_is_served_namespaces_and_free_volumes():
    volumes = [
        thing(
            "PersistentVolume",
            name,
            "",
            spec={"storageClassName": "by-hand", "capacity": {"storage": "1Gi"}},
            status={"phase": phase},
        )
        for name, phase in (("a", "Available"), ("b", "Bound"))
    ]
    active = {**thing("Namespace", "blog", ""), "status": {"phase": "Active"}}
    going = thing("Namespace", SHOP, "", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}, status={"phase": "Active"})
    found = read(*volumes, active, going, resources=[Resource("apps", "v1", "Deployment", "deployments", namespaced=True)])
    assert found.served == {("apps/v1", "Deployment")}
    assert found.namespaces == {"blog": "Active", SHOP: "Terminating"}
    assert found.free_volumes == (("by-hand", 2**30),)
