# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making and changing the pieces of a domain's XML; pure. What is not named stays as libvirt wrote it."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ...model import Disk, Nic, Site
from . import domain_parts

CONSOLE_LOG = "/var/log/libvirt/qemu/{name}-console.log"


def disk_element(disk: Disk, path: str) -> ET.Element:
    """``<disk>`` over a volume; a path under /dev is a block device."""
    block = path.startswith("/dev/")
    element = ET.Element("disk", type="block" if block else "file", device="disk")
    # No host cache: what the guest was told is durable must be on the volume, and migration needs it.
    ET.SubElement(element, "driver", name="qemu", type=disk.format, cache="none", discard="unmap")
    ET.SubElement(element, "source", {"dev" if block else "file": path})
    ET.SubElement(element, "target", dev=disk.name, bus=disk.bus)
    return element


def drive_element(root: ET.Element, device: str, bus: str, path: str) -> ET.Element:
    """``<disk>`` of a drive with a disc in it, at an address that libvirt gives to no disk by itself."""
    block = path.startswith("/dev/")
    element = ET.Element("disk", type="block" if block else "file", device="cdrom")
    ET.SubElement(element, "driver", name="qemu", type="raw")
    ET.SubElement(element, "source", {"dev" if block else "file": path})
    ET.SubElement(element, "target", dev=device, bus=bus)
    ET.SubElement(element, "readonly")
    # A disk's number is its unit, on the first target of SCSI.
    target, unit = ("1", "0") if bus == "scsi" else ("0", _free_sata_unit(root))
    ET.SubElement(element, "address", type="drive", controller="0", bus="0", target=target, unit=unit)
    return element


def _free_sata_unit(root: ET.Element) -> str:
    taken = {
        ord(domain_parts.target(element)[2:3] or "a") - ord("a")
        for element in root.iterfind("devices/disk")
        if domain_parts.bus(element) == "sata"
    }
    return str(next((unit for unit in range(5, -1, -1) if unit not in taken), 5))


def add_drive(root: ET.Element, drive: ET.Element) -> None:
    devices = _devices(root)
    devices.append(drive)
    if domain_parts.bus(drive) == "scsi" and root.find("devices/controller[@type='scsi']") is None:
        devices.append(scsi_controller())


def remove_disk(root: ET.Element, element: ET.Element) -> None:
    _devices(root).remove(element)


def without_medium(drive: ET.Element) -> ET.Element:
    """The drive as it is, with nothing in it."""
    empty = copy.deepcopy(drive)
    for tag in ("source", "backingStore"):
        for old in empty.findall(tag):
            empty.remove(old)
    return empty


def nic_element(nic: Nic, site: Site, option: str = "network") -> ET.Element:
    """``<interface>`` on the site's own network; without a MAC libvirt chooses one."""
    element = ET.Element("interface", type="network")
    if nic.mac:
        ET.SubElement(element, "mac", address=nic.mac)
    ET.SubElement(element, "source", network=site.local_network(nic.network, option))
    ET.SubElement(element, "model", type=nic.model)
    return element


def set_description(root: ET.Element, description: str) -> None:
    _fresh(root, "description").text = description or None


def set_memory(root: ET.Element, memory: int) -> None:
    """Both the ceiling and the present amount; bytes."""
    for tag in ("memory", "currentMemory"):
        element = _fresh(root, tag)
        element.text = str(memory // 1024)
        element.set("unit", "KiB")


def set_cpus(root: ET.Element, cpus: int, maximum: int) -> None:
    """The vCPUs to start with, and how many can be plugged in; a ceiling that is there is never lowered."""
    old = root.find("vcpu")
    ceiling = max(cpus, maximum if old is None else domain_parts.number(old.text))
    element = _fresh(root, "vcpu")
    element.text = str(ceiling)
    element.set("placement", "static")
    if cpus != ceiling:
        element.set("current", str(cpus))
    # libvirt's list of single vCPUs would contradict the new count.
    for listed in root.findall("vcpus"):
        root.remove(listed)


def set_cpu_model(root: ET.Element, model: str, features: Sequence[tuple[str, str]]) -> None:
    """A named model and (policy, name) features; a topology that is there stays."""
    element = root.find("cpu")
    if element is None:
        element = ET.SubElement(root, "cpu")
    for name, value in (("mode", "custom"), ("match", "exact"), ("check", "partial")):
        element.set(name, value)
    element.attrib.pop("migratable", None)
    for child in list(element):
        if child.tag in ("model", "vendor", "feature", "maxphysaddr"):
            element.remove(child)
    ET.SubElement(element, "model", fallback="forbid").text = model
    for policy, name in features:
        ET.SubElement(element, "feature", policy=policy, name=name)


def set_console_log(root: ET.Element, name: str | None) -> None:
    """Log the first serial console under the VM's name; None ends it."""
    # libvirt shows the first serial port a second time as a console.
    for element in [*root.findall("devices/serial"), *root.findall("devices/console")]:
        for log in element.findall("log"):
            element.remove(log)
        if name is not None and element.find("target[@port='0']") is not None:
            element.insert(0, ET.Element("log", file=CONSOLE_LOG.format(name=name), append="on"))


def set_machine(root: ET.Element, machine: str) -> None:
    element = root.find("os/type")
    if element is not None:
        element.set("machine", machine)


def set_disks(root: ET.Element, disks: Sequence[Disk], new_paths: dict[str, str]) -> None:
    """Take away the disks that are not wanted, and add those of ``new_paths`` (path by disk name)."""
    devices = _devices(root)
    wanted = {disk.name for disk in disks}
    for name, element in domain_parts.disks_by_name(root).items():
        if name not in wanted:
            devices.remove(element)
    devices.extend([disk_element(disk, new_paths[disk.name]) for disk in disks if disk.name in new_paths])
    if any(disk.bus == "scsi" for disk in disks) and root.find("devices/controller[@type='scsi']") is None:
        devices.append(scsi_controller())


def set_nics(root: ET.Element, nics: Sequence[Nic], site: Site) -> None:
    """Take away, add and change NICs, which are known by their MAC address."""
    devices = _devices(root)
    present = domain_parts.nics_by_mac(root)
    wanted = {nic.mac: nic for nic in nics}
    for mac, element in present.items():
        if mac not in wanted:
            devices.remove(element)
    for mac, nic in wanted.items():
        if mac not in present:
            devices.append(nic_element(nic, site))
            continue
        if site.logical_network(domain_parts.network(present[mac]), nic.network) != nic.network:
            set_network(present[mac], site.local_network(nic.network, "network"))
        _fresh(present[mac], "model").set("type", nic.model)


def set_network(element: ET.Element, network: str) -> None:
    """Put a NIC on another of the site's networks."""
    element.set("type", "network")
    source = _fresh(element, "source")
    source.set("network", network)


def scsi_controller() -> ET.Element:
    return ET.Element("controller", type="scsi", model="virtio-scsi")


def _devices(root: ET.Element) -> ET.Element:
    found = root.find("devices")
    return ET.SubElement(root, "devices") if found is None else found


def _fresh(parent: ET.Element, tag: str) -> ET.Element:
    """The child of that tag, emptied, or a new one."""
    element = parent.find(tag)
    if element is None:
        return ET.SubElement(parent, tag)
    element.clear()
    return element
