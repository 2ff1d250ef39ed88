# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The domain XML that the VM has at the target: the source's, with disks, networks, owner and journal replaced. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

from ..backends.libvirt import metadata
from ..model import Vm


def destination_xml(
    source_xml: str,
    *,
    disks: dict[str, str],
    formats: dict[str, str] | None = None,
    networks: list[str],
    media: dict[str, str] | None = None,
    macs: list[str] | None = None,
    owner: dict[str, Any],
    journal: dict[str, Any],
    vm: dict[str, Any],
) -> str:
    """The XML for the target.

    :param source_xml: the source's XML, live and migratable or persistent
    :param disks: device (vda) to the path at the target
    :param media: drive to the path of its disc at the target, empty for none
    :param macs: in the order of the interfaces
    :param formats: device to the format there, where it is another one
    :param networks: the target's network for each interface, in the order of the XML
    :param owner, journal, vm: metadata payloads for the target
    """
    root = ET.fromstring(source_xml)
    for disk in root.findall("devices/disk"):
        target = disk.find("target")
        device = target.get("dev", "") if target is not None else ""
        if device in disks:
            _point_at(disk, disks[device])
            driver = disk.find("driver")
            if driver is not None and device in (formats or {}):
                driver.set("type", (formats or {})[device])
        elif device in (media or {}):
            _insert(disk, (media or {})[device])
    for interface, mac in zip(root.findall("devices/interface"), macs or []):
        address = interface.find("mac")
        if address is not None and mac:
            address.set("address", mac)
    for interface, network in zip(root.findall("devices/interface"), networks):
        _attach(interface, network)
    for kind, payload in (("owner", owner), ("migration", journal), ("vm", vm)):
        metadata.write(root, kind, payload)
    return ET.tostring(root, encoding="unicode")


def moved_spec(vm: Vm, disks: dict[str, dict[str, Any]], macs: Sequence[str] = ()) -> dict[str, Any]:
    """The portable spec as it is at the target.

    :param disks: the plan's, by device
    :param macs: in the order of the VM's NICs
    """
    spec = vm.to_dict()
    for nic, mac in zip(spec["nics"], macs):
        nic["mac"] = mac
    for disk in spec["disks"]:
        if disk["name"] in disks:
            disk["storage"], disk["format"] = disks[disk["name"]]["storage"], disks[disk["name"]]["format"]
            # It comes over whole, whatever it backed on.
            disk["clone"] = "full"
    return spec


def _point_at(disk: ET.Element, path: str) -> None:
    kind = "block" if path.startswith("/dev/") else "file"
    disk.set("type", kind)
    # A backing chain is flattened on the way, so the target's disk has none.
    for old in disk.findall("backingStore"):
        disk.remove(old)
    source = disk.find("source")
    if source is None:
        source = ET.SubElement(disk, "source")
    source.attrib.clear()
    source.set("dev" if kind == "block" else "file", path)


def _insert(drive: ET.Element, path: str) -> None:
    for old in [*drive.findall("source"), *drive.findall("backingStore")]:
        drive.remove(old)
    if path:
        drive.set("type", "file")
        ET.SubElement(drive, "source").set("file", path)


def _attach(interface: ET.Element, network: str) -> None:
    source = interface.find("source")
    if source is None:
        source = ET.SubElement(interface, "source")
    source.attrib.clear()
    source.set("network", network)
    # The name of the tap device is the source host's affair.
    for device in interface.findall("target"):
        interface.remove(device)
