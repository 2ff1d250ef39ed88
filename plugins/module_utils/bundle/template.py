# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``domain.xml`` of a bundle: the VM as ``virsh define`` takes it, with two placeholders, and nothing that is one host's own. Pure.

Only what is known to be of the VM itself is kept. It is made so at the export, and again at the import: whoever made a bundle must
not be able to point a VM at a host's files or devices.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..backends.libvirt import metadata
from ..backends.libvirt.domain_parts import attribute, target
from ..errors import InputError

FOLDER = "@FOLDER@"
NETWORK = "@NETWORK-{name}@"
AGENT = "org.qemu.guest_agent.0"
_KEPT = (
    *(
        "name",
        "uuid",
        "title",
        "description",
        "memory",
        "currentMemory",
        "vcpu",
        "os",
        "features",
        "cpu",
        "clock",
        "pm",
        "iothreads",
    ),
    *("on_poweroff", "on_reboot", "on_crash", "sysinfo", "genid"),
)
_DEVICES = (
    *("controller", "disk", "interface", "serial", "console", "channel", "input", "tpm", "video", "memballoon", "rng", "watchdog"),
    "panic",
)
_OS = ("type", "boot", "bootmenu", "bios", "smbios", "firmware")
_NIC = ("model", "boot", "mtu", "link", "address")
_DISK = ("target", "serial", "wwn", "boot", "address")
_ENTROPY = ("/dev/urandom", "/dev/random")
_AGAIN = "export the VM again"


@dataclass(frozen=True)
class Parts:
    """What is put in for the host's own.

    :param disks: ``(format, path)`` by device; the domain's other disks are left out
    :param media: path by drive; the other drives are empty
    :param networks: the network and the MAC address of each interface, in their order
    :param nvram: path of the firmware's variables; empty for none, or new ones
    """

    disks: Mapping[str, tuple[str, str]]
    media: Mapping[str, str]
    networks: Sequence[tuple[str, str]]
    nvram: str = ""


def _parsed(xml: str) -> ET.Element:
    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        raise InputError(f"the file domain.xml is not XML ({error})", remedy=_AGAIN) from error
    if root.tag != "domain":
        raise InputError("the file domain.xml describes no domain", remedy=_AGAIN)
    return root


def seed_drive_of(xml: str) -> str:
    """The drive of the disc with the VM's cloud-init data; empty where the federation made none."""
    return metadata.seed_drive(_parsed(xml))


def portable_domain(xml: str, parts: Parts) -> ET.Element:
    """The domain with these parts, and nothing of the host's; InputError where it is no domain, or another than the manifest's."""
    old = _parsed(xml)
    root = ET.Element("domain", type="kvm" if old.get("type") == "kvm" else "qemu")
    for element in old:
        # Of the others one kind names files of the host.
        if element.tag in _KEPT and (element.tag != "sysinfo" or element.get("type") == "smbios"):
            root.append(_os(element, parts.nvram) if element.tag == "os" else element)
    for vcpu in root.findall("vcpu"):
        vcpu.attrib.pop("cpuset", None)
    devices = ET.SubElement(root, "devices")
    interfaces = iter(parts.networks)
    for element in old.iterfind("devices/*"):
        if element.tag == "interface":
            devices.append(_interface(element, next(interfaces, None)))
        elif element.tag == "disk":
            devices.extend(_disk(element, parts.disks, parts.media))
        elif element.tag in _DEVICES:
            devices.extend(_device(element))
    there = {target(disk) for disk in devices.iterfind("disk")}
    missing = [*sorted(set(parts.disks) - there), *(mac for _network, mac in interfaces)]
    if missing:
        raise InputError(f"the file domain.xml lacks {', '.join(missing)}, which the manifest has", remedy=_AGAIN)
    seed = {"device": metadata.seed_drive(old), "digest": metadata.seed_digest(old)}
    if parts.media.get(seed["device"]):
        metadata.write(root, "cloud_init", seed)
    ET.indent(root)
    return root


def _os(old: ET.Element, nvram: str) -> ET.Element:
    """Firmware is chosen anew at every host: the path of a loader is one host's own."""
    new, loader = ET.Element("os"), old.find("loader")
    if old.get("firmware") == "efi" or (loader is not None and loader.get("type") == "pflash"):
        new.set("firmware", "efi")
    new.extend([element for element in old if element.tag in _OS])
    if new.get("firmware") != "efi":
        return new
    if new.find("firmware") is None and loader is not None and loader.get("secure"):
        features = ET.SubElement(new, "firmware")
        ET.SubElement(features, "feature", enabled=loader.get("secure", "no"), name="secure-boot")
    if nvram:
        ET.SubElement(new, "nvram").text = nvram
    return new


def _interface(old: ET.Element, joined: tuple[str, str] | None) -> ET.Element:
    if joined is None:
        raise InputError("the file domain.xml has more network interfaces than the manifest", remedy=_AGAIN)
    network, mac = joined
    new = ET.Element("interface", type="network")
    ET.SubElement(new, "mac", address=mac)
    ET.SubElement(new, "source", network=network)
    new.extend([element for element in old if element.tag in _NIC])
    return new


def _disk(old: ET.Element, disks: Mapping[str, tuple[str, str]], media: Mapping[str, str]) -> list[ET.Element]:
    name, kind = target(old), old.get("device", "disk")
    is_disk = kind in ("disk", "lun")
    if is_disk and name not in disks:
        return []
    if not is_disk and kind not in ("cdrom", "floppy"):
        return []
    format, path = disks[name] if is_disk else ("raw", media.get(name, ""))
    block = path.startswith("/dev/")
    new = ET.Element("disk", type="block" if block else "file", device="disk" if is_disk else kind)
    driver = ET.SubElement(new, "driver", name="qemu", type=format)
    if is_disk:
        # No host cache: what the guest was told is durable must be on the volume.
        driver.set("cache", "none")
        driver.set("discard", "unmap")
    if path:
        ET.SubElement(new, "source", {"dev" if block else "file": path})
    new.extend([element for element in old if element.tag in _DISK])
    if not is_disk:
        ET.SubElement(new, "readonly")
    return [new]


def _device(old: ET.Element) -> list[ET.Element]:
    if old.tag in ("serial", "console", "channel"):
        return _character(old)
    if old.tag == "input":
        return [old] if old.get("type") in ("mouse", "keyboard", "tablet") else []
    if old.tag == "rng":
        backend = old.find("backend")
        safe = backend is not None and backend.get("model") == "random" and (backend.text or "").strip() in _ENTROPY
        return [old] if safe else []
    if old.tag == "tpm":
        if attribute(old, "backend", "type") != "emulator":
            return []
        new = ET.Element("tpm", model=old.get("model", "tpm-crb"))
        ET.SubElement(new, "backend", type="emulator", version=attribute(old, "backend", "version") or "2.0")
        return [new]
    return [old]


def _character(old: ET.Element) -> list[ET.Element]:
    """A pty, or the guest agent's channel; whatever else they are joined to is the host's."""
    if old.tag == "channel" and attribute(old, "target", "name") != AGENT:
        return []
    new = ET.Element(old.tag, type="unix" if old.tag == "channel" else "pty")
    for element in old:
        if element.tag in ("target", "address"):
            kept = copy.deepcopy(element)
            kept.attrib.pop("state", None)
            new.append(kept)
    return [new]


def template_text(root: ET.Element) -> str:
    return ET.tostring(root, encoding="unicode") + "\n"
