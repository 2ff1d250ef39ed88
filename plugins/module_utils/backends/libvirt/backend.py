# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor under libvirt, as the modules see it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ...errors import InputError
from ...host_cpu import HostCpu
from ...model import Owner, Site, Vm, VmStatus
from ..base import Backend, Plan, Step, VmRequest
from . import addresses, domains, seed_disc, site_facts, vm_checks, volumes
from .cpu_baseline import SharedCpu
from .domains import Domain
from .host_capabilities import DomainCapabilities, choose_accelerator
from .registry import Registry
from .vm_change import VmChange, pending
from .vm_create import plan_creation


class LibvirtBackend(Backend):
    """One connection, for the life of a module.

    :param conn: an open virConnect to ``uri``
    """

    def __init__(self, conn: Any, site: Site, uri: str) -> None:
        self._conn = conn
        self._site = site
        self._uri = uri

    @cached_property
    def _pools(self) -> dict[str, str]:
        return volumes.pool_paths(self._conn)

    def facts(self, hypervisor: str = "") -> dict[str, Any]:
        return site_facts.read(self._conn, self._site, self._uri, hypervisor)

    def cpu_baseline(self, hypervisor: str, others: Sequence[HostCpu], accelerator: str) -> dict[str, Any]:
        chosen = choose_accelerator(self._conn, accelerator, self._uri)
        shared = SharedCpu(DomainCapabilities(self._conn, chosen), hypervisor, others)
        return {
            "baseline": shared.cpu().to_dict(),
            "features": shared.features(),
            "accelerator": chosen.name,
            "hypervisors": [cpu.hypervisor for cpu in shared.cpus],
        }

    def vms(self) -> list[VmStatus]:
        leases = addresses.leased(self._conn)
        return [domain.status(self._site, self._pools, leases) for domain in domains.every(self._conn)]

    def find_vm(self, name: str) -> VmStatus | None:
        domain = domains.find(self._conn, name)
        return None if domain is None else domain.status(self._site, self._pools, addresses.leased(self._conn))

    def restart_fields(self, name: str) -> list[str]:
        domain = domains.find(self._conn, name)
        if domain is None or not domain.active:
            return []
        return pending(domain, domain.vm(self._site, self._pools, live=True), domain.vm(self._site, self._pools))

    def plan_vm(self, request: VmRequest) -> Plan:
        domain = domains.find(self._conn, request.name)
        if domain is None:
            if request.state == "absent":
                return Plan(before=None, after=None)
            return plan_creation(self._conn, self._site, self._uri, request)
        vm_checks.check_ownership(domain, request.hypervisor, request.adopt)
        if request.state == "absent":
            return self._plan_removal(domain, request)
        return self._plan_change(domain, request)

    def _plan_change(self, domain: Domain, request: VmRequest) -> Plan:
        vm_checks.check_accelerator(domain, request.accelerator)
        change = VmChange(self._conn, self._site, domain, request, self._pools)
        steps = [*_power_off(domain, request), *change.steps(), *_power_on(domain, request)]
        state = {"running": "running", "stopped": "stopped"}.get(request.state, domain.state)
        return Plan(
            before=_before(domain, change.current),
            after=VmStatus(
                state, change.target, domain.owner or Owner(request.hypervisor, 1), managed=True, cloud_init=change.seed.after
            ),
            steps=steps,
            restart_fields=change.restart_fields(),
        )

    def _plan_removal(self, domain: Domain, request: VmRequest) -> Plan:
        names = domain.sources if request.remove_disks else ()
        paths = vm_checks.removable_paths(self._conn, domain, names)
        disc = seed_disc.path_of(domain.config)

        def remove() -> None:
            if domain.persistent:
                domains.undefine(domain.handle, domain.name, remove_nvram=request.remove_disks)
            # It is part of the definition, and holds secrets.
            seed_disc.remove(self._conn, disc)
            for path in paths:
                volumes.delete_volume(self._conn, path)
            if request.remove_disks:
                Registry(self._conn, request.hypervisor).forget(domain.uuid)

        what = f"remove the VM {domain.name}{' and its disks' if paths else ''}"
        before = _before(domain, domain.vm(self._site, self._pools))
        return Plan(before=before, after=None, steps=[*_power_off(domain, request), Step(what, remove)])


def _before(domain: Domain, vm: Vm) -> VmStatus:
    return VmStatus(
        domain.state, vm, domain.owner, persistent=domain.persistent, managed=domain.adopted, cloud_init=domain.cloud_init
    )


def _power_off(domain: Domain, request: VmRequest) -> list[Step]:
    """Stop a VM that is on and shall not be."""
    if not domain.active or request.state not in ("stopped", "absent"):
        return []
    if domain.state == "paused" and not request.force:
        remedy = "cut its power with force=true, or let it run first"
        raise InputError("is paused, so its guest cannot shut down", option="name", value=domain.name, remedy=remedy)
    stop = Step(
        f"stop the VM {domain.name}",
        lambda: domains.stop(domain.handle, domain.name, request.shutdown_timeout, request.force),
    )
    return [stop]


def _power_on(domain: Domain, request: VmRequest) -> list[Step]:
    if request.state != "running" or domain.state == "running":
        return []
    if domain.state == "paused":
        return [Step(f"resume the VM {domain.name}", lambda: domains.resume(domain.handle, domain.name))]
    return [Step(f"start the VM {domain.name}", lambda: domains.start(domain.handle, domain.name))]
