# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The federation at a glance, without judgement, as one HTML page. Pure; the same input gives the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ...page.frame import frame
from ...page.map import Map, Mark, pairs, place_of
from ...page.pieces import cells, section, share_bar, table, tiles
from ...shown import mapping, mappings, number, plain, whole, written
from ...sizes import show_size
from .style import SHEET

Data = Mapping[str, Any]


def glance(data: Data) -> str:
    """The page. Every key may be missing, and so may every key in it; what is not known is told so, never as nothing.

    :param data: ``federation``: its name. ``generated``: when it was looked at, ISO 8601. ``sites``: ``{name, provider, country, city,
        latitude, longitude}``. ``hypervisors``: ``{name, site, reachable, capacity, pools}``, the latter two as site_info returns
        them. ``vms``: ``{name, site, hypervisor, state, cpus, memory, addresses}``. ``clusters``: ``{name, site, version, nodes}``, each
        node ``{name, ready}``. ``migrations``: ``{name, kind, source, target, mode, phase}``, those under way. ``latencies``:
        ``{source, target, rtt_ms}`` between sites.
    """
    name = plain(data.get("federation")) or "the federation"
    seen = f"as seen at {written(data.get('generated'))}" if data.get("generated") else "at a glance"
    parts = [
        f'<p class="over">{escape(seen)}</p>',
        f"<h1>{escape(_headline(name, data))}</h1>",
        _tiles(data),
        _map(data),
        _sites(data),
        _hypervisors(data),
        _migrations(data),
        _clusters(data),
        _vms(data),
        "<footer>made by virt8ra.federation</footer>",
    ]
    return frame(f"{name} at a glance", SHEET, parts)


def _headline(name: str, data: Data) -> str:
    sites, hosts, vms = (len(mappings(data, key)) for key in ("sites", "hypervisors", "vms"))
    return f"{name[:60]}: {_many(vms, 'VM')} on {_many(hosts, 'hypervisor')} at {_many(sites, 'site')}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _lost(data: Data) -> list[Data]:
    return [one for one in mappings(data, "hypervisors") if one.get("reachable") is False]


def _tiles(data: Data) -> str:
    states = Counter(plain(vm.get("state")) for vm in mappings(data, "vms"))
    capacities = [mapping(one, "capacity") for one in mappings(data, "hypervisors")]
    cpus, used = sum(whole(one, "cpus") for one in capacities), sum(whole(one, "cpus_used") for one in capacities)
    memory, held = sum(whole(one, "memory") for one in capacities), sum(whole(one, "memory_used") for one in capacities)
    lost, under_way = len(_lost(data)), len(mappings(data, "migrations"))
    boxes = [
        ("VMs running", f"{states['running']} <small>of {sum(states.values())}</small>", ""),
        ("CPUs used", f"{used} <small>of {cpus}</small>", ""),
        ("Memory used", f"{show_size(held)} <small>of {show_size(memory)}</small>", ""),
        ("Clusters", str(len(mappings(data, "clusters"))), ""),
        ("Migrations under way", str(under_way), ""),
        ("Not reachable", str(lost), "bad" if lost else ""),
    ]
    return tiles(boxes)


def _map(data: Data) -> str:
    found = {plain(site.get("name")): (site, place_of(site)) for site in mappings(data, "sites")}
    places = {name: place for name, (_site, place) in found.items() if place is not None}
    if not places:
        return ""
    marks = []
    for name in places:
        site = found[name][0]
        hosts = [one for one in mappings(data, "hypervisors") if plain(one.get("site")) == name]
        vms = sum(plain(vm.get("site")) == name for vm in mappings(data, "vms"))
        state = "none" if not hosts else "bad" if any(one.get("reachable") is False for one in hosts) else "good"
        where = ", ".join(filter(None, (plain(site.get("city")), plain(site.get("country")))))
        told = f"{name}, {plain(site.get('provider'))}: {_many(len(hosts), 'hypervisor')}, {_many(vms, 'VM')}"
        marks.append(Mark(name, where, state, str(vms) if vms else "", told))
    picture = Map(places).svg(marks, pairs(mappings(data, "latencies"), places), f"Map of {len(places)} sites")
    words = (("good", "reachable, with its VMs"), ("bad", "a hypervisor is not reachable"), ("soft", "no hypervisor"))
    key = "".join(f'<span><b class="{kind}">●</b> {word}</span>' for kind, word in words)
    return section("Map", f'<div class="wide">{picture}</div><p class="key">{key}<span>— round trip</span></p>')


def _sites(data: Data) -> str:
    rows = []
    for site in mappings(data, "sites"):
        name = plain(site.get("name"))
        counts = [sum(plain(one.get("site")) == name for one in mappings(data, key)) for key in ("hypervisors", "vms", "clusters")]
        where = ", ".join(filter(None, (plain(site.get("city")), plain(site.get("country")))))
        rows.append(
            cells(
                f"<strong>{escape(name)}</strong>", escape(plain(site.get("provider"))), escape(where), *(f"#{n}" for n in counts)
            )
        )
    heads = ("site", "provider", "where", "#hypervisors", "#VMs", "#clusters")
    return section("Sites", table("All sites of the federation file", heads, rows)) if rows else ""


def _hypervisors(data: Data) -> str:
    rows = []
    for one in sorted(mappings(data, "hypervisors"), key=lambda host: (plain(host.get("site")), plain(host.get("name")))):
        capacity, pools = mapping(one, "capacity"), mappings(one, "pools")
        total = sum(whole(pool, "capacity") for pool in pools)
        free = sum(whole(pool, "free") for pool in pools)
        name = f"<strong>{escape(plain(one.get('name')))}</strong>"
        if one.get("reachable") is False:
            name += ' <span class="tag fail">✗ not reachable</span>'
        held = [
            _use(whole(capacity, "cpus_used"), whole(capacity, "cpus"), str),
            _use(whole(capacity, "memory_used"), whole(capacity, "memory"), show_size),
            _use(total - free, total, show_size),
        ]
        rows.append(cells(name, escape(plain(one.get("site"))), *held))
    heads = ("hypervisor", "site", "CPUs used", "memory used", "storage used")
    return section("Hypervisors", table("What running VMs hold of each", heads, rows)) if rows else ""


def _use(used: int, total: int, show: Any) -> str:
    if total <= 0:
        return '<span class="soft">not known</span>'
    told = escape(f"{show(used)} of {show(total)}, {show(max(0, total - used))} free")
    free = escape(show(max(0, total - used)))
    return f'{share_bar([(used / total, "full")], told)}{escape(show(used))} of {escape(show(total))}<br><small class="soft">{free} free</small>'


def _migrations(data: Data) -> str:
    rows = [
        cells(*(escape(plain(one.get(key))) for key in ("name", "kind", "source", "target", "mode", "phase")))
        for one in mappings(data, "migrations")
    ]
    body = table("From where to where", ("name", "of", "from", "to", "mode", "phase"), rows) if rows else "<p>None.</p>"
    return section("Migrations under way", body)


def _clusters(data: Data) -> str:
    rows = []
    for one in mappings(data, "clusters"):
        nodes = mappings(one, "nodes")
        ready = sum(node.get("ready") is True for node in nodes)
        known = any(number(node, "ready") is not None or isinstance(node.get("ready"), bool) for node in nodes)
        told = f"{ready} of {len(nodes)} ready" if known else f"{len(nodes)}, state not known"
        name = f"<strong>{escape(plain(one.get('name')))}</strong>"
        rows.append(cells(name, escape(plain(one.get("site"))), escape(plain(one.get("version"))), told))
    return section("Clusters", table("Kubernetes clusters", ("cluster", "site", "version", "nodes"), rows)) if rows else ""


def _vms(data: Data) -> str:
    rows = []
    for vm in sorted(mappings(data, "vms"), key=lambda one: (plain(one.get("site")), plain(one.get("name")))):
        found = vm.get("addresses")
        addresses: Sequence[Any] = found if isinstance(found, list) else ()
        rows.append(
            cells(
                f"<strong>{escape(plain(vm.get('name')))}</strong>",
                escape(plain(vm.get("state"))),
                escape(plain(vm.get("site"))),
                escape(plain(vm.get("hypervisor"))),
                f"#{whole(vm, 'cpus')}",
                f"#{show_size(whole(vm, 'memory'))}",
                escape(", ".join(plain(address) for address in addresses)),
            )
        )
    heads = ("VM", "state", "site", "hypervisor", "#CPUs", "#memory", "addresses")
    return section("VMs", table("Where each VM is", heads, rows)) if rows else ""
