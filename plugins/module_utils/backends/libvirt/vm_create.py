# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM that does not exist yet."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import uuid as uuidlib
import xml.etree.ElementTree as ET
from typing import Any

from ...desired_vm import desired_vm
from ...errors import InputError
from ...model import Owner, Site, Vm, VmStatus
from ..base import Plan, Step, VmRequest
from . import domain_xml, domains, vm_checks
from .connection import libvirt, told
from .cpu_baseline import SharedCpu
from .host_capabilities import Accelerator, Cpu, DomainCapabilities, choose_accelerator
from .new_disks import NewDisk, made_disks, plan_disks
from .seed_disc import SeedDisc


def plan_creation(conn: Any, site: Site, uri: str, request: VmRequest) -> Plan:
    """Volumes, definition and perhaps the first start of a new VM; InputError for what cannot be."""
    for key in ("cpus", "memory"):
        if key not in request.given:
            remedy = f"give {key} to create the VM, or correct its name"
            raise InputError(
                f"there is no VM {request.name!r} here, and {key} is not given to make it", option="name", remedy=remedy
            )
    asked = desired_vm({"name": request.name, **request.given}, None)
    accelerator = choose_accelerator(conn, request.accelerator, uri)
    capabilities = DomainCapabilities(conn, accelerator, asked.machine)
    cpu = _cpu(capabilities, asked, request)
    vm = dataclasses.replace(asked, machine=capabilities.machine, cpu_model=cpu.model)
    vm_checks.check_size(conn, vm, capabilities)
    vm_checks.check_firmware(vm, capabilities)
    vm_checks.check_uuid(conn, vm.uuid)
    will_run = request.state == "running"
    nics = [(f"nics[{index}]", nic) for index, nic in enumerate(vm.nics)]
    vm_checks.check_nics(conn, site, nics, vm_checks.other_macs(conn, vm.name), will_run)
    new_disks = plan_disks(conn, site, vm.name, [(f"disks[{index}]", disk) for index, disk in enumerate(vm.disks)])
    seed = SeedDisc(conn, site, vm, request.cloud_init)
    maker = _Maker(conn, site, vm, seed, cpu, accelerator, min(capabilities.most_cpus, vm.cpus * domain_xml.CPU_HEADROOM))
    owner = Owner(request.hypervisor, 1)
    steps = [Step(f"create the VM {vm.name}", lambda: maker.make(new_disks, owner))]
    if will_run:
        steps.append(Step(f"start the VM {vm.name}", lambda: domains.start(conn.lookupByName(vm.name), vm.name)))
    return Plan(
        before=None,
        after=VmStatus("running" if will_run else "stopped", vm, owner, managed=True, cloud_init=seed.after),
        steps=steps,
        warnings=[accelerator.warning] if accelerator.warning else [],
    )


def _cpu(capabilities: DomainCapabilities, asked: Vm, request: VmRequest) -> Cpu:
    """A baseline is one over all hypervisors that were given with it."""
    if not request.baseline_cpus:
        return capabilities.cpu(asked.cpu_model)
    if asked.cpu_model != "baseline":
        remedy = "use cpu_model=baseline, or leave baseline_cpus out"
        raise InputError("is no baseline, and baseline_cpus is given", option="cpu_model", value=asked.cpu_model, remedy=remedy)
    return SharedCpu(capabilities, request.hypervisor, request.baseline_cpus).cpu()


@dataclasses.dataclass(frozen=True)
class _Maker:
    """What a definition needs beside the VM."""

    conn: Any
    site: Site
    vm: Vm
    seed: SeedDisc
    cpu: Cpu
    accelerator: Accelerator
    most_cpus: int

    def make(self, new_disks: list[NewDisk], owner: Owner) -> None:
        """All or nothing: a fault takes back the volumes and the definition that were made here."""
        vm = with_identity(self.vm)
        with made_disks(self.conn, new_disks) as paths, self.seed.made(vm.uuid):
            xml = domain_xml.build(
                vm,
                self.site,
                paths,
                accelerator=self.accelerator.name,
                cpu_features=self.cpu.features,
                most_cpus=self.most_cpus,
                owner=owner,
            )
            root = ET.fromstring(xml)
            self.seed.edit(root)
            handle = domains.define(self.conn, root)
            try:
                with told(f"setting autostart of VM {vm.name}"):
                    handle.setAutostart(int(vm.autostart))
            except BaseException:
                with contextlib.suppress(libvirt.libvirtError):
                    handle.undefine()
                raise


def with_identity(vm: Vm) -> Vm:
    """The VM with a UUID and MAC addresses where it has none."""
    nics = tuple(nic if nic.mac else dataclasses.replace(nic, mac=new_mac()) for nic in vm.nics)
    return dataclasses.replace(vm, uuid=vm.uuid or str(uuidlib.uuid4()), nics=nics)


def new_mac() -> str:
    """A locally administered unicast address of 40 random bits: VMs move, so it has to be unique in the whole federation."""
    return ":".join(f"{byte:02x}" for byte in (0x52, *secrets.token_bytes(5)))
