# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OVF 2 descriptor of a bundle, by which other tools read it (DMTF DSP0243 2.1.1), and its manifest of digests. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

from ..model import Vm
from .manifest import DISK, File, Manifest

_OVF = "http://schemas.dmtf.org/ovf/envelope/2"
_RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
_VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
_OWN = "https://virt8ra.eu/federation/ovf/1"
_FORMATS = {
    "qcow2": "http://www.gnome.org/~markmc/qcow-image-format.html",
    "raw": "https://virt8ra.eu/federation/ovf/1/raw",
}
# CIM resource types.
_CPU, _MEMORY, _NIC, _DISK_DRIVE, _SCSI, _SATA, _OTHER_STORAGE = "3", "4", "10", "17", "6", "20", "20"
_BUSES = {"virtio": (_OTHER_STORAGE, "virtio"), "scsi": (_SCSI, "VirtioSCSI"), "sata": (_SATA, "AHCI")}

for _prefix, _uri in (("ovf", _OVF), ("rasd", _RASD), ("vssd", _VSSD), ("virt8ra", _OWN)):
    ET.register_namespace(_prefix, _uri)


def descriptor(manifest: Manifest) -> str:
    """``<vm>.ovf``."""
    vm, disks = manifest.vm, manifest.of(DISK)
    root = ET.Element(_o("Envelope"), {"xml:lang": "en"})
    references = ET.SubElement(root, _o("References"))
    section = _section(root, "DiskSection", "The virtual disks")
    for disk in disks:
        ET.SubElement(references, _o("File"), {_o("id"): f"file-{disk.device}", _o("href"): disk.path, _o("size"): str(disk.size)})
        attributes = {
            "diskId": disk.device,
            "fileRef": f"file-{disk.device}",
            "capacity": str(disk.virtual_size),
            "format": _FORMATS[disk.format],
        }
        ET.SubElement(section, _o("Disk"), {_o(key): value for key, value in attributes.items()})
    networks = _section(root, "NetworkSection", "The networks, by their logical names in the federation")
    for name in dict.fromkeys(nic.network for nic in vm.nics):
        network = ET.SubElement(networks, _o("Network"), {_o("name"): name})
        ET.SubElement(network, _o("Description")).text = f"The network {name}"
    _system(root, vm, disks)
    ET.indent(root) if hasattr(ET, "indent") else None
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _system(root: ET.Element, vm: Vm, disks: Sequence[File]) -> None:
    system = ET.SubElement(root, _o("VirtualSystem"), {_o("id"): vm.name})
    ET.SubElement(system, _o("Info")).text = vm.description or f"The VM {vm.name}"
    ET.SubElement(system, _o("Name")).text = vm.name
    operating = _section(system, "OperatingSystemSection", "The guest's operating system is not known")
    operating.set(_o("id"), "1")
    hardware = _section(system, "VirtualHardwareSection", "The virtual hardware")
    described = ET.SubElement(hardware, _o("System"))
    for tag, text in (
        ("ElementName", "Virtual Hardware Family"),
        ("InstanceID", "0"),
        ("VirtualSystemIdentifier", vm.name),
        ("VirtualSystemType", f"{vm.machine}" or "q35"),
    ):
        ET.SubElement(described, f"{{{_VSSD}}}{tag}").text = text
    items = _Items(hardware)
    items.add("Item", f"{vm.cpus} virtual CPUs", _CPU, VirtualQuantity=vm.cpus)
    items.add("Item", f"{vm.memory} bytes of memory", _MEMORY, VirtualQuantity=vm.memory, AllocationUnits="byte")
    buses: dict[str, int] = {}
    for disk in vm.disks:
        if disk.bus not in buses:
            kind, subtype = _BUSES[disk.bus]
            buses[disk.bus] = items.add("Item", f"{disk.bus} controller", kind, ResourceSubType=subtype, Address=len(buses))
    for number, disk in enumerate(vm.disks):
        items.add(
            "StorageItem",
            disk.name,
            _DISK_DRIVE,
            HostResource=f"ovf:/disk/{disk.name}",
            Parent=buses[disk.bus],
            AddressOnParent=number,
        )
    for number, nic in enumerate(vm.nics):
        items.add(
            *("EthernetPortItem", f"nic{number}", _NIC),
            **{"Address": nic.mac, "Connection": nic.network, "ResourceSubType": nic.model, "AutomaticAllocation": "true"},
        )
    for key, value in (("firmware", vm.firmware), ("machine", vm.machine), ("cpuModel", vm.cpu_model), ("uuid", vm.uuid)):
        ET.SubElement(hardware, f"{{{_OWN}}}Config", {_o("required"): "false", "key": key, "value": value})


class _Items:
    """The items of the hardware; their children are in the order of their names, as the schema wants them."""

    def __init__(self, hardware: ET.Element) -> None:
        self._hardware = hardware
        self._number = 0

    def add(self, tag: str, name: str, kind: str, **settings: Any) -> int:
        self._number += 1
        item = ET.SubElement(self._hardware, _o(tag))
        # A StorageItem and an EthernetPortItem have namespaces of their own in OVF 2.
        space = {"Item": _RASD, "StorageItem": _SASD, "EthernetPortItem": _EPASD}[tag]
        every = {**settings, "ElementName": name, "InstanceID": self._number, "ResourceType": kind}
        for key in sorted(every):
            ET.SubElement(item, f"{{{space}}}{key}").text = str(every[key])
        return self._number


_SASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_StorageAllocationSettingData.xsd"
_EPASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_EthernetPortAllocationSettingData.xsd"
ET.register_namespace("sasd", _SASD)
ET.register_namespace("epasd", _EPASD)


def digests(files: Sequence[tuple[str, str]]) -> str:
    """``<vm>.mf``: the digests of the descriptor and of what it refers to."""
    return "".join(f"SHA256({name})= {digest}\n" for name, digest in files)


def _o(tag: str) -> str:
    return f"{{{_OVF}}}{tag}"


def _section(parent: ET.Element, tag: str, info: str) -> ET.Element:
    section = ET.SubElement(parent, _o(tag))
    ET.SubElement(section, _o("Info")).text = info
    return section
