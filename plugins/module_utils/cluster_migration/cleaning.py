# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An object of the old cluster as it may be given to the new one: without what only the old one means by it. Pure.

Finalizers of Kubernetes itself go, as the target sets its own; those of users and operators stay with the object. Owners go too,
as their UIDs are the old ones: they are given back, for whoever knows the new UIDs. To clean twice is to clean once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from ..backends.cluster import Object
from .mapping import Mappings, map_object
from .objects import (
    TOKEN_PATH,
    containers,
    copied,
    is_token_name,
    is_token_volume,
    listed,
    owners_of,
    part,
    pod_spec,
    sort_of,
    spec_of,
)
from .resting import served_from
from .scope import TOKEN, local_subjects

_IDENTITY = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "generateName")
_DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds")
_ANNOTATIONS = frozenset(
    """kubectl.kubernetes.io/last-applied-configuration deployment.kubernetes.io/revision deployment.kubernetes.io/desired-replicas
    deployment.kubernetes.io/max-replicas deployment.kubernetes.io/revision-history deprecated.daemonset.template.generation
    volume.kubernetes.io/selected-node volume.kubernetes.io/storage-provisioner volume.beta.kubernetes.io/storage-provisioner
    volume.kubernetes.io/storage-resizer control-plane.alpha.kubernetes.io/leader kubernetes.io/service-account.uid
    endpoints.kubernetes.io/last-change-trigger-time batch.kubernetes.io/job-tracking autoscaling.alpha.kubernetes.io/conditions
    autoscaling.alpha.kubernetes.io/current-metrics k8s.v1.cni.cncf.io/network-status field.cattle.io/projectId cattle.io/status
    scheduler.alpha.kubernetes.io/node""".split()
)
_ANNOTATIONS_OF = ("pv.kubernetes.io/", "federation.virt8ra.eu/", "cni.projectcalico.org/", "lifecycle.cattle.io/")
_FINALIZERS = ("foregroundDeletion", "orphan", "kubernetes")
_JOB_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
# Admission computes these anew for a pod, and refuses others.
_ADMITTED = ("priority", "preemptionPolicy", "overhead")


@dataclass(frozen=True)
class Cleaned:
    """``removed`` and ``mapped`` say what was done, each sort of it once; ``owners`` are those that the object had, with old UIDs."""

    object: Object
    removed: tuple[str, ...] = ()
    mapped: tuple[str, ...] = ()
    owners: tuple[dict[str, Any], ...] = ()


class _Knife:
    """Takes things out of mappings, and remembers what they were."""

    def __init__(self) -> None:
        self.removed: set[str] = set()

    def cut(self, place: dict[str, Any], what: str, *keys: str) -> None:
        for key in keys:
            if key in place:
                del place[key]
                self.removed.add(what)

    def keep(self, place: dict[str, Any], key: str, kept: list[Any], what: str) -> None:
        """Only these items of a list; without any, the list goes too."""
        there = place.get(key) or []
        if not isinstance(there, list) or len(kept) != len(there):
            self.removed.add(what)
            place[key] = kept
        if not kept and key in place:
            del place[key]


def cleaned(item: Object, mappings: Mappings) -> Cleaned:
    """The object for the target; ``item`` stays as it is."""
    owners = owners_of(item)
    made: Object = copied(item)
    knife = _Knife()
    _clean_metadata(made["metadata"], knife)
    knife.cut(made, "status", "status")
    clean = _CLEANERS.get(sort_of(made))
    if clean is not None:
        clean(made, mappings, knife)
    spec = pod_spec(made)
    if spec and sort_of(made) != ("", "Pod"):
        _clean_template(made, spec, knife)
    mapped = map_object(made, mappings)
    return Cleaned(made, tuple(sorted(knife.removed)), mapped, owners)


def _clean_metadata(metadata: dict[str, Any], knife: _Knife) -> None:
    knife.cut(metadata, "identity", *_IDENTITY)
    knife.cut(metadata, "deletion", *_DELETION)
    knife.cut(metadata, "owner UIDs", "ownerReferences")
    finalizers = [name for name in metadata.get("finalizers") or () if not _is_kubernetes_own(str(name))]
    knife.keep(metadata, "finalizers", finalizers, "finalizers of Kubernetes")
    annotations = metadata.get("annotations") or {}
    for key in list(annotations):
        if key in _ANNOTATIONS or key.startswith(_ANNOTATIONS_OF):
            knife.cut(annotations, "annotations of the old cluster", key)
    labels = metadata.get("labels") or {}
    knife.cut(labels, "labels of the old cluster", "kubernetes.io/metadata.name", "objectset.rio.cattle.io/hash")
    for key in ("annotations", "labels"):
        if key in metadata and not metadata[key]:
            del metadata[key]


def _is_kubernetes_own(finalizer: str) -> bool:
    """``foregroundDeletion``, ``kubernetes.io/pvc-protection``, ``service.kubernetes.io/load-balancer-cleanup``, …"""
    domain = f".{finalizer.partition('/')[0]}"
    return finalizer in _FINALIZERS or domain.endswith((".kubernetes.io", ".k8s.io"))


# Pods and what makes them


def _clean_template(item: Object, spec: dict[str, Any], knife: _Knife) -> None:
    """A pod template is the user's own; but somebody may have pinned it to a node, or copied a pod's spec."""
    knife.cut(spec, "node name", "nodeName")
    _drop_token(spec, knife)
    job = part(item, "spec", "jobTemplate")
    for metadata in (part(item, "spec", "template", "metadata"), part(job, "metadata"), part(job, "spec", "template", "metadata")):
        if metadata.get("creationTimestamp", "") is None:
            del metadata["creationTimestamp"]


def _clean_pod(item: Object, mappings: Mappings, knife: _Knife) -> None:
    spec = spec_of(item)
    knife.cut(spec, "node name", "nodeName")
    knife.cut(spec, "what admission sets", *_ADMITTED)
    knife.cut(spec, "ephemeral containers", "ephemeralContainers")
    _drop_token(spec, knife)


def _drop_token(spec: dict[str, Any], knife: _Knife) -> None:
    account = str(spec.get("serviceAccountName") or "default")
    volumes = listed(spec, "volumes")
    tokens = {str(volume["name"]) for volume in volumes if is_token_volume(volume, account)}
    # A Secret that somebody mounted himself stays: only a mount at the server's own path is the server's.
    mounted = {
        str(mount.get("name"))
        for container in containers(spec)
        for mount in listed(container, "volumeMounts")
        if str(mount.get("mountPath", "")).rstrip("/") == TOKEN_PATH
    }
    tokens &= mounted
    if not tokens:
        return
    knife.keep(spec, "volumes", [volume for volume in volumes if volume.get("name") not in tokens], "token volume")
    for container in containers(spec):
        mounts = [mount for mount in listed(container, "volumeMounts") if mount.get("name") not in tokens]
        knife.keep(container, "volumeMounts", mounts, "token volume")


def _clean_job(item: Object, mappings: Mappings, knife: _Knife) -> None:
    """The selector and its labels are the API server's, unless somebody said that they are his."""
    spec = spec_of(item)
    if spec.get("manualSelector"):
        return
    knife.cut(spec, "selector of the job's UID", "selector")
    for labels in (part(item, "metadata", "labels"), part(spec, "template", "metadata", "labels")):
        knife.cut(labels, "selector of the job's UID", *_JOB_LABELS)
    for metadata in (part(item, "metadata"), part(spec, "template", "metadata")):
        if "labels" in metadata and not metadata["labels"]:
            del metadata["labels"]


def _clean_stateful_set(item: Object, mappings: Mappings, knife: _Knife) -> None:
    for claim in listed(item, "spec", "volumeClaimTemplates"):
        knife.cut(claim, "status", "status")
        metadata = part(claim, "metadata")
        if metadata.get("creationTimestamp", "") is None:
            del metadata["creationTimestamp"]


# Network


def _clean_service(item: Object, mappings: Mappings, knife: _Knife) -> None:
    """Address families stay as they were asked for; addresses are the target's. A headless service stays headless."""
    spec = spec_of(item)
    if spec.get("clusterIP") != "None":
        knife.cut(spec, "cluster IP", "clusterIP", "clusterIPs")
    if not mappings.keep_node_ports:
        knife.cut(spec, "node port", "healthCheckNodePort")
        for port in listed(spec, "ports"):
            knife.cut(port, "node port", "nodePort")
    if not mappings.keep_load_balancer_ips:
        knife.cut(spec, "load balancer IP", "loadBalancerIP")


def _clean_endpoints(item: Object, mappings: Mappings, knife: _Knife) -> None:
    for subset in listed(item, "subsets"):
        for address in (*listed(subset, "addresses"), *listed(subset, "notReadyAddresses")):
            knife.cut(address, "node name", "nodeName", "targetRef")


def _clean_slice(item: Object, mappings: Mappings, knife: _Knife) -> None:
    for endpoint in listed(item, "endpoints"):
        knife.cut(endpoint, "node name", "nodeName", "targetRef", "zone", "hints")


# Storage, accounts, rules


def _clean_claim(item: Object, mappings: Mappings, knife: _Knife) -> None:
    """The data comes by itself: not by a snapshot, nor by picking out one of the old cluster's volumes."""
    knife.cut(spec_of(item), "volume of the claim", "volumeName", "selector", "dataSource", "dataSourceRef")


def _clean_account(item: Object, mappings: Mappings, knife: _Knife) -> None:
    name = str(item["metadata"]["name"])
    for key in ("secrets", "imagePullSecrets"):
        own = [one for one in listed(item, key) if not is_token_name(str(one.get("name", "")), name)]
        knife.keep(item, key, own, "token Secret")


def _clean_secret(item: Object, mappings: Mappings, knife: _Knife) -> None:
    """A token's Secret goes along empty: the target fills it."""
    if item.get("type") == TOKEN:
        knife.cut(item, "token", "data", "stringData")
        knife.cut(part(item, "metadata", "labels"), "labels of the old cluster", "kubernetes.io/legacy-token-last-used")
        if not item["metadata"].get("labels", True):
            del item["metadata"]["labels"]


def _clean_namespace(item: Object, mappings: Mappings, knife: _Knife) -> None:
    item.pop("spec", None)


def _clean_role(item: Object, mappings: Mappings, knife: _Knife) -> None:
    if item.get("aggregationRule"):
        knife.cut(item, "gathered rules", "rules")


def _clean_binding(item: Object, mappings: Mappings, knife: _Knife) -> None:
    knife.keep(item, "subjects", local_subjects(item, mappings.namespaces), "subjects elsewhere")


def _clean_webhooks(item: Object, mappings: Mappings, knife: _Knife) -> None:
    knife.keep(item, "webhooks", served_from(item, mappings.namespaces), "webhooks answered elsewhere")


def _clean_priority(item: Object, mappings: Mappings, knife: _Knife) -> None:
    """What pods without a class get is the target's affair."""
    if item.get("globalDefault"):
        knife.cut(item, "global default", "globalDefault")


_Clean = Callable[[Object, Mappings, _Knife], None]
_CLEANERS: Mapping[tuple[str, str], _Clean] = {
    ("", "Pod"): _clean_pod,
    ("", "Service"): _clean_service,
    ("", "Endpoints"): _clean_endpoints,
    ("", "PersistentVolumeClaim"): _clean_claim,
    ("", "ServiceAccount"): _clean_account,
    ("", "Secret"): _clean_secret,
    ("", "Namespace"): _clean_namespace,
    ("apps", "StatefulSet"): _clean_stateful_set,
    ("batch", "Job"): _clean_job,
    ("discovery.k8s.io", "EndpointSlice"): _clean_slice,
    ("rbac.authorization.k8s.io", "ClusterRole"): _clean_role,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _clean_binding,
    ("scheduling.k8s.io", "PriorityClass"): _clean_priority,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _clean_webhooks,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _clean_webhooks,
}
