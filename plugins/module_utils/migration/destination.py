# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The domain XML that the VM has at the target: the source's, with disks, networks, owner and journal replaced. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from ..backends.libvirt import metadata


def destination_xml(
    source_xml: str,
    *,
    disks: dict[str, str],
    networks: list[str],
    owner: dict[str, Any],
    journal: dict[str, Any],
    vm: dict[str, Any],
) -> str:
    """The XML for the target.

    :param source_xml: the source's XML, live and migratable or persistent
    :param disks: device (vda) to the path at the target
    :param networks: the target's network for each interface, in the order of the XML
    :param owner, journal, vm: metadata payloads for the target
    """
    root = ET.fromstring(source_xml)
    for disk in root.findall("devices/disk"):
        target = disk.find("target")
        device = target.get("dev", "") if target is not None else ""
        if device in disks:
            _point_at(disk, disks[device])
    for interface, network in zip(root.findall("devices/interface"), networks):
        _attach(interface, network)
    for kind, payload in (("owner", owner), ("migration", journal), ("vm", vm)):
        metadata.write(root, kind, payload)
    return ET.tostring(root, encoding="unicode")


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


def _attach(interface: ET.Element, network: str) -> None:
    source = interface.find("source")
    if source is None:
        source = ET.SubElement(interface, "source")
    source.attrib.clear()
    source.set("network", network)
    # The name of the tap device is the source host's affair.
    for device in interface.findall("target"):
        interface.remove(device)
