# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of a cluster, as its API server tells them."""

from __future__ import annotations

from typing import Any

from ...backends.cluster import ClusterApi
from ...errors import NotFoundError
from .facts import Area

_ENFORCE = "pod-security.kubernetes.io/enforce"


def cluster_areas(api: ClusterApi) -> list[Area]:
    """All areas of a cluster, yet to be measured."""
    return [
        Area("volumes", "GET /api/v1/persistentvolumes", lambda: volumes(api)),
        Area("cluster_shape", "GET customresourcedefinitions and storageclasses", lambda: shape(api)),
        Area("pod_security", f"GET /api/v1/namespaces: label {_ENFORCE}", lambda: pod_security(api)),
        Area("version", "GET /version", lambda: dict(api.version())),
    ]


def _each(api: ClusterApi, version: str, kind: str) -> list[dict[str, Any]]:
    resource = api.resource(version, kind)
    if resource is None:
        raise NotFoundError(f"the cluster has no {kind} of {version}")
    return list(api.each(resource))


def volumes(api: ClusterApi) -> dict[str, Any]:
    """``{"volumes": [{"name", "source", "endpoints": [...]}]}``; no endpoint: the data is on a node."""
    found = []
    for one in _each(api, "v1", "PersistentVolume"):
        spec = one.get("spec", {})
        endpoints = [spec["nfs"]["server"]] if "nfs" in spec else [str(part) for part in spec.get("iscsi", {}).get("portals", [])]
        if "iscsi" in spec:
            endpoints.append(str(spec["iscsi"].get("targetPortal", "")))
        kinds = [key for key in ("nfs", "iscsi", "local", "hostPath", "csi") if key in spec]
        source = spec["csi"]["driver"] if "csi" in spec else "".join(kinds[:1])
        found.append({"name": one["metadata"]["name"], "source": source, "endpoints": endpoints})
    return {"volumes": sorted(found, key=lambda one: str(one["name"]))}


def shape(api: ClusterApi) -> dict[str, Any]:
    """``{"groups": [API groups of CRDs], "provisioners": [...]}``."""
    definitions = _each(api, "apiextensions.k8s.io/v1", "CustomResourceDefinition")
    classes = _each(api, "storage.k8s.io/v1", "StorageClass")
    return {
        "groups": sorted({str(one["spec"]["group"]) for one in definitions}),
        "provisioners": sorted({str(one["provisioner"]) for one in classes}),
    }


def pod_security(api: ClusterApi) -> dict[str, Any]:
    """``{"namespaces": [{"name", "enforce"}]}``; an empty ``enforce`` is whatever the API server has as its default."""
    found = [one["metadata"] for one in _each(api, "v1", "Namespace")]
    return {"namespaces": [{"name": one["name"], "enforce": one.get("labels", {}).get(_ENFORCE, "")} for one in found]}
