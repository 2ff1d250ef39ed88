# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of VMs, read from the descriptions that libvirt gives of all of them; pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import BackendError
from .facts import Area, Fact, gather, subject

_XML = "virDomainGetXMLDesc, of each domain of virConnectListAllDomains"


def vm_subjects(
    domains: Sequence[Mapping[str, Any]], site: str, encrypted: Mapping[str, bool], luks: Mapping[str, bool]
) -> list[dict[str, Any]]:
    """A subject for each VM.

    :param domains: ``{"name", "active", "xml"}`` of each
    :param encrypted: whether libvirt knows a volume to be LUKS, by its path
    :param luks: whether the block devices below a path are all LUKS, by the path of a pool
    """
    return [_subject(one, site, encrypted, luks) for one in domains]


def _subject(domain: Mapping[str, Any], site: str, encrypted: Mapping[str, bool], luks: Mapping[str, bool]) -> dict[str, Any]:
    root = ET.fromstring(domain["xml"])
    areas = [
        Area("confinement", f"{_XML}: seclabel", lambda: confinement(root, bool(domain["active"]))),
        Area("shape", f"{_XML}: os, cpu, devices", lambda: shape(root)),
        Area("disk_encryption", f"{_XML}: disk; virStorageVolGetXMLDesc; dm/uuid", lambda: disks(root, encrypted, luks)),
    ]
    return subject("vm", str(domain["name"]), site, gather(areas))


def running_vms(subjects: Sequence[Mapping[str, Any]]) -> Fact:
    """The fact of a hypervisor: ``{"running": n, "unconfined": [names]}``."""
    read = {str(one["name"]): one["facts"]["confinement"].get("data") for one in subjects}
    running = {name: data for name, data in read.items() if data}
    unconfined = sorted(name for name, data in running.items() if not data["confined"])
    return {"how": f"{_XML}: seclabel", "data": {"running": len(running), "unconfined": unconfined}}


def confinement(root: ET.Element, active: bool) -> dict[str, Any]:
    """``{"running", "labels": [{"model", "type", "label"}], "confined"}``; what a VM is confined by, only a running one tells."""
    if not active:
        raise BackendError("the VM does not run, so that it has no label")
    labels = [
        {"model": one.get("model", ""), "type": one.get("type", ""), "label": one.findtext("label", "")}
        for one in root.findall("seclabel")
    ]
    # DAC only parts users; what keeps one VM from another's files is SELinux or AppArmor.
    held = [one for one in labels if one["model"] in ("selinux", "apparmor") and one["type"] != "none" and one["label"]]
    return {"running": True, "labels": labels, "confined": bool(held)}


def shape(root: ET.Element) -> dict[str, Any]:
    """``{"machine", "arch", "cpu_mode", "cpu_model", "passthrough": [...]}``."""
    kind = root.find("os/type")
    cpu = root.find("cpu")
    held = [f"{one.get('type', '')} {one.get('mode', '')}".strip() for one in root.findall("devices/hostdev")]
    held += ["interface hostdev" for one in root.findall("devices/interface") if one.get("type") == "hostdev"]
    return {
        "machine": "" if kind is None else kind.get("machine", ""),
        "arch": "" if kind is None else kind.get("arch", ""),
        "cpu_mode": "" if cpu is None else cpu.get("mode", "custom"),
        "cpu_model": "" if cpu is None else cpu.findtext("model", ""),
        "passthrough": held,
    }


def disks(root: ET.Element, encrypted: Mapping[str, bool], luks: Mapping[str, bool]) -> dict[str, Any]:
    """``{"disks": [{"target", "source", "encrypted", "by"}]}``, without discs and floppies.

    ``encrypted`` is null where nothing told; ``by`` is ``qemu`` (LUKS in the disk) or ``host`` (LUKS below the file system).
    """
    return {"disks": [_disk(one, encrypted, luks) for one in root.findall("devices/disk") if one.get("device", "disk") == "disk"]}


def _disk(disk: ET.Element, encrypted: Mapping[str, bool], luks: Mapping[str, bool]) -> dict[str, Any]:
    source, target = disk.find("source"), disk.find("target")
    found = {} if source is None else source.attrib
    path = found.get("file") or found.get("dev") or found.get("name") or found.get("volume") or ""
    read: dict[str, Any] = {"target": "" if target is None else target.get("dev", ""), "source": path, "encrypted": None, "by": ""}
    if disk.find("source/encryption") is not None or disk.find("encryption") is not None or encrypted.get(path):
        return {**read, "encrypted": True, "by": "qemu"}
    below = [(folder, held) for folder, held in luks.items() if path.startswith(folder.rstrip("/") + "/")]
    if below:
        held = max(below, key=lambda one: len(one[0]))[1]
        return {**read, "encrypted": held, "by": "host" if held else ""}
    return read
