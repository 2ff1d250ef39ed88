# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the pieces of a domain's XML; pure, and never raising on odd XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

_UNITS = {"b": 1, "bytes": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BINARY_UNITS = {"k": 2**10, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def disk_elements(root: ET.Element) -> Iterator[ET.Element]:
    """The disks that hold data: no CD-ROM, no floppy."""
    for element in root.iterfind("devices/disk"):
        if element.get("device", "disk") in ("disk", "lun"):
            yield element


def source_path(element: ET.Element) -> str:
    """The path of a disk's file or block device; empty for what has none (a network disk, a pool's volume by name)."""
    source = element.find("source")
    return "" if source is None else source.get("file") or source.get("dev") or ""


def disk_sources(root: ET.Element) -> dict[str, str]:
    """Path of each disk that has one, by the disk's name."""
    return {target(element): source_path(element) for element in disk_elements(root) if source_path(element)}


def macs(root: ET.Element) -> list[str]:
    """Every MAC address of a domain, in lower case."""
    return [element.get("address", "").lower() for element in root.iterfind("devices/interface/mac")]


def disks_by_name(root: ET.Element) -> dict[str, ET.Element]:
    return {target(element): element for element in disk_elements(root)}


def nics_by_mac(root: ET.Element) -> dict[str, ET.Element]:
    return {attribute(element, "mac", "address").lower(): element for element in root.iterfind("devices/interface")}


def target(element: ET.Element) -> str:
    """The device name of a disk, such as vda."""
    return attribute(element, "target", "dev")


def bus(element: ET.Element) -> str:
    return attribute(element, "target", "bus")


def network(element: ET.Element) -> str:
    """The network behind a NIC; empty for a NIC that is not on one."""
    return attribute(element, "source", "network")


def cpus(root: ET.Element) -> int:
    """The vCPUs that are plugged in."""
    element = root.find("vcpu")
    return 1 if element is None else number(element.get("current") or element.text, 1)


def most_cpus(root: ET.Element) -> int:
    """How many vCPUs there can be."""
    return number(root.findtext("vcpu"), 1)


def memory(root: ET.Element) -> int:
    """Bytes that the guest has now; the ceiling where the domain does not say."""
    element = root.find("currentMemory")
    return most_memory(root) if element is None else _bytes(element)


def most_memory(root: ET.Element) -> int:
    """Bytes that the guest can have."""
    element = root.find("memory")
    return 0 if element is None else _bytes(element)


def _bytes(element: ET.Element) -> int:
    unit = element.get("unit", "KiB")
    return number(element.text) * (_UNITS.get(unit) or _BINARY_UNITS.get(unit[:1], 1024))


def attribute(root: ET.Element, path: str, name: str) -> str:
    """An attribute of the first element at a path; empty without."""
    element = root.find(path)
    return "" if element is None else element.get(name, "")


def number(text: str | None, default: int = 0) -> int:
    text = (text or "").strip()
    return int(text) if text.isdecimal() and text.isascii() else default
