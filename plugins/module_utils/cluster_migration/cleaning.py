# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An object as the target gets it: without what belongs to the old cluster, with the target's names. Pure."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Callable

from ..backends.cluster import Object
from .mapping import mapped
from .ordering import group_of
from .request import Mappings
from .scope import subjects_within
from .templates import containers, pod_spec

_KEPT = ("name", "namespace", "labels", "annotations", "finalizers")
_TOLD = {"ownerReferences": "owner references", "managedFields": "field managers", "deletionTimestamp": "deletion"}
_CLUSTERS_FINALIZERS = ("foregroundDeletion", "orphan", "kubernetes")
# Annotations of the cluster's own controllers and of tools that remember what they applied.
_ANNOTATIONS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/",
    "deprecated.daemonset.template.generation",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/storage-provisioner",
    "endpoints.kubernetes.io/",
    "autoscaling.alpha.kubernetes.io/conditions",
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "batch.kubernetes.io/job-tracking",
    "kubernetes.io/service-account.uid",
    "cattle.io/status",
    "lifecycle.cattle.io/",
    "federation.virt8ra.eu/",
)
_JOB_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name")


@dataclass(frozen=True)
class Cleaned:
    """The object for the target; ``removed`` and ``changed``: what was taken off it and renamed, in a few words each."""

    object: Object
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def cleaned(item: Object, mappings: Mappings, namespaces: frozenset[str] = frozenset()) -> Cleaned:
    """``item`` itself stays as it is. Cleaning what is clean changes nothing.

    :param namespaces: the chosen ones, to whose service accounts bindings of the whole cluster are cut down
    """
    removed: list[str] = []
    target = {key: copy.deepcopy(value) for key, value in item.items() if key not in ("metadata", "status")}
    if item.get("status"):
        removed.append("status")
    target["metadata"] = _metadata(item, removed)
    clean = _CLEANERS.get((group_of(item), item["kind"]))
    if clean is not None:
        clean(target, mappings, removed)
    if item["kind"] == "ClusterRoleBinding" and namespaces:
        _cut(target, namespaces, removed)
    return Cleaned(target, tuple(dict.fromkeys(removed)), tuple(mapped(target, mappings)))


def _metadata(item: Object, removed: list[str]) -> Object:
    found = item["metadata"]
    kept: Object = {key: copy.deepcopy(found[key]) for key in _KEPT if found.get(key) not in (None, {}, [])}
    removed += [words for key, words in _TOLD.items() if found.get(key)]
    annotations = {key: value for key, value in (kept.pop("annotations", None) or {}).items() if not key.startswith(_ANNOTATIONS)}
    if annotations:
        kept["annotations"] = annotations
    if len(annotations) < len(found.get("annotations") or {}):
        removed.append("annotations of the cluster")
    finalizers = [one for one in kept.pop("finalizers", None) or () if not _is_clusters(one)]
    if finalizers:
        kept["finalizers"] = finalizers
    if len(finalizers) < len(found.get("finalizers") or ()):
        removed.append("finalizers of the cluster")
    return kept


def _is_clusters(finalizer: str) -> bool:
    owner = finalizer.split("/")[0]
    return finalizer in _CLUSTERS_FINALIZERS or owner == "kubernetes.io" or owner.endswith((".kubernetes.io", ".k8s.io"))


def _drop(found: Any, removed: list[str], words: str, *keys: str) -> None:
    for key in keys:
        if key in found:
            del found[key]
            removed.append(words)


def _namespace(item: Object, _mappings: Mappings, removed: list[str]) -> None:
    item.pop("spec", None)
    labels = item["metadata"].get("labels") or {}
    labels.pop("kubernetes.io/metadata.name", None)
    if not labels:
        item["metadata"].pop("labels", None)


def _service(item: Object, mappings: Mappings, removed: list[str]) -> None:
    spec = item.get("spec") or {}
    if spec.get("clusterIP") != "None":
        _drop(spec, removed, "cluster IPs", "clusterIP", "clusterIPs")
    if mappings.node_ports == "new":
        _drop(spec, removed, "node ports", "healthCheckNodePort")
        for port in spec.get("ports") or ():
            _drop(port, removed, "node ports", "nodePort")
    if mappings.load_balancer_ips == "new":
        _drop(spec, removed, "load balancer IPs", "loadBalancerIP")


def _claim(item: Object, _mappings: Mappings, removed: list[str]) -> None:
    spec = item.get("spec") or {}
    _drop(spec, removed, "names of volumes", "volumeName")
    # The data comes along; whence the old volume was made says nothing at the target.
    _drop(spec, removed, "sources of volumes", "dataSource", "dataSourceRef")


def _job(item: Object, _mappings: Mappings, removed: list[str]) -> None:
    spec = item.get("spec") or {}
    if spec.get("manualSelector"):
        return
    _drop(spec, removed, "selectors of Jobs", "selector")
    for metadata in (item["metadata"], (spec.get("template") or {}).get("metadata") or {}):
        labels = metadata.get("labels") or {}
        for label in _JOB_LABELS:
            _drop(labels, removed, "selectors of Jobs", label)
        if "labels" in metadata and not labels:
            del metadata["labels"]


def _pod(item: Object, _mappings: Mappings, removed: list[str]) -> None:
    spec = pod_spec(item)
    _drop(spec, removed, "names of nodes", "nodeName")
    _drop(spec, removed, "priorities as numbers", "priority", "preemptionPolicy")
    _drop(spec, removed, "containers put in by hand", "ephemeralContainers")
    tokens = {volume["name"] for volume in spec.get("volumes") or () if str(volume.get("name", "")).startswith("kube-api-access-")}
    if not tokens:
        return
    removed.append("tokens")
    spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] not in tokens]
    for container in containers(spec):
        container["volumeMounts"] = [mount for mount in container.get("volumeMounts") or () if mount["name"] not in tokens]


def _secret(item: Object, _mappings: Mappings, removed: list[str]) -> None:
    """The target fills it in for its own service account."""
    if item.get("type") == "kubernetes.io/service-account-token":
        _drop(item, removed, "tokens", "data", "stringData")


def _service_account(item: Object, _mappings: Mappings, removed: list[str]) -> None:
    _drop(item, removed, "tokens", "secrets")


def _definition(item: Object, _mappings: Mappings, removed: list[str]) -> None:
    """What the server fills in by itself."""
    spec = item["spec"]
    if spec.get("preserveUnknownFields") is False:
        del spec["preserveUnknownFields"]


def _cluster_role(item: Object, _mappings: Mappings, removed: list[str]) -> None:
    if item.get("aggregationRule") and item.get("rules"):
        item["rules"] = []
        removed.append("gathered rules")


def _stateful_set(item: Object, _mappings: Mappings, removed: list[str]) -> None:
    for claim in (item.get("spec") or {}).get("volumeClaimTemplates") or ():
        claim.pop("status", None)
        (claim.get("metadata") or {}).pop("creationTimestamp", None)


_CLEANERS: dict[tuple[str, str], Callable[[Object, Mappings, list[str]], None]] = {
    ("", "Namespace"): _namespace,
    ("", "Service"): _service,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "Secret"): _secret,
    ("", "ServiceAccount"): _service_account,
    ("batch", "Job"): _job,
    ("apps", "StatefulSet"): _stateful_set,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("rbac.authorization.k8s.io", "ClusterRole"): _cluster_role,
}


def _cut(item: Object, namespaces: frozenset[str], removed: list[str]) -> None:
    subjects = subjects_within(item, namespaces)
    if len(subjects) < len(item.get("subjects") or ()):
        removed.append("subjects of other namespaces")
    item["subjects"] = subjects
