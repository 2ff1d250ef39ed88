# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices of a hypervisor that a guest can be given: PCI functions, GPUs among them, and slices of them (mdev).

A PCI function can be given where an IOMMU keeps it apart. It is free while no VM has it and no driver of the host's own: a disk
controller that the host runs on is never offered, and a GPU is once it is bound to ``vfio-pci``.
"""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any

from .connection import libvirt, told

_DISPLAY, _BRIDGE = "03", "06"
_GIVEN_UP = ("", "vfio-pci", "pci-stub")  # drivers that hold a device for guests, or none
_ADDRESS = ("domain", "bus", "slot", "function")


def read(conn: Any, vms: Iterable[ET.Element]) -> list[dict[str, Any]]:
    """``{kind, vendor, product, name, address, driver, type, count, free}`` of each device, by address and type.

    :param vms: XML of all VMs, running or not, which tells what is taken
    """
    pci, mdevs = _listed(conn, "PCI_DEV"), _listed(conn, "MDEV")
    taken = {address for vm in vms for address in _taken(vm)}
    devices = [device for element in pci if _can_be_given(element) for device in [_function(element, taken)]]
    devices += [device for element in pci for device in _slices(element, mdevs, taken)]
    return sorted(devices, key=lambda device: (device["address"], device["type"]))


def _listed(conn: Any, capability: str) -> list[ET.Element]:
    """XML of the devices with a capability; none where libvirt has no driver for them."""
    flag = getattr(libvirt, f"VIR_CONNECT_LIST_NODE_DEVICES_CAP_{capability}")
    with told("listing the host's devices"):
        try:
            handles = conn.listAllDevices(flag)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
            return []
    found = []
    for handle in handles:
        # A device that was unplugged meanwhile is none.
        with contextlib.suppress(libvirt.libvirtError):
            found.append(ET.fromstring(handle.XMLDesc(0)))
    return found


def _can_be_given(element: ET.Element) -> bool:
    code = _class(element)
    return element.find("capability/iommuGroup") is not None and not code.startswith(_BRIDGE)


def _class(element: ET.Element) -> str:
    return (element.findtext("capability/class") or "").removeprefix("0x").rjust(6, "0")


def _function(element: ET.Element, taken: set[str]) -> dict[str, Any]:
    described = _described(element)
    free = described["address"] not in taken and described["driver"] in _GIVEN_UP
    kind = "gpu" if _class(element).startswith(_DISPLAY) else "pci"
    return {**described, "kind": kind, "type": "", "count": 1, "free": int(free)}


def _slices(element: ET.Element, mdevs: list[ET.Element], taken: set[str]) -> Iterable[dict[str, Any]]:
    """What a device can be cut into; slices that are made already count with those that still can be."""
    for kind in element.iterfind("capability/capability[@type='mdev_types']/type"):
        made = [mdev for mdev in mdevs if _is_slice(mdev, element.findtext("name") or "", kind.get("id", ""))]
        idle = [mdev for mdev in made if (mdev.findtext("capability/uuid") or "").lower() not in taken]
        more = int(kind.findtext("availableInstances") or 0)
        counts = {"count": more + len(made), "free": more + len(idle)}
        name = kind.findtext("name") or kind.get("id", "")
        yield {**_described(element), "kind": "mdev", "type": kind.get("id", ""), "name": name, **counts}


def _is_slice(mdev: ET.Element, parent: str, kind: str) -> bool:
    element = mdev.find("capability/type")
    return mdev.findtext("parent") == parent and element is not None and element.get("id") == kind


def _described(element: ET.Element) -> dict[str, Any]:
    """Vendor and product by their hexadecimal numbers of four digits, as lspci -n writes them."""
    vendor, product = element.find("capability/vendor"), element.find("capability/product")
    names = [(part.text or "").strip() for part in (vendor, product) if part is not None]
    parts = {part: element.findtext(f"capability/{part}") or "0" for part in _ADDRESS}
    return {
        "vendor": _number(vendor),
        "product": _number(product),
        "name": " ".join(name for name in names if name),
        "address": _address({part: int(value, 0) for part, value in parts.items()}),
        "driver": element.findtext("driver/name") or "",
    }


def _number(element: ET.Element | None) -> str:
    return "" if element is None else element.get("id", "").removeprefix("0x")


def _address(parts: dict[str, int]) -> str:
    return f"{parts['domain']:04x}:{parts['bus']:02x}:{parts['slot']:02x}.{parts['function']}"


def _taken(vm: ET.Element) -> Iterable[str]:
    """PCI addresses and UUIDs of slices that a VM has, or gets at its next start."""
    for source in (*vm.iterfind("devices/hostdev/source/address"), *vm.iterfind("devices/interface/source/address")):
        if source.get("uuid"):
            yield source.get("uuid", "").lower()
        elif source.get("slot"):
            yield _address({part: int(source.get(part, "0"), 0) for part in _ADDRESS})
