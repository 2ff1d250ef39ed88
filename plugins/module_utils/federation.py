# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The federation file as a whole: its own settings and its sites, with names that are unique where they must be.

``Federation.from_dict`` raises InputError, one sentence with the whole path of the key that is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .clusters import Node
from .errors import InputError
from .fields import Fields, unique
from .images import Image, check_images
from .model import Hypervisor, Site
from .portable import Portable
from .waivers import Waiver

DEFAULT_SITE_TIMEOUT = 15.0
VM_NAMES = ("name", "name_at_site")
_MAX_TIMEOUT = 3600.0
_UNSAFE_IN_GROUP = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True)
class Federation(Portable):
    """``site_timeout`` in seconds for each site; ``pki_path`` and ``kubeconfig_path`` as written, relative to the federation file.

    ``discover`` says whether sites are asked what runs there at all.
    ``vm_name`` says how VMs are named in the inventory: ``name``, or ``name_at_site`` for ``<name>.<site>``.
    """

    name: str
    sites: tuple[Site, ...] = ()
    images: tuple[Image, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    pki_path: str = ""
    kubeconfig_path: str = ""
    site_timeout: float = DEFAULT_SITE_TIMEOUT
    strict_sites: bool = False
    discover: bool = True
    vm_name: str = "name"

    @classmethod
    def from_dict(cls, data: Any, where: str = "") -> Federation:
        fields = Fields(data, where)
        fields.get("plugin")
        timeout = fields.number("site_timeout", 0.1, _MAX_TIMEOUT)
        read = cls(
            name=fields.name("federation"),
            sites=fields.each("sites", Site.from_dict),
            images=fields.each("images", Image.from_dict),
            waivers=fields.each("waivers", Waiver.from_dict),
            pki_path=fields.text("pki_path"),
            kubeconfig_path=fields.text("kubeconfig_path"),
            site_timeout=DEFAULT_SITE_TIMEOUT if timeout is None else timeout,
            strict_sites=fields.boolean("strict_sites", False),
            discover=fields.boolean("discover", True),
            vm_name=fields.choice("vm_name", VM_NAMES, "name"),
        )
        fields.finish()
        read._check_names(fields.path("sites"))
        check_images(read.images, [site.name for site in read.sites], fields.path("images"))
        return read

    def _check_names(self, option: str) -> None:
        unique([site.name for site in self.sites], f"{option}[].name")
        hypervisors = [(hypervisor, site) for site in self.sites for hypervisor in site.hypervisors]
        unique([hypervisor.name for hypervisor, _site in hypervisors], f"{option}[].hypervisors[].name")
        unique([hypervisor.uri for hypervisor, _site in hypervisors], f"{option}[].hypervisors[].uri")
        unique([cluster.name for site in self.sites for cluster in site.clusters], f"{option}[].clusters[].name")
        nodes = [(node, site) for site in self.sites for cluster in site.clusters for node in cluster.nodes]
        unique([node.name for node, _site in nodes], f"{option}[].clusters[].nodes[].name")
        _check_shared_machines(hypervisors, nodes, f"{option}[].clusters[].nodes[].name")
        _check_groups([site.name for site in self.sites], f"{option}[].name")
        _check_groups([cluster.name for site in self.sites for cluster in site.clusters], f"{option}[].clusters[].name")


def _check_shared_machines(hypervisors: list[tuple[Hypervisor, Site]], nodes: list[tuple[Node, Site]], option: str) -> None:
    """A node may be a hypervisor of its own site (k3s on the metal); the same name at another site is a slip."""
    sites = {hypervisor.name: site.name for hypervisor, site in hypervisors}
    for node, site in nodes:
        if sites.get(node.name, site.name) != site.name:
            where = f"is also a hypervisor of site {sites[node.name]}"
            raise InputError(where, option=option, value=node.name, remedy="give every machine its own name")


def _check_groups(names: list[str], option: str) -> None:
    """Refuse two names that would become one inventory group."""
    seen: dict[str, str] = {}
    for name in names:
        group = _UNSAFE_IN_GROUP.sub("_", name)
        if group in seen:
            remedy = "make them differ in letters or digits"
            raise InputError(f"makes the same group as {seen[group]}", option=option, value=name, remedy=remedy)
        seen[group] = name


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a parsed YAML document without its loader's types: no template trust, no source positions, dates as text."""
    copy: dict[str, Any] = json.loads(json.dumps(document, default=str))
    return copy
