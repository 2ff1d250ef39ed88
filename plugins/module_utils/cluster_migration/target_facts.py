# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the target has, as far as it can stand in the way. Pure: it is given streams of the target's objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from ..backends.cluster import Object, Resource
from .quantity import quantity

Stream = Callable[[str, str], Iterable[Object]]


@dataclass
class TargetFacts:
    """``served``: (api version, kind); ``classes``: names by sort; ``node_ports``: who has each; ``quotas``: what is left, by namespace."""

    name: str
    version: tuple[int, int]
    served: frozenset[tuple[str, str]] = frozenset()
    classes: dict[str, set[str]] = field(default_factory=dict)
    default_storage_class: str = ""
    node_ports: dict[tuple[int, str], str] = field(default_factory=dict)
    definitions: dict[str, tuple[str, str, tuple[str, ...]]] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    namespaces: dict[str, str] = field(default_factory=dict)  # name: phase
    quotas: dict[str, dict[str, int]] = field(default_factory=dict)
    memory: int = 0  # bytes that pods of all nodes may have


def minor_of(version: Mapping[str, str]) -> tuple[int, int]:
    """``(major, minor)`` of what a server tells, whose minor may end in a plus."""
    digits = ["".join(sign for sign in str(version.get(key, "0")) if sign.isdigit()) or "0" for key in ("major", "minor")]
    return int(digits[0]), int(digits[1])


def target_facts(name: str, version: Mapping[str, str], resources: Iterable[Resource], stream: Stream) -> TargetFacts:
    """
    :param stream: all objects of an api version and kind, ``stream("v1", "Service")``; none where the target does not have it
    """
    facts = TargetFacts(name, minor_of(version), frozenset((one.api_version, one.kind) for one in resources))
    for sort, api_version, kind in (
        ("storage class", "storage.k8s.io/v1", "StorageClass"),
        ("ingress class", "networking.k8s.io/v1", "IngressClass"),
        ("priority class", "scheduling.k8s.io/v1", "PriorityClass"),
        ("runtime class", "node.k8s.io/v1", "RuntimeClass"),
    ):
        items = list(stream(api_version, kind))
        facts.classes[sort] = {item["metadata"]["name"] for item in items}
        if kind == "StorageClass":
            facts.default_storage_class = next((item["metadata"]["name"] for item in items if _is_default(item)), "")
    for item in stream("v1", "Service"):
        _note_ports(facts, item)
    for item in stream("apiextensions.k8s.io/v1", "CustomResourceDefinition"):
        spec = item["spec"]
        versions = tuple(one["name"] for one in spec["versions"] if one.get("served", True))
        facts.definitions[item["metadata"]["name"]] = (str(spec["scope"]), str(spec["names"]["kind"]), versions)
    for item in stream("v1", "Node"):
        status = item.get("status") or {}
        facts.images |= {str(image) for one in status.get("images") or () for image in one.get("names") or ()}
        facts.memory += int(quantity((status.get("allocatable") or {}).get("memory", 0)))
    for item in stream("v1", "Namespace"):
        facts.namespaces[item["metadata"]["name"]] = str((item.get("status") or {}).get("phase", "Active"))
    for item in stream("v1", "ResourceQuota"):
        _note_quota(facts, item)
    return facts


def _is_default(item: Object) -> bool:
    return (item["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"


def _note_ports(facts: TargetFacts, item: Object) -> None:
    metadata, spec = item["metadata"], item.get("spec") or {}
    where = f"{metadata['namespace']}/{metadata['name']}"
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            facts.node_ports[int(port["nodePort"]), str(port.get("protocol", "TCP"))] = where
    if spec.get("healthCheckNodePort"):
        facts.node_ports[int(spec["healthCheckNodePort"]), "TCP"] = where


def _note_quota(facts: TargetFacts, item: Object) -> None:
    """The least that any quota of a namespace leaves; one with scopes counts only some pods and is not judged."""
    spec: Any = item.get("spec") or {}
    if spec.get("scopes") or spec.get("scopeSelector"):
        return
    used = (item.get("status") or {}).get("used") or {}
    left = facts.quotas.setdefault(item["metadata"]["namespace"], {})
    for what, hard in (spec.get("hard") or {}).items():
        scale = 1000 if what.endswith("cpu") else 1
        free = int((quantity(hard) - quantity(used.get(what, 0))) * scale)
        key = {"cpu": "requests.cpu", "memory": "requests.memory"}.get(what, what)
        left[key] = min(free, left.get(key, free))
