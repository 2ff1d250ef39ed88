# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every VM of many hypervisors at once, as plain data that can be cached.

One connection for each hypervisor, all at the same time, with many calls in flight on each: over a long line the time is a
few round trips, not a few for every VM. What a VM is comes in bulk or from its XML; only running VMs cost more calls.
"""

from __future__ import annotations

import contextlib
import functools
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from typing import Any

from ...crew import work_through
from ...errors import FederationError, UnreachableError
from ...model import Hypervisor, Site, Vm
from . import addresses, metadata, states
from .connection import libvirt, open_connection, told
from .domain_xml import read_vm
from .volumes import pool_paths

_IN_FLIGHT = 20
# Threads of all connections together, so that a hundred hypervisors do not become thousands.
_THREADS = 240
# libvirt takes 4,096 domains in a call; smaller lots also keep one slow VM from holding up the rest.
_STATES_IN_A_CALL = 1000
_SIZES_IN_A_CALL = 100
# Disk sizes and addresses are worth this part of the site's time, no more.
_SHARE_OF_DETAILS = 0.3


def readings(
    hypervisors: Sequence[tuple[Site, Hypervisor]], *, timeout: float, pki_path: str | None
) -> dict[str, Callable[[], dict[str, Any]]]:
    """What reads the VMs of each hypervisor, by its name, within ``timeout`` seconds from now; a report is ``{"vms": [vm, …]}``."""
    deadline = time.monotonic() + timeout
    in_flight = max(2, min(_IN_FLIGHT, _THREADS // max(1, len(hypervisors))))

    def reading(site: Site, hypervisor: Hypervisor) -> Callable[[], dict[str, Any]]:
        return lambda: {"vms": _read_vms(site, hypervisor, deadline, pki_path, in_flight)}

    return {hypervisor.name: reading(site, hypervisor) for site, hypervisor in hypervisors}


def _read_vms(site: Site, hypervisor: Hypervisor, deadline: float, pki_path: str | None, in_flight: int) -> list[dict[str, Any]]:
    remaining = deadline - time.monotonic()
    conn = open_connection(hypervisor.uri, timeout=remaining, pki_path=pki_path)
    try:
        with told(f"reading the VMs of {hypervisor.name}"):
            return _Reader(conn, site, deadline, in_flight).vms()
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            conn.close()


def definitions(conn: Any, timeout: float) -> list[ET.Element]:
    """The domain XML of all VMs of an open connection, by name; a running VM's has an ``id`` and what it got when it was started.

    UnreachableError when not all could be read within ``timeout`` seconds.
    """
    with told("reading the VMs"):
        domains = conn.listAllDomains()
        answers = work_through(domains, _definition, workers=_IN_FLIGHT, deadline=time.monotonic() + timeout)
    if None in answers:
        raise UnreachableError("not all VMs could be read in time", remedy="raise connect_timeout")
    roots = [root for answer in answers for root in answer or ()]
    return sorted(roots, key=lambda root: root.findtext("name") or "")


def pool_definitions(conn: Any) -> list[ET.Element]:
    """The XML of all storage pools of an open connection, by name."""
    with told("reading the storage pools"):
        roots = [ET.fromstring(pool.XMLDesc()) for pool in conn.listAllStoragePools()]
    return sorted(roots, key=lambda root: root.findtext("name") or "")


def _definition(domain: Any) -> list[ET.Element]:
    """An empty list where it was undefined since the list was made."""
    try:
        return [ET.fromstring(domain.XMLDesc())]
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return []
        raise


class _Reader:
    """One hypervisor's VMs over one open connection, until ``deadline`` (monotonic seconds)."""

    def __init__(self, conn: Any, site: Site, deadline: float, in_flight: int) -> None:
        self._conn = conn
        self._site = site
        self._deadline = deadline
        self._in_flight = in_flight
        self._pools: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._states: dict[str, str] = {}

    def vms(self) -> list[dict[str, Any]]:
        """The records of all domains, by name; UnreachableError when not all could be read by the deadline."""
        domains = self._conn.listAllDomains()
        self._read_surroundings(domains)
        lots = [domains[start : start + _STATES_IN_A_CALL] for start in range(0, len(domains), _STATES_IN_A_CALL)]
        answers = work_through([*lots, *domains], self._read_part, workers=self._in_flight, deadline=self._deadline)
        if None in answers:
            raise UnreachableError("not all of its VMs could be read in time", remedy="check the line, or raise site_timeout")
        read = [one for answer in answers for one in answer or ()]
        for one in read:
            one.record["state"] = self._states.get(one.record["uuid"], "running" if one.active else "stopped")
        self._read_addresses([one for one in read if one.record["state"] == "running"])
        return sorted((one.record for one in read), key=lambda record: str(record["name"]))

    def _details_deadline(self) -> float:
        now = time.monotonic()
        return now + _SHARE_OF_DETAILS * max(0.0, self._deadline - now)

    def _read_surroundings(self, domains: list[Any]) -> None:
        """Pools and disk sizes, as far as they come in time."""
        lots = [domains[start : start + _SIZES_IN_A_CALL] for start in range(0, len(domains), _SIZES_IN_A_CALL)]
        calls: list[Callable[[], None]] = [self._read_pools, *(functools.partial(self._read_sizes, lot) for lot in lots)]
        work_through(calls, lambda call: call(), workers=self._in_flight, deadline=self._details_deadline())

    def _read_pools(self) -> None:
        with contextlib.suppress(FederationError):
            self._pools = pool_paths(self._conn)

    def _read_sizes(self, domains: list[Any]) -> None:
        nowait = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        with contextlib.suppress(libvirt.libvirtError):
            listed = self._conn.domainListGetStats(domains, libvirt.VIR_DOMAIN_STATS_BLOCK, nowait)
            self._sizes.update(_disk_sizes([stats for _domain, stats in listed]))

    def _read_part(self, part: Any) -> list[_Read]:
        """What comes of one call: of a list of domains their states, which are kept; of one domain its record."""
        if isinstance(part, list):
            for domain, stats in self._conn.domainListGetStats(part, libvirt.VIR_DOMAIN_STATS_STATE):
                self._states[domain.UUIDString()] = states.word(stats.get("state.state", 0))
            return []
        try:
            root = ET.fromstring(part.XMLDesc())
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return []  # It was undefined since the list was made.
            raise
        return [_Read(read_vm(root, self._site, self._pools, self._sizes), root, part)]

    def _read_addresses(self, running: list[_Read]) -> None:
        if not running:
            return
        deadline = self._details_deadline()
        leases = (work_through([self._conn], addresses.leased, workers=1, deadline=deadline)[0]) or {}
        for one in running:
            one.record["addresses"] = addresses.best_first(leases, one.macs)
        unknown = [one for one in running if one.active and one.macs and not one.record["addresses"]]
        found = work_through(unknown, _ask_address, workers=self._in_flight, deadline=deadline)
        for one, listed in zip(unknown, found):
            one.record["addresses"] = listed or []


class _Read:
    """A record whose state is yet to come; while the VM is active, the virDomain to ask more of."""

    __slots__ = ("active", "agent", "domain", "macs", "record")

    def __init__(self, vm: Vm, root: ET.Element, domain: Any) -> None:
        self.record = _record(vm, root)
        self.active = root.get("id") is not None
        self.agent = self.active and addresses.has_agent(root)
        self.domain = domain if self.active else None
        self.macs = [nic.mac for nic in vm.nics if nic.mac]


def _ask_address(one: _Read) -> list[str]:
    return addresses.asked(one.domain, one.macs, one.agent)


def _disk_sizes(listed: list[dict[str, Any]]) -> dict[str, int]:
    """Virtual bytes by path, of libvirt's block statistics."""
    sizes = {}
    for stats in listed:
        for number in range(stats.get("block.count", 0)):
            path, size = stats.get(f"block.{number}.path"), stats.get(f"block.{number}.capacity")
            if path and size:
                sizes[path] = size
    return sizes


def _record(vm: Vm, root: ET.Element) -> dict[str, Any]:
    """By hand: ``to_dict`` copies deeply, which for thousands of VMs is most of the time."""
    owner = metadata.read_owner(root)
    return {
        "name": vm.name,
        "uuid": vm.uuid,
        "state": "",
        "cpus": vm.cpus,
        "memory": vm.memory,
        "description": vm.description,
        "disks": [dict(vars(disk)) for disk in vm.disks],
        "nics": [dict(vars(nic)) for nic in vm.nics],
        "allowed_countries": list(vm.allowed_countries),
        "placement": {} if vm.placement is None else vm.placement.to_dict(),
        "owner": None if owner is None else vars(owner).copy(),
        "migration": _migration(metadata.read(root, "migration")),
        "managed": metadata.read(root, "vm") is not None,
        "addresses": [],
    }


def _migration(payload: dict[str, Any] | None) -> dict[str, Any] | None:
    """From where to where the VM goes or went last, and how far it came; only what has the shape of a journal."""
    if payload is None:
        return None
    told = {key: payload.get(key) for key in ("source", "target", "mode", "phase")}
    return told if all(isinstance(value, str) for value in told.values()) else None
