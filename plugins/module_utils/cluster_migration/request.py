# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person wants of the migration of a cluster's workloads: what goes along, and what has another name at the target."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backends.cluster import Resource
from ..errors import InputError

_NAMESPACE = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True)
class Mappings:
    """Names at the source to names at the target; ``images`` by prefix. ``keep`` or ``new`` ports and addresses of Services."""

    storage_classes: Mapping[str, str] = field(default_factory=dict)
    ingress_classes: Mapping[str, str] = field(default_factory=dict)
    priority_classes: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    node_ports: str = "keep"
    load_balancer_ips: str = "new"

    def to_dict(self) -> dict[str, Any]:
        """As the options say them; what is not given is not there."""
        maps = {key: dict(getattr(self, key)) for key in ("storage_classes", "ingress_classes", "priority_classes", "images")}
        return {**{key: value for key, value in maps.items() if value}, **self.choices()}

    def choices(self) -> dict[str, Any]:
        return {"node_ports": self.node_ports, "load_balancer_ips": self.load_balancer_ips}


@dataclass(frozen=True)
class Request:
    """``namespaces``: empty for all of the user's; ``exclude_kinds``: a kind, or a name as kubectl says it."""

    namespaces: tuple[str, ...] = ()
    exclude_namespaces: tuple[str, ...] = ()
    exclude_kinds: tuple[str, ...] = ()
    mappings: Mappings = field(default_factory=Mappings)
    missing_images: str = "warn"

    @classmethod
    def from_options(cls, params: Mapping[str, Any]) -> Request:
        """Of the module's options; InputError for what cannot be meant."""
        for option in ("namespaces", "exclude_namespaces"):
            for name in params[option]:
                if not _NAMESPACE.match(name):
                    remedy = "use lower-case letters, digits and dashes"
                    raise InputError("cannot be the name of a namespace", option=option, value=name, remedy=remedy)
        both = sorted(set(params["namespaces"]) & set(params["exclude_namespaces"]))
        if both:
            raise InputError("is in namespaces as well", option="exclude_namespaces", value=both[0], remedy="take it out of one")
        for option in ("storage_classes", "ingress_classes", "priority_classes", "images"):
            _check_mapping(option, params[option])
        maps = {key: dict(params[key]) for key in ("storage_classes", "ingress_classes", "priority_classes", "images")}
        return cls(
            namespaces=tuple(dict.fromkeys(params["namespaces"])),
            exclude_namespaces=tuple(dict.fromkeys(params["exclude_namespaces"])),
            exclude_kinds=tuple(dict.fromkeys(params["exclude_kinds"])),
            mappings=Mappings(**maps, node_ports=params["node_ports"], load_balancer_ips=params["load_balancer_ips"]),
            missing_images=params["missing_images"],
        )

    @property
    def whole(self) -> bool:
        """Whether it is all that users have in the cluster."""
        return not self.namespaces and not self.exclude_namespaces

    def check_kinds(self, resources: Iterable[Resource]) -> None:
        """InputError for a kind to exclude that the source does not have."""
        known = {name for resource in resources for name in (resource.kind, resource.name)}
        for kind in self.exclude_kinds:
            if kind not in known:
                remedy = "name it as kubectl api-resources does, such as Ingress or ingresses.networking.k8s.io"
                raise InputError("is no kind that the source has", option="exclude_kinds", value=kind, remedy=remedy)


def _check_mapping(option: str, mapping: Mapping[Any, Any]) -> None:
    for old, new in mapping.items():
        if not (isinstance(old, str) and isinstance(new, str) and old and new):
            raise InputError("maps no name to a name", option=f"{option}.{old}", value=new, remedy="give both names, in quotes")
