# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other names at the target: of storage, ingress and priority classes, and of images. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backends.cluster import Object
from .objects import INGRESS_CLASS, annotations_of, containers, listed, part, pod_spec, sort_of, spec_of
from .request import KEEP, Request

# In old claims the class is an annotation.
STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_HUB = "docker.io"


@dataclass(frozen=True)
class Mappings:
    """What is called differently at the target, and what of an object goes along at all.

    ``namespaces``: those that move; what a binding or a webhook has elsewhere stays behind.
    """

    storage_classes: Mapping[str, str] = field(default_factory=dict)
    ingress_classes: Mapping[str, str] = field(default_factory=dict)
    priority_classes: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    keep_node_ports: bool = True
    keep_load_balancer_ips: bool = False
    namespaces: frozenset[str] = frozenset()

    @classmethod
    def of(cls, request: Request, namespaces: Collection[str]) -> Mappings:
        return cls(
            storage_classes=request.storage_classes,
            ingress_classes=request.ingress_classes,
            priority_classes=request.priority_classes,
            images=request.images,
            keep_node_ports=request.node_ports == KEEP,
            keep_load_balancer_ips=request.load_balancer_ips == KEEP,
            namespaces=frozenset(namespaces),
        )


def map_object(item: Object, mappings: Mappings) -> tuple[str, ...]:
    """Change names in the object itself; gives what was changed, as in ``storage class local-path → longhorn``, each once.

    Custom resources are not touched: nobody but their operator knows what their fields mean.
    """
    told: set[str] = set()
    spec = pod_spec(item)
    if spec:
        _rename(spec, "priorityClassName", mappings.priority_classes, "priority class", told)
        _map_images(spec, mappings.images, told)
    sort = sort_of(item)
    if sort == ("", "PersistentVolumeClaim"):
        _map_claim(item, mappings, told)
    elif sort == ("apps", "StatefulSet"):
        for claim in listed(item, "spec", "volumeClaimTemplates"):
            _map_claim(claim, mappings, told)
    elif sort == ("networking.k8s.io", "Ingress"):
        _rename(spec_of(item), "ingressClassName", mappings.ingress_classes, "ingress class", told)
        _rename(annotations_of(item), INGRESS_CLASS, mappings.ingress_classes, "ingress class", told)
    elif sort == ("", "ResourceQuota"):
        _map_quota(item, mappings, told)
    for volume in listed(spec, "volumes"):
        template = part(volume, "ephemeral", "volumeClaimTemplate")
        if template:
            _map_claim(template, mappings, told)
    return tuple(sorted(told))


def _map_claim(claim: Mapping[str, Any], mappings: Mappings, told: set[str]) -> None:
    _rename(spec_of(claim), "storageClassName", mappings.storage_classes, "storage class", told)
    _rename(part(claim, "metadata", "annotations"), STORAGE_CLASS, mappings.storage_classes, "storage class", told)


def _map_quota(item: Object, mappings: Mappings, told: set[str]) -> None:
    """A quota of a class is named for it: ``fast.storageclass.storage.k8s.io/requests.storage``."""
    hard = part(item, "spec", "hard")
    for key in list(hard):
        name, dot, rest = key.partition(".storageclass.storage.k8s.io/")
        new = mappings.storage_classes.get(name)
        if dot and new and new != name:
            hard[new + dot + rest] = hard.pop(key)
            told.add(f"storage class {name} → {new}")
    for one in listed(item, "spec", "scopeSelector", "matchExpressions"):
        if one.get("scopeName") == "PriorityClass" and one.get("values"):
            for old, new in mappings.priority_classes.items():
                if old in one["values"] and old != new:
                    one["values"] = sorted({new if value == old else value for value in one["values"]})
                    told.add(f"priority class {old} → {new}")


def _rename(place: dict[str, Any], key: str, names: Mapping[str, str], what: str, told: set[str]) -> None:
    old = place.get(key)
    new = names.get(old) if isinstance(old, str) else None
    if new and new != old:
        place[key] = new
        told.add(f"{what} {old} → {new}")


def _map_images(spec: dict[str, Any], images: Mapping[str, str], told: set[str]) -> None:
    if not images:
        return
    places = [(one, "image") for one in containers(spec)]
    places += [(part(volume, "image"), "reference") for volume in listed(spec, "volumes") if part(volume, "image")]
    for place, key in places:
        old = place.get(key)
        if isinstance(old, str):
            prefix, new = map_image(old, images)
            if new != old:
                place[key] = new
                told.add(f"image {prefix} → {images[prefix]}")


def map_image(image: str, images: Mapping[str, str]) -> tuple[str, str]:
    """``(prefix, new name)``: the longest beginning that is mapped is another one; ``("", image)`` where none is.

    A beginning ends where a part of the name ends: ``registry.es`` is none of ``registry.es.example.org/web``.
    """
    for name in dict.fromkeys((image, whole_name(image))):
        for prefix in sorted(images, key=lambda one: (-len(one), one)):
            rest = name[len(prefix) :]
            if name.startswith(prefix) and (not rest or rest[0] in "/:@"):
                return prefix, images[prefix] + rest
    return "", image


def whole_name(image: str) -> str:
    """``docker.io/library/busybox:1.37`` of ``busybox:1.37``, as nodes call it; ``:latest`` where there is neither tag nor digest."""
    first, slash, rest = image.partition("/")
    if not slash:
        image = f"{_HUB}/library/{image}"
    elif first != "localhost" and "." not in first and ":" not in first:
        image = f"{_HUB}/{image}"
    elif first in (_HUB, f"index.{_HUB}"):
        image = f"{_HUB}/{rest}" if "/" in rest else f"{_HUB}/library/{rest}"
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"
