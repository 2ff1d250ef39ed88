# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hypervisors as places for VMs, and the VMs that are there already; read from what ``site_info`` and ``vm_info`` return."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError
from ..fields import Fields
from ..model import Site, Vm
from ..rules import PlacementRules


@dataclass(frozen=True)
class Offered:
    """``free`` devices of one sort; ``ids``: PCI numbers of vendor and product, ``name``: what the host calls them."""

    kind: str
    ids: tuple[str, str]
    name: str
    free: int

    @classmethod
    def from_facts(cls, data: Mapping[str, Any]) -> Offered:
        ids = str(data.get("vendor", "")), str(data.get("product", ""))
        return cls(str(data.get("kind", "")), ids, str(data.get("name", "")), _whole(data.get("free", data.get("count", 1))))


@dataclass(frozen=True)
class Place:
    """A hypervisor of a site. Memory in bytes; ``fault``: why nothing is known of it, with the rest empty then.

    ``offered``: VMs may be placed there.
    ``cpus`` and ``memory`` are what may be promised, overcommit included; ``cpus_free`` and ``memory_free`` what is left of it.
    ``pools``: free bytes by pool; ``storage`` and ``networks``: active local ones by logical name.
    ``features``: None where it does not tell. ``counts_stopped``: VMs that are off are among what is not free.
    """

    hypervisor: str
    site: Site
    fault: str = ""
    offered: bool = True
    cpus: float = 0.0
    cpus_free: float = 0.0
    memory: int = 0
    memory_free: int = 0
    most_cpus: int = 0
    models: frozenset[str] = frozenset()
    features: frozenset[str] | None = None
    machine_types: frozenset[str] = frozenset()
    uefi: bool = False
    pools: tuple[tuple[str, int], ...] = ()
    storage: tuple[tuple[str, str], ...] = ()
    networks: frozenset[str] = frozenset()
    devices: tuple[Offered, ...] = ()
    counts_stopped: bool = False

    @classmethod
    def from_facts(cls, hypervisor: str, site: Site, data: Any, where: str) -> Place:
        """Keys that placement does not know are passed over: facts may come from a newer version."""
        facts = Fields(data, where)
        capacity = Fields(facts.get("capacity", required=True), f"{where}.capacity")
        cpu = Fields(facts.get("cpu", {}), f"{where}.cpu")
        cpus = capacity.integer("cpus", None, 1, 2**20, required=True) * site.cpu_overcommit
        memory = int(_bytes(capacity, "memory", required=True) * site.memory_overcommit)
        left = memory - _bytes(capacity, "memory_used")
        if site.memory_overcommit <= 1 and capacity.get("memory_free") is not None:
            # What the host holds for itself cannot be had.
            left = min(left, _bytes(capacity, "memory_free"))
        # A VM that is off may be started at any time.
        left -= _bytes(capacity, "memory_stopped")
        promised = capacity.integer("cpus_used", 0, 0, 2**30) + capacity.integer("cpus_stopped", 0, 0, 2**30)
        pools = [pool for pool in facts.mappings("pools") if pool.get("active", True)]
        networks = [network for network in facts.mappings("networks") if network.get("active", True)]
        features = None if cpu.get("features") is None else frozenset(cpu.texts("features"))
        return cls(
            hypervisor=hypervisor,
            site=site,
            cpus=cpus,
            cpus_free=cpus - promised,
            memory=memory,
            memory_free=left,
            most_cpus=cpu.integer("most_cpus", 1024, 0, 2**20),
            models=frozenset(cpu.texts("models")),
            features=features,
            machine_types=frozenset(facts.texts("machine_types")),
            uefi=cpu.boolean("uefi", False),
            pools=tuple(sorted((str(pool.get("name")), int(pool.get("free", 0))) for pool in pools)),
            storage=tuple(sorted((str(name), str(pool.get("name"))) for pool in pools for name in pool.get("storage", ()))),
            networks=frozenset(str(name) for network in networks for name in network.get("networks", ())),
            devices=tuple(
                sorted(
                    (Offered.from_facts(device) for device in facts.mappings("devices")),
                    key=lambda one: (one.kind, one.ids, one.name),
                )
            ),
            counts_stopped=capacity.get("cpus_stopped") is not None,
        )


def _bytes(fields: Fields, key: str, *, required: bool = False) -> int:
    return fields.integer(key, None if required else 0, 0, 2**62, required=required)


def _check_names(names: Iterable[str], known: Collection[str], where: str) -> None:
    for name in names:
        if name not in known:
            remedy = f"use those of the sites: {', '.join(sorted(known)) or 'none'}"
            raise InputError("is not a hypervisor of any site", option=where, value=name, remedy=remedy)


def read_places(sites: tuple[Site, ...], facts: Mapping[str, Any], where: str = "facts") -> tuple[Place, ...]:
    """All hypervisors of all sites, by site and name; InputError for facts of a hypervisor that no site has."""
    declared = {hypervisor.name: site for site in sites for hypervisor in site.hypervisors}
    _check_names(facts, declared, where)
    places = []
    for name, site in sorted(declared.items(), key=lambda item: (item[1].name, item[0])):
        if facts.get(name) is None:
            places.append(Place(name, site, fault="its facts could not be read"))
        else:
            places.append(Place.from_facts(name, site, facts[name], f"{where}.{name}"))
    return tuple(places)


def offered(places: tuple[Place, ...], among: Sequence[str] | None, where: str = "among") -> tuple[Place, ...]:
    """The same, with all others told not to be offered; InputError for a hypervisor that no site has."""
    if among is None:
        return places
    _check_names(among, {place.hypervisor for place in places}, where)
    return tuple(place if place.hypervisor in among else replace(place, offered=False) for place in places)


@dataclass(frozen=True)
class Present:
    """A VM that is at a hypervisor; ``movable``: the federation has its whole spec, so it could be made elsewhere."""

    vm: Vm
    hypervisor: str
    running: bool
    movable: bool

    @classmethod
    def from_status(cls, hypervisor: str, data: Any, where: str) -> Present | None:
        """Of what ``vm_info`` returns; None for a copy that another hypervisor owns. A VM of somebody else is read as far as it goes."""
        status = Fields(data, where)
        owner = status.get("owner")
        if isinstance(owner, Mapping) and owner.get("hypervisor") != hypervisor:
            return None
        spec = status.get("vm", required=True)
        movable = status.boolean("managed", True)
        try:
            vm = Vm.from_dict(spec, f"{where}.vm")
        except InputError:
            vm, movable = _roughly(spec), False
        return cls(vm, hypervisor, status.text("state", "running") in ("running", "paused"), movable)


def _roughly(spec: Any) -> Vm:
    data = spec if isinstance(spec, Mapping) else {}
    countries = data.get("allowed_countries")
    return Vm(
        name=str(data.get("name", "")),
        cpus=_whole(data.get("cpus")),
        memory=_whole(data.get("memory")),
        allowed_countries=tuple(str(code) for code in countries) if isinstance(countries, (list, tuple)) else (),
        placement=PlacementRules.from_metadata(data.get("placement")),
    )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def read_present(places: tuple[Place, ...], data: Mapping[str, Any], where: str = "present") -> tuple[Present, ...]:
    """The VMs at each hypervisor, by name; InputError for a hypervisor that no site has."""
    names = {place.hypervisor for place in places}
    found = []
    for hypervisor, statuses in data.items():
        _check_names((hypervisor,), names, where)
        if not isinstance(statuses, (list, tuple)):
            remedy = "write a list of what vm_info returns"
            raise InputError("is not a list", option=f"{where}.{hypervisor}", value=statuses, remedy=remedy)
        for index, status in enumerate(statuses):
            one = Present.from_status(hypervisor, status, f"{where}.{hypervisor}[{index}]")
            if one is not None:
                found.append(one)
    return tuple(sorted(found, key=lambda one: (one.vm.name, one.hypervisor)))
