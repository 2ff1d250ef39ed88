# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be known of the target before anything goes there: plain data, read from its lists. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Callable

from ..backends.cluster import Object, Resource
from .amounts import quantity
from .mapping import whole_name
from .objects import annotations_of, labels_of, listed, name_of, part, spec_of
from .outside import Definition
from .references import references
from .store import MIGRATION

_DEFAULT_STORAGE = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
ListOf = Callable[[str, str], Iterable[Object]]


@dataclass(frozen=True)
class Node:
    """What pods may have of a node, and what it is; CPUs, bytes, pods. ``images`` by their whole names, as far as it tells them."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    cpu: Fraction = Fraction(0)
    memory: Fraction = Fraction(0)
    pods: int = 0
    architecture: str = ""
    schedulable: bool = True
    images: frozenset[str] = frozenset()

    @classmethod
    def from_object(cls, item: Object) -> Node:
        has = part(item, "status", "allocatable")
        names = {str(name) for image in listed(item, "status", "images") for name in image.get("names") or ()}
        return cls(
            name=str(item["metadata"]["name"]),
            labels=dict(labels_of(item)),
            cpu=quantity(has.get("cpu", 0)),
            memory=quantity(has.get("memory", 0)),
            pods=int(quantity(has.get("pods", 0))),
            architecture=str(part(item, "status", "nodeInfo").get("architecture", "")),
            schedulable=not spec_of(item).get("unschedulable"),
            images=frozenset(whole_name(name) for name in names),
        )


@dataclass(frozen=True)
class Quota:
    """A ResourceQuota: what may be used in all, and what is. ``scoped``: it counts some objects only."""

    namespace: str
    name: str
    hard: Mapping[str, Fraction]
    used: Mapping[str, Fraction]
    scoped: bool = False


@dataclass(frozen=True)
class Limit:
    """What a LimitRange lets one thing of a type have, at most and at least."""

    namespace: str
    name: str
    type: str
    most: Mapping[str, Fraction]
    least: Mapping[str, Fraction]


@dataclass(frozen=True)
class TargetFacts:
    """``served``: ``(api version, kind)``. ``storage_classes``, ``priority_classes``: name to provisioner, and to value.

    ``node_ports`` (``30980/TCP``) and ``load_balancer_ips``: to the Service (``shop/web``) that has them. ``namespaces``: to
    their phase. ``free_volumes``: ``(class, bytes)`` of volumes that no claim has. ``ours``: PriorityClasses that a migration made.
    """

    name: str
    uid: str = ""
    version: tuple[int, int] = (0, 0)
    served: frozenset[tuple[str, str]] = frozenset()
    storage_classes: Mapping[str, str] = field(default_factory=dict)
    default_storage_class: str = ""
    ingress_classes: frozenset[str] = frozenset()
    default_ingress_class: str = ""
    priority_classes: Mapping[str, int] = field(default_factory=dict)
    runtime_classes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    node_ports: Mapping[str, str] = field(default_factory=dict)
    load_balancer_ips: Mapping[str, str] = field(default_factory=dict)
    namespaces: Mapping[str, str] = field(default_factory=dict)
    quotas: tuple[Quota, ...] = ()
    limits: tuple[Limit, ...] = ()
    nodes: tuple[Node, ...] = ()
    free_volumes: tuple[tuple[str, int], ...] = ()
    ours: frozenset[str] = frozenset()

    def has_priority(self, name: str) -> bool:
        """Whether it has this PriorityClass of its own."""
        return name in self.priority_classes and name not in self.ours


def version_of(told: Mapping[str, str]) -> tuple[int, int]:
    """``(1, 36)`` of what an API server says of itself; some write the minor version as ``36+``."""
    numbers = [re.match(r"\d+", str(told.get(key, ""))) for key in ("major", "minor")]
    return (int(numbers[0].group()) if numbers[0] else 0, int(numbers[1].group()) if numbers[1] else 0)


def target_facts(
    list_of: ListOf, resources: Iterable[Resource], version: Mapping[str, str], *, name: str, uid: str, namespaces: Collection[str]
) -> TargetFacts:
    """Of the target's lists.

    :param list_of: streams all objects of an API version and kind; nothing where the target does not have that kind
    :param namespaces: those that move; quotas and limits are of interest in these
    """
    storage = list(list_of("storage.k8s.io/v1", "StorageClass"))
    ingress = list(list_of("networking.k8s.io/v1", "IngressClass"))
    priorities = list(list_of("scheduling.k8s.io/v1", "PriorityClass"))
    ports, addresses = _taken(list_of("v1", "Service"))
    within = frozenset(namespaces)
    definitions = map(Definition.from_object, list_of("apiextensions.k8s.io/v1", "CustomResourceDefinition"))
    return TargetFacts(
        name=name,
        uid=uid,
        version=version_of(version),
        served=frozenset((resource.api_version, resource.kind) for resource in resources),
        storage_classes={_name(item): str(item.get("provisioner", "")) for item in storage},
        default_storage_class=_default(storage, *_DEFAULT_STORAGE),
        ingress_classes=frozenset(_name(item) for item in ingress),
        default_ingress_class=_default(ingress, _DEFAULT_INGRESS),
        priority_classes={_name(item): int(item.get("value") or 0) for item in priorities},
        runtime_classes=frozenset(_name(item) for item in list_of("node.k8s.io/v1", "RuntimeClass")),
        roles=frozenset(_name(item) for item in list_of("rbac.authorization.k8s.io/v1", "ClusterRole")),
        definitions={one.name: one for one in definitions},
        node_ports=ports,
        load_balancer_ips=addresses,
        namespaces={_name(item): _phase(item) for item in list_of("v1", "Namespace")},
        quotas=tuple(_quota(item) for item in list_of("v1", "ResourceQuota") if item["metadata"]["namespace"] in within),
        limits=tuple(_limits(item for item in list_of("v1", "LimitRange") if item["metadata"]["namespace"] in within)),
        nodes=tuple(Node.from_object(item) for item in list_of("v1", "Node")),
        free_volumes=tuple(_free(list_of("v1", "PersistentVolume"))),
        ours=frozenset(_name(item) for item in priorities if MIGRATION in annotations_of(item)),
    )


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _phase(namespace: Object) -> str:
    return (
        "Terminating" if namespace["metadata"].get("deletionTimestamp") else str(part(namespace, "status").get("phase", "Active"))
    )


def _default(classes: Iterable[Object], *marks: str) -> str:
    """The class that is taken where none is named: of many, the newest, as Kubernetes does it."""
    marked = [item for item in classes if any(annotations_of(item).get(mark) == "true" for mark in marks)]
    marked.sort(key=lambda item: (str(item["metadata"].get("creationTimestamp", "")), _name(item)))
    return _name(marked[-1]) if marked else ""


def _taken(services: Iterable[Object]) -> tuple[dict[str, str], dict[str, str]]:
    ports: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for service in services:
        who, found = name_of(service), references(service)
        ports.update({f"{port}/{protocol}": who for port, protocol in found.node_ports})
        given = {str(one["ip"]) for one in listed(service, "status", "loadBalancer", "ingress") if one.get("ip")}
        addresses.update(dict.fromkeys(found.load_balancer_ips | given, who))
    return ports, addresses


def _quota(item: Object) -> Quota:
    return Quota(
        namespace=str(item["metadata"]["namespace"]),
        name=_name(item),
        hard=_quantities(part(item, "spec", "hard")),
        used=_quantities(part(item, "status", "used")),
        scoped=bool(spec_of(item).get("scopes") or spec_of(item).get("scopeSelector")),
    )


def _limits(items: Iterable[Object]) -> Iterable[Limit]:
    for item in items:
        for one in listed(item, "spec", "limits"):
            yield Limit(
                namespace=str(item["metadata"]["namespace"]),
                name=_name(item),
                type=str(one.get("type", "")),
                most=_quantities(part(one, "max")),
                least=_quantities(part(one, "min")),
            )


def _quantities(found: Mapping[str, Any]) -> dict[str, Fraction]:
    return {str(key): quantity(value) for key, value in found.items()}


def _free(volumes: Iterable[Object]) -> Iterable[tuple[str, int]]:
    for volume in volumes:
        if part(volume, "status").get("phase") == "Available":
            spec = spec_of(volume)
            yield str(spec.get("storageClassName") or ""), int(quantity(part(spec, "capacity").get("storage", 0)))
