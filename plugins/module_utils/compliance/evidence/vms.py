# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM's domain XML shows: confinement, shape, and whether its disks are encrypted. Pure but for devices below folders."""

from __future__ import annotations

import posixpath
import xml.etree.ElementTree as ET
from typing import Any, Callable

from ...errors import FederationError
from .fact import Fact, failed

# DAC only sets owners of files; these two keep one VM's process from another's files.
_CONFINING = ("apparmor", "selinux")
HOW = "libvirt: virDomainGetXMLDesc"


def vm_facts(root: ET.Element, encrypted_folder: Callable[[str], bool]) -> dict[str, Fact]:
    """Areas ``security_label``, ``machine`` and ``disks`` of one VM.

    :param root: its domain XML
    :param encrypted_folder: whether the device below a folder is encrypted; FederationError where that cannot be told
    """
    return {
        "security_label": {"how": HOW, "data": security_label(root)},
        "machine": {"how": HOW, "data": machine(root)},
        "disks": _disks(root, encrypted_folder),
    }


def security_label(root: ET.Element) -> dict[str, Any]:
    """``{running, labels: [{model, type, label}], confined}``; a stopped VM has no process, and so no label yet."""
    labels = [
        {"model": label.get("model", ""), "type": label.get("type", ""), "label": label.findtext("label") or ""}
        for label in root.findall("seclabel")
    ]
    confined = any(one["model"] in _CONFINING and one["label"] and one["type"] != "none" for one in labels)
    return {"running": root.get("id") is not None, "labels": labels, "confined": confined}


def machine(root: ET.Element) -> dict[str, Any]:
    """``{hypervisor, type, architecture, cpu_mode, cpu_model, passthrough}``; ``passthrough`` names devices of the host."""
    kind = root.find("os/type")
    cpu = root.find("cpu")
    devices = [f"{device.get('type', '')} {_address(device)}".strip() for device in root.findall("devices/hostdev")]
    devices += [f"interface {nic.get('type', '')}" for nic in root.findall("devices/interface") if nic.get("type") == "hostdev"]
    devices += ["disk block" for disk in root.findall("devices/disk") if disk.get("device") == "lun"]
    return {
        "hypervisor": root.get("type", ""),
        "type": "" if kind is None else kind.get("machine", ""),
        "architecture": "" if kind is None else kind.get("arch", ""),
        "cpu_mode": "" if cpu is None else cpu.get("mode", "custom"),
        "cpu_model": (root.findtext("cpu/model") or "").strip(),
        "passthrough": devices,
    }


def _address(device: ET.Element) -> str:
    address = device.find("source/address")
    return "" if address is None else " ".join(f"{key}={value}" for key, value in sorted(address.attrib.items()))


def _disks(root: ET.Element, encrypted_folder: Callable[[str], bool]) -> Fact:
    """``[{target, source, format, below, encrypted}]`` of disks, not of discs; one that cannot be told makes it an error."""
    how = f"{HOW}; findmnt of the disks' folders; /sys/class/block"
    found = []
    for disk in root.findall("devices/disk"):
        if disk.get("device", "disk") not in ("disk", "lun"):
            continue
        target = disk.find("target")
        name = "" if target is None else target.get("dev", "")
        source = disk.find("source")
        path = "" if source is None else source.get("file") or source.get("dev") or ""
        own = disk.find("source/encryption") if disk.find("encryption") is None else disk.find("encryption")
        form = "" if own is None else own.get("format", "")
        below = False
        if form != "luks":
            if not path:
                return failed(
                    how, f"the disk {name} is neither a file nor a device of the host, so what is below it cannot be told"
                )
            try:
                below = encrypted_folder(path if disk.get("type") == "block" else posixpath.dirname(path))
            except FederationError as error:
                return failed(how, f"the disk {name} is not encrypted itself, and {error.sentence()}")
        found.append({"target": name, "source": path, "format": form, "below": below, "encrypted": form == "luks" or below})
    return {"how": how, "data": found}
