# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The areas of a cluster, each with the requests by which it is measured; nothing is ever changed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ...backends.cluster import ClusterApi, Object, Resource
from ...backends.kubernetes.api import NAMESPACES
from ...backends.kubernetes.api_tls import api_tls
from ...backends.kubernetes.cluster_facts import NODES, STORAGE_CLASSES, nodes
from ...backends.kubernetes.node_facts import distribution
from ...errors import BackendError, NotFoundError
from . import cluster
from .fact import Fact, measured

_PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
_VOLUMES = Resource("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False)
_DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)


def cluster_facts(api: ClusterApi) -> dict[str, Fact]:
    """One that cannot be had keeps no other from being measured. Pods and nodes are listed once, whatever needs them."""
    seen = _Seen(api)
    return {
        "api_tls": measured(
            "TLS handshakes with the API server, as it likes best and in the versions before 1.2",
            lambda: api_tls(api.server),
        ),
        "images": measured("GET /api/v1/pods: image of each container", lambda: cluster.images(seen.pods())),
        "kubelet": measured("GET /api/v1/nodes/NAME/proxy/configz of each node", lambda: _kubelets(api, seen.nodes())),
        "nodes": measured("GET /api/v1/nodes", seen.nodes),
        "pod_security": measured(
            "GET /api/v1/namespaces: labels pod-security.kubernetes.io; GET /api/v1/pods: security contexts, host namespaces",
            lambda: cluster.pod_security(api.each(NAMESPACES), seen.pods()),
        ),
        "portability": measured(
            "GET customresourcedefinitions and storageclasses",
            lambda: cluster.portability(api.each(_DEFINITIONS), api.each(STORAGE_CLASSES)),
        ),
        "version": measured("GET /version; GET /api/v1/nodes: kubeletVersion", lambda: _version(api, seen.nodes())),
        "volumes": measured("GET /api/v1/persistentvolumes", lambda: cluster.volumes(api.each(_VOLUMES))),
    }


class _Seen:
    """What several areas are made of, listed when the first one asks."""

    def __init__(self, api: ClusterApi) -> None:
        self.pods = lru_cache(maxsize=1)(lambda: tuple(_slim(pod) for pod in api.each(_PODS)))
        self.nodes = lru_cache(maxsize=1)(lambda: nodes(api))


def _slim(pod: Object) -> dict[str, Any]:
    """Without status and managed fields, which are most of a pod."""
    metadata = cluster.mapping(pod.get("metadata"))
    return {"metadata": {key: metadata.get(key) for key in ("name", "namespace")}, "spec": pod.get("spec")}


def _version(api: ClusterApi, found: list[dict[str, Any]]) -> dict[str, Any]:
    told = api.version()["gitVersion"]
    return cluster.version(told, found, distribution(told))


def _kubelets(api: ClusterApi, found: list[dict[str, Any]]) -> dict[str, Any]:
    """``{"nodes": [{name, …}]}``; of all nodes or none, as what one node hides may be what is wrong."""
    away = [node["name"] for node in found if not node["ready"]]
    if away:
        remedy = "bring the node back, or take it out of the cluster"
        raise BackendError(f"node {away[0]} is not ready, so its kubelet was not asked", remedy=remedy)
    if not found:
        raise NotFoundError("the cluster has no node")
    return {"nodes": list(_each_kubelet(api, found))}


def _each_kubelet(api: ClusterApi, found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in found:
        configz = api.get(NODES, str(node["name"]), subresource="proxy/configz")
        if configz is None or "kubeletconfig" not in configz:
            remedy = "check that the API server reaches port 10250 of the node"
            raise BackendError(f"the kubelet of node {node['name']} did not tell its configuration", remedy=remedy)
        yield cluster.kubelet(str(node["name"]), configz)
