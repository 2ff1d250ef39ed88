# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that are others at the target: classes, and where images come from. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..backends.cluster import Object
from .ordering import group_of
from .request import Mappings
from .templates import containers, pod_spec

_INGRESS_ANNOTATION = "kubernetes.io/ingress.class"
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def mapped(item: Object, mappings: Mappings) -> Iterator[str]:
    """Change the names in the object itself; tells each change as ``old → new``."""
    kind = (group_of(item), item["kind"])
    spec = item.get("spec") or {}
    annotations = item["metadata"].get("annotations") or {}
    if kind == ("networking.k8s.io", "Ingress"):
        yield from _renamed(spec, "ingressClassName", mappings.ingress_classes)
        yield from _renamed(annotations, _INGRESS_ANNOTATION, mappings.ingress_classes)
    if kind == ("", "PersistentVolumeClaim"):
        yield from _renamed(spec, "storageClassName", mappings.storage_classes)
        yield from _renamed(annotations, _CLASS_ANNOTATION, mappings.storage_classes)
    if kind == ("apps", "StatefulSet"):
        for claim in spec.get("volumeClaimTemplates") or ():
            yield from _renamed(claim.get("spec") or {}, "storageClassName", mappings.storage_classes)
    pod = pod_spec(item)
    if pod:
        yield from _renamed(pod, "priorityClassName", mappings.priority_classes)
        for container in containers(pod):
            yield from _image(container, mappings.images)


def image_at_target(image: str, images: Mapping[str, str]) -> str:
    """By the longest prefix that ends where a part of the name does."""
    for prefix in sorted(images, key=len, reverse=True):
        rest = image[len(prefix) :]
        if image.startswith(prefix) and (not rest or prefix.endswith("/") or rest[0] in "/:@"):
            return images[prefix] + rest
    return image


def _image(container: Object, images: Mapping[str, str]) -> Iterator[str]:
    image = str(container.get("image", ""))
    new = image_at_target(image, images)
    if new != image:
        container["image"] = new
        yield f"image {image} → {new}"


def _renamed(found: Object, key: str, names: Mapping[str, str]) -> Iterator[str]:
    old = str(found.get(key, ""))
    if old in names and names[old] != old:
        found[key] = names[old]
        yield f"{_WORDS[key]} {old} → {names[old]}"


_WORDS = {
    "ingressClassName": "ingress class",
    _INGRESS_ANNOTATION: "ingress class",
    "storageClassName": "storage class",
    _CLASS_ANNOTATION: "storage class",
    "priorityClassName": "priority class",
}
