# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM that exists: what changes, what of it a running guest gets at once, and what waits for its next start.

The definition is changed first, in one piece; then each change that can be live is made live. What libvirt keeps of a
definition beyond the portable spec (addresses on the PCI bus, other devices) is left as it is.
"""

from __future__ import annotations

import copy
import dataclasses
import xml.etree.ElementTree as ET
from typing import Any, Callable

from ...desired_vm import by_mac, by_name, desired_vm, differing
from ...errors import InputError
from ...model import Disk, Nic, Owner, Site, Vm
from ..base import Step, VmRequest
from . import domain_edit, domain_parts, domains, metadata, seed_disc, vm_checks, volumes
from .connection import libvirt, told
from .domains import Domain
from .host_capabilities import Accelerator, Cpu, DomainCapabilities
from .new_disks import NewDisk, made_disks, plan_disks
from .seed_disc import SeedDisc
from .vm_create import new_mac

_SCSI = "devices/controller[@type='scsi']"


class VmChange:
    """The way from a domain to the VM that is wanted; ``steps`` only after the constructor has refused what cannot be."""

    def __init__(self, conn: Any, site: Site, domain: Domain, request: VmRequest, pools: dict[str, str]) -> None:
        self._conn = conn
        self._site = site
        self._domain = domain
        self._request = request
        self._stays_on = domain.active and request.state != "stopped"
        self.current = domain.vm(site, pools)
        self._live = domain.vm(site, pools, live=True) if domain.active else self.current
        self.target = desired_vm(self._given(), self.current)
        self._changed = differing(self.current, self.target)
        self._adopts = not domain.adopted
        self.seed = SeedDisc(conn, site, self.target, request.cloud_init, domain.config)
        self._cpu = Cpu(self.target.cpu_model)
        self._new_disks: list[NewDisk] = []
        self._doomed: list[str] = []
        if self._changed or self._adopts or self.seed.changed:
            self._check()

    def _given(self) -> dict[str, Any]:
        """A baseline is computed when a VM is made, and kept: it must not follow the host that the VM is on."""
        given = dict(self._request.given)
        if given.get("cpu_model") == "baseline":
            del given["cpu_model"]
        return given

    def _check(self) -> None:
        domain, target = self._domain, self.target
        if not domain.persistent:
            remedy = "define it, or stop it and create it anew"
            raise InputError("is transient, so nothing of it can be changed", option="name", value=domain.name, remedy=remedy)
        disk_options = {disk.get("name", ""): f"disks[{at}]" for at, disk in enumerate(self._request.given.get("disks", []))}
        vm_checks.check_kept(self.current, target, disk_options)
        present = by_name(self.current.disks)
        added = [(disk_options[disk.name], disk) for disk in target.disks if disk.name not in present]
        seed_disc.check_names(domain.config, added)
        self._new_disks = plan_disks(self._conn, self._site, domain.name, added)
        if self._request.remove_disks:
            gone = [name for name in present if name not in by_name(target.disks)]
            self._doomed = vm_checks.removable_paths(self._conn, domain, gone)
        self._check_host()
        if "nics" in self._changed:
            old = by_mac(self.current.nics)
            nics = [(self._nic_option(nic), nic) for nic in target.nics if old.get(nic.mac) != nic]
            must_run = self._stays_on or self._request.state == "running"
            vm_checks.check_nics(self._conn, self._site, nics, vm_checks.other_macs(self._conn, domain.name), must_run)

    def _nic_option(self, nic: Nic) -> str:
        """Where a NIC was written: by its MAC, else by its network."""
        written = list(enumerate(self._request.given["nics"]))
        found = [index for index, one in written if nic.mac and str(one.get("mac", "")).lower() == nic.mac]
        found += [index for index, one in written if one["network"] == nic.network]
        return f"nics[{found[0]}]" if found else "nics"

    def _check_host(self) -> None:
        changed = set(self._changed) & {"cpus", "memory", "machine", "cpu_model"}
        if not changed:
            return
        accelerator = Accelerator("kvm" if self._domain.config.get("type") == "kvm" else "tcg")
        capabilities = DomainCapabilities(self._conn, accelerator, self.target.machine)
        vm_checks.check_size(self._conn, self.target, capabilities)
        if "cpu_model" in changed:
            self._cpu = capabilities.cpu(self.target.cpu_model)

    @property
    def reached(self) -> Vm:
        """What the running guest will have once the steps are done."""
        if not self._stays_on:
            return self.target
        live, target, changed = self._live, self.target, self._changed
        return dataclasses.replace(
            live,
            description=target.description,
            autostart=target.autostart,
            allowed_countries=target.allowed_countries,
            placement=target.placement,
            cpus=target.cpus if self._plugs_cpus else live.cpus,
            memory=target.memory if self._moves_balloon else live.memory,
            disks=self._reached_disks() if "disks" in changed else live.disks,
            nics=self._reached_nics() if "nics" in changed else live.nics,
        )

    @property
    def _plugs_cpus(self) -> bool:
        """A guest can be given vCPUs up to its ceiling, but boot CPUs cannot be taken away."""
        return "cpus" in self._changed and self._live.cpus < self.target.cpus <= domain_parts.most_cpus(self._domain.live)

    @property
    def _moves_balloon(self) -> bool:
        return "memory" in self._changed and self.target.memory <= domain_parts.most_memory(self._domain.live)

    def _reached_disks(self) -> tuple[Disk, ...]:
        wanted, live = by_name(self.target.disks), by_name(self._live.disks)
        kept = [wanted.get(name, disk) for name, disk in live.items() if name in wanted or not _can_be_plugged(disk)]
        return (*kept, *(disk for name, disk in wanted.items() if name not in live and _can_be_plugged(disk)))

    def _reached_nics(self) -> tuple[Nic, ...]:
        live = by_mac(self._live.nics)
        return tuple(dataclasses.replace(nic, model=live[nic.mac].model) if nic.mac in live else nic for nic in self.target.nics)

    def restart_fields(self) -> list[str]:
        if not self._stays_on:
            return []
        waits = self.seed.waits(self._domain.live)
        return pending(self._domain, self.reached, self.target, waits=waits)

    def steps(self) -> list[Step]:
        done = ["take over"] if self._adopts else []
        changed = [*self._changed, *(["cloud_init"] if self.seed.changed else [])]
        if changed:
            done.append(f"change {', '.join(changed)} of")
        return [Step(f"{' and '.join(done)} the VM {self._domain.name}", self._carry_out)] if done else []

    def _carry_out(self) -> None:
        # With a MAC for every new NIC, so that the definition and the running guest get the same one.
        target = dataclasses.replace(
            self.target, nics=tuple(nic if nic.mac else dataclasses.replace(nic, mac=new_mac()) for nic in self.target.nics)
        )
        if self.seed.changed and self._stays_on:
            self.seed.eject_live(self._domain.handle, self._domain.live)
        with made_disks(self._conn, self._new_disks) as paths, self.seed.made(self._domain.uuid):
            root = self._edited(target, paths)
            handle = domains.define(self._conn, root)
        if "autostart" in self._changed:
            with told(f"setting autostart of VM {self._domain.name}"):
                handle.setAutostart(int(target.autostart))
        if not self._stays_on:
            self._grow_disks(handle)
        else:
            payloads = {
                **self._payloads(target),
                **({seed_disc.KIND: metadata.read(root, seed_disc.KIND)} if self.seed.changed else {}),
            }
            if self.seed.changed:
                self.seed.change_live(handle, self._domain.live, root)
            domains.show_live(handle, target.description, payloads)
            self._grow_disks(handle)
            self._follow_live(handle, target)
        for path in self._doomed:
            volumes.delete_volume(self._conn, path)

    def _edited(self, target: Vm, new_paths: dict[str, str]) -> ET.Element:
        """The definition with what changed; the rest of it is libvirt's own."""
        root = copy.deepcopy(self._domain.config)
        changed = self._changed
        if "description" in changed:
            domain_edit.set_description(root, target.description)
        if "cpus" in changed:
            domain_edit.set_cpus(root, target.cpus, target.cpus)
        if "memory" in changed:
            domain_edit.set_memory(root, target.memory)
        if "cpu_model" in changed:
            domain_edit.set_cpu_model(root, self._cpu.model, self._cpu.features)
        if "machine" in changed:
            domain_edit.set_machine(root, target.machine)
        if "console_log" in changed:
            domain_edit.set_console_log(root, target.name if target.console_log else None)
        if "disks" in changed:
            domain_edit.set_disks(root, target.disks, new_paths)
        if "nics" in changed:
            domain_edit.set_nics(root, target.nics, self._site)
        if self.seed.changed:
            self.seed.edit(root)
        for kind, payload in self._payloads(target).items():
            metadata.write(root, kind, payload)
        return root

    def _payloads(self, target: Vm) -> dict[str, dict[str, Any] | None]:
        """The metadata that has to be written, by kind."""
        payloads: dict[str, dict[str, Any] | None] = {"vm": target.to_dict()}
        if self._adopts:
            payloads["owner"] = Owner(self._request.hypervisor, 1).to_dict()
        return payloads

    def _grow_disks(self, handle: Any) -> None:
        old = by_name(self.current.disks)
        for disk in self.target.disks:
            if disk.name not in old or old[disk.name].size == disk.size:
                continue
            if self._stays_on:
                domains.grow_live_disk(handle, disk.name, disk.size)
            else:
                volume = volumes.volume_at(self._conn, self._domain.sources[disk.name])
                with told(f"growing the disk {disk.name} of VM {self._domain.name}"):
                    volume.resize(disk.size)

    def _follow_live(self, handle: Any, target: Vm) -> None:
        """Devices get the PCI address of the definition, or the guest would find them elsewhere after a restart."""
        with told(f"reading the VM {target.name}"):
            defined = ET.fromstring(handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        running = self._domain.live
        if self._plugs_cpus:
            domains.set_live_cpus(handle, target.cpus)
        if self._moves_balloon:
            domains.set_live_memory(handle, target.memory)
        if "disks" in self._changed:
            _follow_disks(handle, running, defined)
        if "nics" in self._changed:
            _follow_nics(handle, running, defined)


def _can_be_plugged(disk: Disk) -> bool:
    return disk.bus != "sata"


def _follow_disks(handle: Any, running: ET.Element, defined: ET.Element) -> None:
    """Plug and unplug until the running guest has the disks of the definition, but for those on SATA."""
    old, new = domain_parts.disks_by_name(running), domain_parts.disks_by_name(defined)
    for name, element in old.items():
        if name not in new and domain_parts.bus(element) != "sata":
            domains.unplug(handle, element, _lacks(domain_parts.disks_by_name, name))
    added = [element for name, element in new.items() if name not in old and domain_parts.bus(element) != "sata"]
    controller = defined.find(_SCSI)
    if any(domain_parts.bus(element) == "scsi" for element in added) and running.find(_SCSI) is None and controller is not None:
        domains.plug(handle, controller)
    for element in added:
        domains.plug(handle, element)


def _follow_nics(handle: Any, running: ET.Element, defined: ET.Element) -> None:
    """Plug, unplug and move until the running guest has the NICs of the definition; a NIC's model needs a restart."""
    old, new = domain_parts.nics_by_mac(running), domain_parts.nics_by_mac(defined)
    for mac, element in old.items():
        if mac not in new:
            domains.unplug(handle, element, _lacks(domain_parts.nics_by_mac, mac))
    for mac, element in new.items():
        if mac not in old:
            domains.plug(handle, element)
        elif domain_parts.network(old[mac]) != domain_parts.network(element):
            moved = copy.deepcopy(old[mac])
            domain_edit.set_network(moved, domain_parts.network(element))
            domains.replug(handle, moved)


def _lacks(devices: Callable[[ET.Element], dict[str, ET.Element]], key: str) -> Callable[[ET.Element], bool]:
    return lambda root: key not in devices(root)


def pending(domain: Domain, live: Vm, config: Vm, *, waits: bool | None = None) -> list[str]:
    """The keys in which a running guest differs from what its next start will give it.

    :param waits: whether its disc of cloud-init does; None: as the domain's XML tells
    """
    keys = differing(_sorted(live), _sorted(config))
    # A mode such as host-model reads as a model while it runs; that is no difference.
    if "cpu_model" in keys and domain_parts.attribute(domain.config, "cpu", "mode") != "custom":
        keys.remove("cpu_model")
    if seed_disc.waits(domain.live, domain.config) if waits is None else waits:
        keys.append("cloud_init")
    return keys


def _sorted(vm: Vm) -> Vm:
    """libvirt lists a running domain's devices in an order of its own."""
    disks = tuple(sorted(vm.disks, key=lambda disk: disk.name))
    return dataclasses.replace(vm, disks=disks, nics=tuple(sorted(vm.nics, key=lambda nic: nic.mac)))
