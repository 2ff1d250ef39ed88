# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster is and has, asked of its API server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...clusters import Cluster
from ...model import Site
from ..cluster import ClusterAccess, ClusterApi, Resource
from .api import NAMESPACES
from .connection import open_cluster
from .node_facts import distribution, node_record, storage_class_record

NODES = Resource("", "v1", "Node", "nodes", namespaced=False)
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False)
# A server that does not answer at once may be in a restart; half of the site's time is left for the answer itself.
_SHARE_OF_PATIENCE = 0.5


def cluster_facts(api: ClusterApi) -> dict[str, Any]:
    """``{name, server, uid, version, distribution, nodes, storage_classes, namespaces}``; sizes in bytes."""
    version = api.version()["gitVersion"]
    return {
        "name": api.name,
        "server": api.server,
        "uid": api.uid(),
        "version": version,
        "distribution": distribution(version),
        "nodes": nodes(api),
        "storage_classes": sorted(
            (storage_class_record(each) for each in api.each(STORAGE_CLASSES)), key=lambda each: str(each["name"])
        ),
        "namespaces": sum(1 for _each in api.each(NAMESPACES)),
    }


def nodes(api: ClusterApi) -> list[dict[str, Any]]:
    """The records of all nodes, by name."""
    return sorted((node_record(each) for each in api.each(NODES)), key=lambda each: str(each["name"]))


def readings(
    clusters: Sequence[tuple[Site, Cluster]], *, timeout: float, key: Callable[[str], str]
) -> dict[str, Callable[[], dict[str, Any]]]:
    """What reads the nodes of each cluster, by ``key`` of its name; a report is ``{"nodes": [record, …]}``."""

    def reading(cluster: Cluster) -> Callable[[], dict[str, Any]]:
        access = ClusterAccess(cluster.kubeconfig, cluster.context, int(timeout * _SHARE_OF_PATIENCE))

        def read() -> dict[str, Any]:
            api = open_cluster(access)
            try:
                return {"nodes": nodes(api)}
            finally:
                api.close()

        return read

    return {key(cluster.name): reading(cluster) for _site, cluster in clusters}
