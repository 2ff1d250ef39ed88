# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects as a cluster gives them, and what the sample application is at a cluster that has run it; for tests of the pure parts."""

from __future__ import annotations

import copy
import functools
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import Object
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.request import Request
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.survey import Source, Survey
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.target_facts import Node, TargetFacts

from tests.applications import sample

SHOP = "shop"
POD = {"containers": [{"name": "web", "image": "busybox:1.37"}]}


def thing(kind: str, name: str, namespace: str = SHOP, version: str = "v1", **more: Any) -> Object:
    """``metadata`` among ``more`` is added to the name and namespace."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def owned(kind: str, name: str, version: str = "apps/v1", controller: bool = True) -> Object:
    """Metadata of what has such an owner."""
    return {"ownerReferences": [{"apiVersion": version, "kind": kind, "name": name, "uid": "u-1", "controller": controller}]}


def lived_in(item: Object, serial: int = 1) -> Object:
    """As an API server gives it back."""
    metadata = {
        **item["metadata"],
        "uid": f"00000000-0000-4000-8000-{serial:012d}",
        "resourceVersion": str(serial),
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl", "operation": "Update"}],
    }
    annotations = {**(metadata.get("annotations") or {}), "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    return {**item, "metadata": {**metadata, "annotations": annotations}, "status": {"observedGeneration": 2}}


def shop() -> list[Object]:
    """The sample application, lived in."""
    return [lived_in(item, serial) for serial, item in enumerate(written(), 1)]


@functools.lru_cache(maxsize=1)
def _written() -> tuple[Object, ...]:
    return tuple(sample.objects(SHOP))


def written() -> list[Object]:
    """The sample application as its files have it."""
    return copy.deepcopy(list(_written()))


def surveyed(*items: Object, request: Request | None = None, namespaces: tuple[str, ...] = (SHOP,)) -> Survey:
    survey = Survey(request or Request(), namespaces, Source("es", "uid-es", (1, 36)))
    for item in items:
        survey.add(item)
    return survey


def facts(*items: Object, **more: Any) -> TargetFacts:
    """A target that serves all Kubernetes kinds of these objects and of the sample, and has a class of each sort."""
    known: dict[str, Any] = {
        "name": "de",
        "uid": "uid-de",
        "version": (1, 36),
        "served": frozenset(
            (item["apiVersion"], item["kind"]) for item in (*items, *_written()) if "example" not in item["apiVersion"]
        ),
        "storage_classes": {"local-path": "rancher.io/local-path"},
        "default_storage_class": "local-path",
        "ingress_classes": frozenset({"traefik"}),
        "roles": frozenset({"view", "cluster-admin"}),
        "nodes": (Node("de-1", images=frozenset({"docker.io/library/busybox:1.37"})),),
    }
    return TargetFacts(**{**known, **more})
