# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person asked for of a migration of workloads: what goes along, and what it is called at the target. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backends.cluster import Resource
from ..errors import InputError
from .store import NAMESPACE

KEEP, NEW = "keep", "new"
IGNORE, WARN, BLOCK = "ignore", "warn", "block"
REFUSE, FORCE = "refuse", "force"
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_KIND = re.compile(r"^([A-Z][A-Za-z0-9]{0,62}|[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9.-]*)?)\Z")
_IMAGE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*\Z")
# What holds a cluster together, and us.
_OWN = ("kube-system", "kube-public", "kube-node-lease", NAMESPACE)
# A move without these is none.
_NEEDED = ("Namespace", "namespaces")
_CHOICES = {
    "method": ("auto", "workloads", "nodes"),
    "node_ports": (KEEP, NEW),
    "load_balancer_ips": (KEEP, NEW),
    "missing_images": (IGNORE, WARN, BLOCK),
    "conflicts": (REFUSE, FORCE),
}
_DEFAULTS = {
    "method": "auto",
    "node_ports": KEEP,
    "load_balancer_ips": NEW,
    "missing_images": WARN,
    "conflicts": REFUSE,
}
_NUMBERS = {"connections": (1, 64), "quiesce_timeout": (1, 86400), "ready_timeout": (1, 86400), "patience": (0, 86400)}


@dataclass(frozen=True)
class Request:
    """``storage_classes``, ``ingress_classes``, ``priority_classes`` and ``images`` go from old to new names.

    ``namespaces``: empty for all of the user's. ``images``: by beginnings of their names, without a slash at the end.
    """

    namespaces: tuple[str, ...] = ()
    exclude_namespaces: tuple[str, ...] = ()
    exclude_kinds: tuple[str, ...] = ()
    storage_classes: Mapping[str, str] = field(default_factory=dict)
    ingress_classes: Mapping[str, str] = field(default_factory=dict)
    priority_classes: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    method: str = "auto"
    node_ports: str = KEEP
    load_balancer_ips: str = NEW
    missing_images: str = WARN
    conflicts: str = REFUSE
    verify_digests: bool = True

    @classmethod
    def from_options(cls, params: Mapping[str, Any]) -> Request:
        """Of a module's options; what is not there has its default. InputError for what cannot be meant."""
        for option, (least, most) in _NUMBERS.items():
            _check_number(option, params.get(option), least, most)
        request = cls(
            namespaces=_names(params, "namespaces"),
            exclude_namespaces=_names(params, "exclude_namespaces"),
            exclude_kinds=_kinds(params),
            storage_classes=_class_map(params, "storage_classes"),
            ingress_classes=_class_map(params, "ingress_classes"),
            priority_classes=_class_map(params, "priority_classes"),
            images=_image_map(params),
            verify_digests=params.get("verify_digests") is not False,
            **{option: _choice(option, params.get(option)) for option in _CHOICES},
        )
        for name in request.namespaces:
            if is_system(name):
                remedy = "name only namespaces with applications; the target has its own of these"
                raise InputError("is the cluster's own namespace", option="namespaces", value=name, remedy=remedy)
            if name in request.exclude_namespaces:
                raise InputError(
                    "is in exclude_namespaces too", option="namespaces", value=name, remedy="take it out of one of them"
                )
        return request

    @property
    def mapping(self) -> dict[str, Any]:
        """What is called differently at the target, for the journal; what is not given is not there."""
        maps = {key: dict(getattr(self, key)) for key in ("storage_classes", "ingress_classes", "priority_classes", "images")}
        given = {key: names for key, names in maps.items() if names}
        return {**given, "node_ports": self.node_ports, "load_balancer_ips": self.load_balancer_ips}

    def check_kinds(self, resources: Iterable[Resource]) -> None:
        """InputError for an excluded kind that the source does not have."""
        known = {name for resource in resources for name in (resource.kind, resource.name)}
        for kind in self.exclude_kinds:
            if kind not in known:
                near = difflib.get_close_matches(kind, sorted(known), n=1)
                remedy = f"did you mean {near[0]}?" if near else "write it as in Ingress or ingresses.networking.k8s.io"
                raise InputError("is no kind that the source has", option="exclude_kinds", value=kind, remedy=remedy)


def is_system(namespace: str) -> bool:
    """Whether a namespace is the cluster's own, or ours. Names that begin with kube- are reserved."""
    return namespace in _OWN or namespace.startswith("kube-")


def _check_number(option: str, value: Any, least: int, most: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
        raise InputError(f"must be from {least} to {most}", option=option, value=value, remedy="give another number")


def _choice(option: str, value: Any) -> str:
    chosen = _DEFAULTS[option] if value is None else value
    if chosen not in _CHOICES[option]:
        raise InputError(
            "is not one of the choices", option=option, value=value, remedy=f"use one of {', '.join(_CHOICES[option])}"
        )
    return str(chosen)


def _texts(params: Mapping[str, Any], option: str) -> tuple[str, ...]:
    value = params.get(option)
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise InputError("is not a list of strings", option=option, value=value, remedy="write a list of strings")
    return tuple(dict.fromkeys(value))


def _names(params: Mapping[str, Any], option: str) -> tuple[str, ...]:
    names = _texts(params, option)
    for name in names:
        if not _LABEL.match(name):
            remedy = "use up to 63 small letters, digits and dashes, with no dash at an end"
            raise InputError("is not a name of a namespace", option=option, value=name, remedy=remedy)
    return names


def _kinds(params: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = _texts(params, "exclude_kinds")
    for kind in kinds:
        if not _KIND.match(kind):
            remedy = "write it as in Ingress or ingresses.networking.k8s.io"
            raise InputError("is not a kind", option="exclude_kinds", value=kind, remedy=remedy)
        if kind in _NEEDED:
            remedy = "leave a namespace behind with exclude_namespaces"
            raise InputError("cannot stay, as everything else is in it", option="exclude_kinds", value=kind, remedy=remedy)
    return kinds


def _text_map(params: Mapping[str, Any], option: str) -> dict[str, str]:
    value = params.get(option)
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise InputError("is not a mapping of strings", option=option, value=value, remedy="write old: new pairs of strings")
    for old, new in value.items():
        if not old.strip() or not new.strip():
            raise InputError("has an empty name", option=option, value={old: new}, remedy="write old: new, both of them names")
    return dict(value)


def _class_map(params: Mapping[str, Any], option: str) -> dict[str, str]:
    names = _text_map(params, option)
    for name in (*names, *names.values()):
        if not _SUBDOMAIN.match(name):
            remedy = "use small letters, digits, dashes and dots"
            raise InputError("is not a name of a class", option=option, value=name, remedy=remedy)
    return names


def _image_map(params: Mapping[str, Any]) -> dict[str, str]:
    prefixes = _text_map(params, "images")
    for prefix in (*prefixes, *prefixes.values()):
        if not _IMAGE.match(prefix) or not prefix.rstrip("/"):
            remedy = "write it as in registry.example.org/ or registry.example.org:5000/shop/"
            raise InputError("is not the beginning of an image's name", option="images", value=prefix, remedy=remedy)
    return {old.rstrip("/"): new.rstrip("/") for old, new in prefixes.items()}
