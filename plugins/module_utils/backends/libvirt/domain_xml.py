# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM as libvirt's domain XML, both ways; pure, no libvirt.

``build`` writes the XML of a new domain, ``read_vm`` reads any domain, ours or not. The XML is the truth; metadata only
says what XML cannot: allowed countries, the placement policy, the image a disk came from, autostart, and which of several logical names was meant.
"""

from __future__ import annotations

import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

from ...model import Disk, Nic, Owner, Site, Vm
from ...rules import PlacementRules
from . import domain_edit, metadata
from .domain_parts import attribute, cpus, disk_elements, memory, source_path, target

# Four hot-plugged disks or NICs before a restart is needed; a q35 machine takes each in a root port of its own.
SPARE_PORTS = 4
# vCPUs that can be added while the VM runs, as a multiple of those it is created with.
CPU_HEADROOM = 2
_ALWAYS_PLUGGED = 3  # serial controller, balloon and RNG
_HARDWARE = (
    "<hardware>"
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    # No graphics element: nothing listens for VNC, yet a boot loader that wants a screen finds one.
    "<video><model type='vga' vram='16384' heads='1' primary='yes'/></video>"
    "<memballoon model='virtio'/>"
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
    "</hardware>"
)


def build(
    vm: Vm,
    site: Site,
    disk_sources: dict[str, str],
    *,
    accelerator: str = "kvm",
    cpu_features: Sequence[tuple[str, str]] = (),
    most_cpus: int = 0,
    owner: Owner | None = None,
) -> str:
    """The XML that defines ``vm``, whose machine and CPU model are resolved (no ``baseline``, no empty machine).

    :param disk_sources: path of the volume of each disk, by the disk's name
    :param accelerator: ``kvm`` or ``tcg``
    :param cpu_features: (policy, name) beside the model, as a baseline gives them
    :param most_cpus: up to how many vCPUs can be plugged in later; 0: no more than it starts with
    :param owner: the hypervisor that may run it
    :raises InputError: a network that the site does not map
    """
    root = ET.Element("domain", type="kvm" if accelerator == "kvm" else "qemu")
    _text(root, "name", vm.name)
    if vm.uuid:
        _text(root, "uuid", vm.uuid)
    if vm.description:
        domain_edit.set_description(root, vm.description)
    domain_edit.set_memory(root, vm.memory)
    domain_edit.set_cpus(root, vm.cpus, most_cpus)
    os_element = ET.SubElement(root, "os")
    if vm.firmware == "uefi":
        os_element.set("firmware", "efi")
    ET.SubElement(os_element, "type", arch="x86_64", machine=vm.machine).text = "hvm"
    ET.SubElement(os_element, "boot", dev="hd")
    features = ET.SubElement(root, "features")
    for name in ("acpi", "apic"):
        ET.SubElement(features, name)
    domain_edit.set_cpu_model(root, vm.cpu_model, cpu_features)
    ET.SubElement(root, "clock", offset="utc")
    for event, reaction in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(root, f"on_{event}", reaction)
    _add_devices(root, vm, site, disk_sources)
    metadata.write(root, "vm", vm.to_dict())
    if owner is not None:
        metadata.write(root, "owner", owner.to_dict())
    return ET.tostring(root, encoding="unicode")


def _add_devices(root: ET.Element, vm: Vm, site: Site, disk_sources: dict[str, str]) -> None:
    devices = ET.SubElement(root, "devices")
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
    for _port in range(len(vm.disks) + len(vm.nics) + _ALWAYS_PLUGGED + SPARE_PORTS):
        ET.SubElement(devices, "controller", type="pci", model="pcie-root-port")
    if any(disk.bus == "scsi" for disk in vm.disks):
        devices.append(domain_edit.scsi_controller())
    # Lists, because extend hides what a generator raises.
    devices.extend([domain_edit.disk_element(disk, disk_sources[disk.name]) for disk in vm.disks])
    devices.extend([domain_edit.nic_element(nic, site, f"nics[{index}].network") for index, nic in enumerate(vm.nics)])
    serial = ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(serial, "target", port="0")
    if vm.console_log:
        domain_edit.set_console_log(root, vm.name)
    devices.extend(ET.fromstring(_HARDWARE))


def _text(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text


def read_vm(root: ET.Element, site: Site, pools: dict[str, str], sizes: dict[str, int]) -> Vm:
    """The portable spec of any domain. Never raises: what cannot be known is empty, or 0 for a size.

    :param pools: pool names by their target path; empty: the metadata's word is taken for a disk's storage
    :param sizes: virtual bytes by volume path; empty: the metadata's word is taken
    """
    hints = metadata.read(root, "vm") or {}
    countries = hints.get("allowed_countries")
    return Vm(
        name=root.findtext("name") or "",
        cpus=cpus(root),
        memory=memory(root),
        uuid=root.findtext("uuid") or "",
        description=root.findtext("description") or "",
        cpu_model=_cpu_model(root),
        machine=attribute(root, "os/type", "machine"),
        firmware="uefi" if _is_uefi(root) else "bios",
        disks=_read_disks(root, site, pools, sizes, _hints(hints, "disks", "name")),
        nics=_read_nics(root, site, _hints(hints, "nics", "mac"), hints.get("nics")),
        console_log=root.find("devices/serial/log") is not None,
        autostart=hints.get("autostart") is True,
        allowed_countries=tuple(str(code) for code in countries) if isinstance(countries, list) else (),
        placement=PlacementRules.from_metadata(hints.get("placement")),
    )


def _read_disks(
    root: ET.Element, site: Site, pools: dict[str, str], sizes: dict[str, int], hints: dict[str, dict[str, Any]]
) -> tuple[Disk, ...]:
    disks = []
    for element in disk_elements(root):
        path = source_path(element)
        name = target(element)
        hint = hints.get(name, {})
        size = hint.get("size")
        image = hint.get("image")
        disks.append(
            Disk(
                name=name,
                size=sizes.get(path) or (size if isinstance(size, int) else 0),
                storage=_storage(element, path, site, pools, str(hint.get("storage") or "")),
                format=attribute(element, "driver", "type") or "raw",
                bus=attribute(element, "target", "bus"),
                image=image if isinstance(image, str) else None,
                clone="thin" if hint.get("clone") == "thin" else "full",
            )
        )
    return tuple(disks)


def _storage(element: ET.Element, path: str, site: Site, pools: dict[str, str], hint: str) -> str:
    pool = attribute(element, "source", "pool") or pools.get(posixpath.dirname(path), "")
    if pool:
        return site.logical_storage(pool, hint)
    return hint if not pools and hint in site.storage else ""


def _read_nics(root: ET.Element, site: Site, hints: dict[str, dict[str, Any]], listed: Any) -> tuple[Nic, ...]:
    nics = []
    for index, element in enumerate(root.iterfind("devices/interface")):
        mac = attribute(element, "mac", "address").lower()
        # A NIC that was defined without a MAC has no hint by MAC; then the one at its place in the list serves.
        placed = listed[index] if isinstance(listed, list) and index < len(listed) else None
        hint = hints.get(mac) or (placed if isinstance(placed, dict) else {})
        nics.append(
            Nic(
                network=site.logical_network(attribute(element, "source", "network"), str(hint.get("network") or "")),
                mac=mac,
                model=attribute(element, "model", "type") or "rtl8139",
            )
        )
    return tuple(nics)


def _hints(hints: dict[str, Any], key: str, by: str) -> dict[str, dict[str, Any]]:
    """The mappings in a list of the metadata, by one of their keys; whatever is odd is passed over."""
    listed = hints.get(key)
    if not isinstance(listed, list):
        return {}
    return {str(item.get(by)): item for item in listed if isinstance(item, dict)}


def _cpu_model(root: ET.Element) -> str:
    """The named model, else the mode (``host-passthrough``); empty where the domain leaves it to the hypervisor."""
    return root.findtext("cpu/model") or attribute(root, "cpu", "mode")


def _is_uefi(root: ET.Element) -> bool:
    return attribute(root, "os", "firmware") == "efi" or attribute(root, "os/loader", "type") == "pflash"
