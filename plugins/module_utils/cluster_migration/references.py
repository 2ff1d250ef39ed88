# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one object needs beside itself: classes, images, ports, Secrets, nodes of a sort. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backends.cluster import Object
from .mapping import STORAGE_CLASS
from .objects import (
    INGRESS_CLASS,
    annotations_of,
    containers,
    images_of,
    listed,
    part,
    pod_spec,
    sort_of,
    spec_of,
)


@dataclass
class References:
    """Names. ``storage_classes``: an empty one for a claim that wants none, ``default_storage`` where it leaves it to the cluster.

    ``secrets``, ``config_maps``, ``claims`` and ``accounts`` must be in the object's namespace; what is optional is left out.
    ``old_ingress_classes`` are named by the annotation only. ``labels`` are those a node must have; ``host_paths`` folders of nodes.
    """

    storage_classes: set[str] = field(default_factory=set)
    default_storage: bool = False
    ingress_classes: set[str] = field(default_factory=set)
    old_ingress_classes: set[str] = field(default_factory=set)
    priority_classes: set[str] = field(default_factory=set)
    runtime_classes: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    config_maps: set[str] = field(default_factory=set)
    claims: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    labels: set[tuple[str, str]] = field(default_factory=set)
    host_paths: set[str] = field(default_factory=set)
    node_ports: set[tuple[int, str]] = field(default_factory=set)
    load_balancer_ips: set[str] = field(default_factory=set)


def references(item: Object) -> References:
    """Of one object, best of a cleaned one; of custom resources nobody can tell."""
    found = References()
    spec = pod_spec(item)
    if spec:
        _of_pod(spec, found)
    sort = sort_of(item)
    if sort == ("", "PersistentVolumeClaim"):
        _of_claim(item, found)
    elif sort == ("apps", "StatefulSet"):
        for claim in listed(item, "spec", "volumeClaimTemplates"):
            _of_claim(claim, found)
    elif sort == ("networking.k8s.io", "Ingress"):
        _of_ingress(item, found)
    elif sort == ("", "Service"):
        _of_service(item, found)
    elif sort == ("", "ServiceAccount"):
        found.secrets |= {str(one["name"]) for one in listed(item, "imagePullSecrets") if one.get("name")}
    return found


def _of_claim(claim: Mapping[str, Any], found: References) -> None:
    named = spec_of(claim).get("storageClassName", part(claim, "metadata", "annotations").get(STORAGE_CLASS))
    if named is None:
        found.default_storage = True
    else:
        found.storage_classes.add(str(named))


def _of_ingress(item: Object, found: References) -> None:
    named, old = spec_of(item).get("ingressClassName"), annotations_of(item).get(INGRESS_CLASS)
    if named:
        found.ingress_classes.add(str(named))
    elif old:
        found.old_ingress_classes.add(str(old))
    found.secrets |= {str(one["secretName"]) for one in listed(item, "spec", "tls") if one.get("secretName")}


def _of_service(item: Object, found: References) -> None:
    spec = spec_of(item)
    for port in listed(spec, "ports"):
        if port.get("nodePort"):
            found.node_ports.add((int(port["nodePort"]), str(port.get("protocol", "TCP"))))
    if spec.get("healthCheckNodePort"):
        found.node_ports.add((int(spec["healthCheckNodePort"]), "TCP"))
    if spec.get("loadBalancerIP"):
        found.load_balancer_ips.add(str(spec["loadBalancerIP"]))


def _of_pod(spec: Mapping[str, Any], found: References) -> None:
    found.images |= images_of(spec)
    for key, names in (("priorityClassName", found.priority_classes), ("runtimeClassName", found.runtime_classes)):
        if spec.get(key):
            names.add(str(spec[key]))
    found.accounts.add(str(spec.get("serviceAccountName") or "default"))
    found.secrets |= {str(one["name"]) for one in listed(spec, "imagePullSecrets") if one.get("name")}
    found.labels |= _labels(spec)
    for volume in listed(spec, "volumes"):
        _of_volume(volume, found)
    for container in containers(spec):
        _of_environment(container, found)


def _labels(spec: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Labels that a node must have: selectors, and required terms of affinity where there is only one way to meet them."""
    wanted = {(str(key), str(value)) for key, value in part(spec, "nodeSelector").items()}
    required = part(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = listed(required, "nodeSelectorTerms")
    if len(terms) == 1:
        for one in listed(terms[0], "matchExpressions"):
            if one.get("operator") == "In" and len(one.get("values") or ()) == 1:
                wanted.add((str(one["key"]), str(one["values"][0])))
    return wanted


def _of_volume(volume: Mapping[str, Any], found: References) -> None:
    _add(found.secrets, part(volume, "secret"), "secretName")
    _add(found.config_maps, part(volume, "configMap"), "name")
    _add(found.claims, part(volume, "persistentVolumeClaim"), "claimName")
    for source in listed(volume, "projected", "sources"):
        _add(found.secrets, part(source, "secret"), "name")
        _add(found.config_maps, part(source, "configMap"), "name")
    path = part(volume, "hostPath").get("path")
    if path:
        found.host_paths.add(str(path))
    template = part(volume, "ephemeral", "volumeClaimTemplate")
    if template:
        _of_claim(template, found)


def _of_environment(container: Mapping[str, Any], found: References) -> None:
    for one in listed(container, "env"):
        _add(found.secrets, part(one, "valueFrom", "secretKeyRef"), "name")
        _add(found.config_maps, part(one, "valueFrom", "configMapKeyRef"), "name")
    for one in listed(container, "envFrom"):
        _add(found.secrets, part(one, "secretRef"), "name")
        _add(found.config_maps, part(one, "configMapRef"), "name")


def _add(names: set[str], reference: Mapping[str, Any], key: str) -> None:
    if reference.get(key) and not reference.get("optional"):
        names.add(str(reference[key]))
