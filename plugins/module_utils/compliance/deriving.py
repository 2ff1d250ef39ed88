# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts that no single host can tell: they come of what is known of all of them; pure.

=============== =================== =====================================================================================
area            of                  data
=============== =================== =====================================================================================
``round_trips`` hypervisor, cluster ``{circles: [{site, peer, min_ms, radius_km, distance_km}]}``, the nearest of each other site
``policy``      vm                  ``{allowed_countries, placement, managed, hypervisor}``
``fallback``    vm                  ``{places: [{site, country, hypervisor}]}`` that its policy leaves open
``inventory``   site                ``{unknown: [...], missing: [...]}``, what was seen and not declared, or declared and not seen
=============== =================== =====================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from ..fields import Fields
from ..latency import KM_PER_MS, Latency, distance_km
from ..model import Site, Vm
from ..placement.check import open_places
from ..rules import PlacementRules
from .subjects import Subject

LEAST_CIRCLES = 2
_TRIPS = f"TCP handshakes of site_latency; {KM_PER_MS:g} km for each ms of the shortest round trip, against the sites' coordinates"
_POLICY = "the federation inventory, from the VM's metadata in its libvirt domain"
_FALLBACK = "placement rules of the VM evaluated over all hypervisors of the federation"
_INVENTORY = "VMs and nodes that were observed, against those that the federation declares or manages"


def add_round_trips(subjects: Iterable[Subject], sites: Sequence[Site], latencies: Sequence[Latency]) -> None:
    """To each hypervisor and cluster that answered."""
    known = {site.name: site for site in sites}
    for subject in subjects:
        if subject.type not in ("hypervisor", "cluster") or subject.fault:
            continue
        site = known[subject.site]
        nodes = {node.name for cluster in site.clusters if cluster.name == subject.name for node in cluster.nodes}
        names = {subject.name} if subject.type == "hypervisor" else nodes
        subject.facts["round_trips"] = {"how": _TRIPS, **_circles(site, known, names, latencies)}


def _circles(site: Site, sites: Mapping[str, Site], names: set[str], latencies: Sequence[Latency]) -> dict[str, Any]:
    if site.latitude is None or site.longitude is None:
        return {"error": f"site {site.name} has no coordinates"}
    nearest: dict[str, tuple[float, str]] = {}
    for latency in latencies:
        ends = ((latency.source, latency.target, latency.target_site), (latency.target, latency.source, latency.source_site))
        for own, peer, other in ends:
            if own in names and other in sites and other != site.name and sites[other].latitude is not None:
                nearest[other] = min(nearest.get(other, (latency.min_ms, peer)), (latency.min_ms, peer))
    if len(nearest) < LEAST_CIRCLES:
        return {
            "error": f"round trips to {len(nearest)} other sites with coordinates were measured, and {LEAST_CIRCLES} are needed"
        }
    circles = [
        {
            "site": other,
            "peer": peer,
            "min_ms": shortest,
            "radius_km": round(shortest * KM_PER_MS, 1),
            "distance_km": round(distance_km(site, sites[other]) or 0.0, 1),
        }
        for other, (shortest, peer) in sorted(nearest.items())
    ]
    return {"data": {"circles": circles}}


def add_vms(subjects: list[Subject], vms: Sequence[Any], where: str = "vms") -> None:
    """The policies of VMs as the inventory has them; a VM of which there is no other evidence becomes a subject."""
    found = {subject.key: subject for subject in subjects}
    for index, given in enumerate(vms):
        fields = Fields(given, f"{where}[{index}]")
        name, site = fields.text("name", required=True), fields.text("site", required=True)
        data = {
            "allowed_countries": list(fields.texts("allowed_countries")),
            "placement": fields.get("placement", {}),
            "managed": fields.boolean("managed", False),
            "hypervisor": fields.text("hypervisor"),
        }
        fields.finish()
        subject = found.setdefault(("vm", site, name), Subject("vm", name, site))
        subject.facts["policy"] = {"how": _POLICY, "data": data}
    subjects[:] = [found[key] for key in sorted(found)]


def add_fallbacks(subjects: Iterable[Subject], sites: Sequence[Site], today: str) -> None:
    """To each VM whose policy is known; VMs of one policy are looked at once."""
    alike: dict[str, list[Subject]] = {}
    for subject in subjects:
        if subject.type == "vm" and "data" in subject.facts.get("policy", {}):
            data = subject.facts["policy"]["data"]
            alike.setdefault(json.dumps([data["allowed_countries"], data["placement"]], sort_keys=True), []).append(subject)
    vms = [_vm(group[0].facts["policy"]["data"], str(number)) for number, group in enumerate(alike.values())]
    for group, vm, places in zip(alike.values(), vms, open_places(vms, sites, date.fromisoformat(today)) if vms else ()):
        fact: dict[str, Any] = {"how": _FALLBACK}
        if vm.rules.unreadable:
            fact["error"] = f"its policy cannot be read: {vm.rules.unreadable}"
        else:
            fact["data"] = {"places": [{"site": site.name, "country": site.country, "hypervisor": name} for site, name in places]}
        for subject in group:
            subject.facts["fallback"] = fact


def _vm(data: Mapping[str, Any], name: str) -> Vm:
    rules = PlacementRules.from_metadata(data["placement"] or None)
    return Vm(name=name, cpus=1, memory=1, allowed_countries=tuple(data["allowed_countries"]), placement=rules)


def add_inventories(subjects: Sequence[Subject], sites: Sequence[Site]) -> None:
    """To each site: the VMs that nobody declared, and the nodes that the file and the cluster tell differently."""
    of_site: dict[str, list[Subject]] = {site.name: [] for site in sites}
    for subject in subjects:
        of_site[subject.site].append(subject)
    for site in sites:
        found = of_site[site.name]
        fact = _inventory(site, found)
        for subject in found:
            if subject.type == "site":
                subject.facts["inventory"] = {"how": _INVENTORY, **fact}


def _inventory(site: Site, found: Sequence[Subject]) -> dict[str, Any]:
    dark = [subject for subject in found if subject.fault]
    if dark:
        return {"error": f"{dark[0].type} {dark[0].name} is not known: {dark[0].fault}"}
    unread = [subject.name for subject in found if subject.type == "cluster" and "data" not in subject.facts.get("nodes", {})]
    if unread:
        return {"error": f"the nodes of cluster {unread[0]} could not be read"}
    untold = [subject.name for subject in found if subject.type == "vm" and "policy" not in subject.facts]
    if untold:
        return {"error": f"the inventory does not tell whether VM {untold[0]} is managed"}
    declared = {("hypervisor", one.name) for one in site.hypervisors} | {("cluster", one.name) for one in site.clusters}
    unknown = [f"VM {one.name}" for one in found if one.type == "vm" and not one.facts["policy"]["data"]["managed"]]
    unknown += [
        f"{one.type} {one.name}" for one in found if one.type in ("hypervisor", "cluster") and (one.type, one.name) not in declared
    ]
    missing: list[str] = []
    for cluster in site.clusters:
        for subject in found:
            if (subject.type, subject.name) == ("cluster", cluster.name):
                seen = _names(subject.facts["nodes"]["data"])
                named = {node.name for node in cluster.nodes}
                unknown += [f"node {name} of cluster {cluster.name}" for name in sorted(seen - named)]
                missing += [f"node {name} of cluster {cluster.name}" for name in sorted(named - seen)]
    return {"data": {"unknown": sorted(unknown), "missing": missing}}


def _names(nodes: Any) -> set[str]:
    """Of nodes as evidence lists them, ``[{name, …}]``."""
    return (
        {str(node["name"]) for node in nodes if isinstance(node, Mapping) and "name" in node} if isinstance(nodes, list) else set()
    )
