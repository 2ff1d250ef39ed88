# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a federation and what its sites reported to hosts, groups and variables; pure, no Ansible, no network.

A report of a hypervisor, by its name, is ``{"vms": [vm, …]}``, that of a cluster, by ``cluster_key`` of its name,
``{"nodes": [node, …]}``; either may be ``{"fault": "one sentence"}``. A vm is a mapping with the keys of VM_KEYS (sizes in bytes,
state one of model.VM_STATES, owner ``{hypervisor, epoch}`` and migration ``{source, target, mode, phase}``, or None), a node one
with the keys of NODE_KEYS.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .clusters import Cluster, Node
from .federation import Federation
from .images import newest_first
from .model import Hypervisor, Site
from .selection import Selection

VM_KEYS = (
    "name",
    "uuid",
    "state",
    "cpus",
    "memory",
    "description",
    "disks",
    "nics",
    "allowed_countries",
    "placement",
    "owner",
    "migration",
    "managed",
    "addresses",
)
# ``address`` is the best of ``addresses``, empty when none is an IP address.
NODE_KEYS = (
    "name",
    "uid",
    "address",
    "role",
    "roles",
    "ready",
    "schedulable",
    "version",
    "capacity",
    "allocatable",
    "addresses",
    "os_image",
    "architecture",
)
UNREACHABLE = "unreachable_sites"
FIXED_GROUPS = ("hypervisors", "vms", "clusters", "nodes", UNREACHABLE)
# A VM must not take the place of the controller itself, nor of Ansible's own groups.
_ANSIBLES_OWN = ("localhost", "127.0.0.1", "::1", "all", "ungrouped")
_VARIABLES = tuple((key, f"federation_{key}") for key in VM_KEYS)
# A slash would reach into other folders of host_vars; a line break would forge lines of every listing.
_UNSAFE_IN_HOST = re.compile(r"[/\\\x00-\x1f\x7f\x85\u2028\u2029]")
_ONLY_DOTS = re.compile(r"^\.*$")
# As Ansible makes group names safe.
_UNSAFE_IN_GROUP = re.compile(r"^[\d\W]|[^\w]")

Reports = Mapping[str, Mapping[str, Any]]


@dataclass
class Host:
    """One inventory host; ``groups`` are those it is put into directly."""

    name: str
    variables: dict[str, Any]
    groups: tuple[str, ...]


@dataclass
class Contents:
    """``children``: parent group to child groups, parents first; groups without parents stand under the empty name."""

    hosts: dict[str, Host] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def nest(self, parent: str, child: str) -> None:
        kids = self.children.setdefault(parent, [])
        if child not in kids:
            kids.append(child)


@dataclass(frozen=True)
class _Found:
    """A VM where it was seen."""

    site: Site
    hypervisor: Hypervisor
    vm: Mapping[str, Any]


@dataclass(frozen=True)
class _Member:
    """A node that a cluster's API shows and the file does not declare."""

    site: Site
    cluster: Cluster
    record: Mapping[str, Any]


def cluster_key(name: str) -> str:
    """The name of a cluster's report; no hypervisor has a slash in its name."""
    return f"cluster/{name}"


def arrange(federation: Federation, reports: Reports, selection: Selection, reserved: Iterable[str] = ()) -> Contents:
    """Everything that goes into the inventory, in the order of the federation file.

    :param reserved: names that no VM and no node that was found may have in the inventory, such as the groups of other inventory sources
    """
    contents = Contents()
    for group in FIXED_GROUPS:
        contents.nest("", group)
    sites = [site for site in federation.sites if selection.wants_site(site)]
    images = [image.to_dict() for image in newest_first(federation.images)]
    for site in sites:
        _nest_site(contents, site, reports)
        _declare(contents, site, reports, selection, images)
    found = [
        _Found(site, hypervisor, vm)
        for site in sites
        for hypervisor in site.hypervisors
        for vm in reports.get(hypervisor.name, {}).get("vms", ())
        if selection.wants_all or selection.wants_vm(site, hypervisor.name, vm)
    ]
    taken = {*_ANSIBLES_OWN, *reserved, *contents.hosts}.union(*contents.children.values())
    _place_vms(contents, _owned(found), taken, federation.vm_name == "name_at_site")
    _place_members(contents, [each for site in sites for each in _members(site, reports, selection)], taken)
    _tell_compliance(contents, federation, sites)
    return contents


def _tell_compliance(contents: Contents, federation: Federation, sites: Iterable[Site]) -> None:
    """What a report needs of the whole federation. Sites come by their hosts; those that have none are told here."""
    told = {
        "federation": federation.name,
        "waivers": [waiver.to_dict() for waiver in federation.waivers],
        "sites_without_hosts": [
            site.to_dict() for site in sites if not site.hypervisors and not any(cluster.nodes for cluster in site.clusters)
        ],
    }
    for host in contents.hosts.values():
        if host.variables["federation_kind"] != "vm":
            host.variables["federation_compliance"] = told


def fault_lines(federation: Federation, reports: Reports) -> list[str]:
    """One sentence for each hypervisor and cluster that could not be read, naming its site."""
    return [
        f"Site {site.name}: {what} could not be read: {reports[key]['fault']}"
        for site in federation.sites
        for what, key in _asked(site)
        if "fault" in reports.get(key, {})
    ]


def _asked(site: Site) -> Iterator[tuple[str, str]]:
    """What of a site can be asked: how people call it, and the key of its report."""
    for hypervisor in site.hypervisors:
        yield f"hypervisor {hypervisor.name}", hypervisor.name
    for cluster in site.clusters:
        yield f"cluster {cluster.name}", cluster_key(cluster.name)


def _nest_site(contents: Contents, site: Site, reports: Reports) -> None:
    """A site's group is under its provider's and its country's; under ``unreachable_sites`` when nothing answered."""
    for parent in (_group("provider", site.provider), _group("country", site.country)):
        contents.nest("", parent)
        contents.nest(parent, _group("site", site.name))
    if _is_unreachable(site, reports):
        contents.nest(UNREACHABLE, _group("site", site.name))


def _group(kind: str, name: str) -> str:
    return _UNSAFE_IN_GROUP.sub("_", f"{kind}_{name}")


def _is_unreachable(site: Site, reports: Reports) -> bool:
    """Whether everything that was asked failed."""
    asked = [reports[key] for _what, key in _asked(site) if key in reports]
    return bool(asked) and all("fault" in report for report in asked)


def _declare(
    contents: Contents,
    site: Site,
    reports: Reports,
    selection: Selection,
    images: list[dict[str, Any]],
) -> None:
    """The hosts that the federation file names, whether or not they answer."""
    described = site.to_dict()
    partly = not _is_unreachable(site, reports)
    for hypervisor in site.hypervisors:
        if selection.wants_declared(site, "hypervisor", hypervisor.name):
            failed = "fault" in reports.get(hypervisor.name, {})
            groups = ("hypervisors", _group("site", site.name)) + ((UNREACHABLE,) if failed and partly else ())
            variables = _hypervisor_variables(site, described, hypervisor, reachable=not failed)
            variables["federation_images"] = images
            contents.hosts[hypervisor.name] = Host(hypervisor.name, variables, groups)
    for cluster in site.clusters:
        contents.nest("clusters", _group("cluster", cluster.name))
        report = reports.get(cluster_key(cluster.name), {})
        shown = {str(record["name"]).lower(): record for record in report.get("nodes", ())}
        for node in cluster.nodes:
            if selection.wants_declared(site, "node"):
                _add_node(contents, site, described, cluster, node, shown.get(node.name.lower(), {}), "fault" in report, partly)


def _hypervisor_variables(site: Site, described: dict[str, Any], hypervisor: Hypervisor, *, reachable: bool) -> dict[str, Any]:
    return {
        "ansible_host": hypervisor.address,
        "federation_kind": "hypervisor",
        "federation_name": hypervisor.name,
        "federation_site": described,
        "federation_hypervisor": hypervisor.to_dict(),
        "federation_reachable": reachable,
        "federation_hypervisor_name": hypervisor.name,
        **_place(site),
    }


def _add_node(
    contents: Contents,
    site: Site,
    described: dict[str, Any],
    cluster: Cluster,
    node: Node,
    record: Mapping[str, Any],
    failed: bool,
    partly: bool,
) -> None:
    """A declared node; what the file says of it holds over what the API says (``record``, empty for nothing)."""
    variables = _node_variables(site, described, cluster, {**record, **node.to_dict()}, reachable=not failed)
    variables["ansible_host"] = node.address
    groups: tuple[str, ...] = ("nodes", _group("cluster", cluster.name), _group("site", site.name))
    same_machine = contents.hosts.get(node.name)
    if same_machine is not None:
        variables.update(same_machine.variables)
        groups = tuple(dict.fromkeys(same_machine.groups + groups))
    elif failed and partly:
        groups += (UNREACHABLE,)
    contents.hosts[node.name] = Host(node.name, variables, groups)


def _node_variables(
    site: Site, described: dict[str, Any], cluster: Cluster, node: dict[str, Any], *, reachable: bool
) -> dict[str, Any]:
    return {
        "federation_kind": "node",
        "federation_name": node["name"],
        "federation_site": described,
        "federation_cluster": cluster.to_dict(),
        "federation_node": node,
        "federation_reachable": reachable,
        **_place(site),
    }


def _members(site: Site, reports: Reports, selection: Selection) -> Iterator[_Member]:
    if not selection.wants_declared(site, "node"):
        return
    for cluster in site.clusters:
        declared = {node.name.lower() for node in cluster.nodes}
        for record in reports.get(cluster_key(cluster.name), {}).get("nodes", ()):
            if str(record["name"]).lower() not in declared:
                yield _Member(site, cluster, record)


def _place_members(contents: Contents, members: list[_Member], taken: set[str]) -> None:
    """After the VMs, whose names do not depend on what clusters say. A VM at one of the node's addresses is the node."""
    vms = {
        (host.variables["federation_site_name"], host.variables["federation_name"]): host
        for host in contents.hosts.values()
        if host.variables["federation_kind"] == "vm"
    }
    described = {one.site.name: one.site.to_dict() for one in members}
    for one in members:
        record = dict(one.record)
        groups = ("nodes", _group("cluster", one.cluster.name), _group("site", one.site.name))
        variables = _node_variables(one.site, described[one.site.name], one.cluster, record, reachable=True)
        same = vms.get((one.site.name, record["name"]))
        if same is not None and {each["address"] for each in record["addresses"]} & set(same.variables["federation_addresses"]):
            same.variables = {**variables, **same.variables}
            same.groups = tuple(dict.fromkeys(same.groups + groups))
            continue
        host = _member_name(contents, one, taken)
        taken.add(host)
        if record["address"]:
            variables["ansible_host"] = record["address"]
        contents.hosts[host] = Host(host, variables, groups)


def _member_name(contents: Contents, one: _Member, taken: set[str]) -> str:
    name, cluster = _UNSAFE_IN_HOST.sub("_", one.record["name"]), one.cluster.name
    if name not in taken and not _ONLY_DOTS.match(name):
        return name
    host = _first_free(taken, f"{name}.{cluster}", f"{name}.{cluster}.{one.site.name}")
    contents.warnings.append(f"Node name {name!r} of cluster {cluster} is taken; this node is named {host!r} in the inventory")
    return host


def _place(site: Site) -> dict[str, Any]:
    return {
        "federation_site_name": site.name,
        "federation_provider": site.provider,
        "federation_country": site.country,
    }


def _owned(found: Iterable[_Found]) -> list[_Found]:
    """One entry for each VM: of the copies that a migration leaves at several hypervisors, the one that may run."""
    copies: dict[tuple[str, str], list[_Found]] = {}
    for one in found:
        copies.setdefault((one.vm["name"], one.vm["uuid"]), []).append(one)
    return [same[0] if len(same) == 1 else max(same, key=_claim) for same in copies.values()]


def _claim(one: _Found) -> tuple[int, bool]:
    """Its own hypervisor named as owner, by epoch; else whether it runs. ``max`` keeps the first of equals."""
    owner = one.vm["owner"] or {}
    owned = owner.get("hypervisor") == one.hypervisor.name
    return (int(owner.get("epoch", 0)) if owned else -1, one.vm["state"] == "running")


def _place_vms(contents: Contents, vms: list[_Found], taken: set[str], at_site: bool) -> None:
    """Name every VM so that a name means one machine: one that stands twice, or is taken, is told apart by its site."""
    plain_names = [_UNSAFE_IN_HOST.sub("_", one.vm["name"]) for one in vms]
    counts: dict[str, int] = {}
    for name in plain_names:
        counts[name] = counts.get(name, 0) + 1
    places: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}
    told: set[str] = set()
    for one, name in zip(vms, plain_names):
        alone = counts[name] == 1 and name not in taken and not _ONLY_DOTS.match(name)
        host = name if alone and not at_site else _told_apart(name, one, taken)
        if not alone and not at_site and name not in told:
            told.add(name)
            why = f"is the name of {counts[name]} different VMs" if counts[name] > 1 else "is taken by a declared host or a group"
            contents.warnings.append(f"VM name {name!r} {why}; such VMs are named <name>.<site> in the inventory, as {host!r}")
        taken.add(host)
        if one.hypervisor.name not in places:
            places[one.hypervisor.name] = (_vm_place(one), ("vms", _group("site", one.site.name)))
        place, groups = places[one.hypervisor.name]
        contents.hosts[host] = Host(host, _vm_variables(one.vm, place), groups)


def _told_apart(name: str, one: _Found, taken: set[str]) -> str:
    site, hypervisor, uuid = one.site.name, one.hypervisor.name, one.vm["uuid"]
    last = f"{name}.{site}.{hypervisor}.{uuid}"
    return _first_free(taken, f"{name}.{site}", f"{name}.{site}.{hypervisor}", f"{name}.{site}.{uuid}", last)


def _first_free(taken: set[str], *candidates: str) -> str:
    """The first that is not taken; when all are, the last with a number."""
    numbered = (f"{candidates[-1]}-{number}" for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain(candidates, numbered) if candidate not in taken)


def _vm_place(one: _Found) -> dict[str, Any]:
    return {"federation_kind": "vm", "federation_hypervisor_name": one.hypervisor.name, **_place(one.site)}


def _vm_variables(vm: Mapping[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    variables = {variable: vm[key] for key, variable in _VARIABLES}
    variables.update(place)
    addresses = vm["addresses"]
    if addresses:
        variables["ansible_host"] = addresses[0]
    return variables
