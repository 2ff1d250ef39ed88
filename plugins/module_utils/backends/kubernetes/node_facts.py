# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes and storage classes of a cluster as plain data, of the API's objects; pure.

What the API tells is not trusted: an address is one only when it reads as an IP address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

_ROLE = "node-role.kubernetes.io/"
_SERVERS = ("control-plane", "master", "etcd")
_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_QUANTITY = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+|Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?)\Z")
_SUFFIXES = {
    "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("numkMGTPE", -3) if suffix in "num"},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


def quantity(text: Any) -> Decimal:
    """A resource quantity such as ``3920m``, ``16Gi`` or ``1e9``; 0 for what is none."""
    found = _QUANTITY.match(str(text))
    if found is None:
        return Decimal(0)
    number, suffix = found.groups()
    try:
        if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix != "Ei":
            return Decimal(number + suffix)
        return Decimal(number) * _SUFFIXES[suffix]
    except InvalidOperation:
        return Decimal(0)


def node_record(node: Mapping[str, Any]) -> dict[str, Any]:
    """With the keys of ``inventory.NODE_KEYS``; ``capacity`` and ``allocatable``: cpus, bytes of memory and storage, pods."""
    metadata = _mapping(node.get("metadata"))
    status, info = _mapping(node.get("status")), _mapping(_mapping(node.get("status")).get("nodeInfo"))
    roles = sorted(str(label)[len(_ROLE) :] for label in _mapping(metadata.get("labels")) if str(label).startswith(_ROLE))
    ready = [each.get("status") for each in status.get("conditions") or () if each.get("type") == "Ready"]
    addresses = [{"type": str(each.get("type")), "address": str(each.get("address"))} for each in status.get("addresses") or ()]
    return {
        "name": str(metadata.get("name") or ""),
        "uid": str(metadata.get("uid") or ""),
        "address": best_address(addresses),
        "role": "server" if any(role in _SERVERS for role in roles) else "agent",
        "roles": roles,
        "ready": ready == ["True"],
        "schedulable": not _mapping(node.get("spec")).get("unschedulable"),
        "version": str(info.get("kubeletVersion") or ""),
        "capacity": _resources(_mapping(status.get("capacity"))),
        "allocatable": _resources(_mapping(status.get("allocatable"))),
        "addresses": addresses,
        "os_image": str(info.get("osImage") or ""),
        "architecture": str(info.get("architecture") or ""),
    }


def best_address(addresses: Sequence[Mapping[str, str]]) -> str:
    """The first InternalIP, else the first ExternalIP; empty for none."""
    for wanted in ("InternalIP", "ExternalIP"):
        for each in addresses:
            if each["type"] == wanted and is_address(each["address"]):
                return str(each["address"])
    return ""


def is_address(text: str) -> bool:
    """Whether it is an IP address and nothing else; a zone (``%eth0``) could be anything."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def storage_class_record(found: Mapping[str, Any]) -> dict[str, Any]:
    """name, provisioner, default, reclaim_policy, binding_mode, expandable."""
    metadata = _mapping(found.get("metadata"))
    annotations = _mapping(metadata.get("annotations"))
    return {
        "name": str(metadata.get("name") or ""),
        "provisioner": str(found.get("provisioner") or ""),
        "default": any(annotations.get(key) == "true" for key in _DEFAULT_CLASS),
        "reclaim_policy": str(found.get("reclaimPolicy") or "Delete"),
        "binding_mode": str(found.get("volumeBindingMode") or "Immediate"),
        "expandable": bool(found.get("allowVolumeExpansion")),
    }


def distribution(git_version: str) -> str:
    """``k3s`` for what says so in its version (``v1.33.5+k3s1``), else ``other``."""
    return "k3s" if "+k3s" in git_version else "other"


def _resources(listed: Mapping[str, Any]) -> dict[str, Any]:
    cpus = quantity(listed.get("cpu", 0))
    return {
        "cpus": int(cpus) if cpus == int(cpus) else float(round(cpus, 3)),
        "memory": int(quantity(listed.get("memory", 0))),
        "storage": int(quantity(listed.get("ephemeral-storage", 0))),
        "pods": int(quantity(listed.get("pods", 0))),
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
