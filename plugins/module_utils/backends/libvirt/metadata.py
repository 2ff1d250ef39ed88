# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the federation writes into a domain's metadata: one element per kind, each in its own XML namespace, holding JSON.

| kind        | holds                                                         |
|-------------|---------------------------------------------------------------|
| ``vm``        | the portable spec (``model.Vm.to_dict``)                     |
| ``owner``     | ``model.Owner.to_dict``                                      |
| ``migration`` | the journal (``migration.journal``)                          |
| ``cloud_init`` | ``{device, digest}``: its drive, and what was asked for   |
| ``bundle``     | ``id`` of the bundle that the VM was imported from           |
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

from ...model import Owner

KINDS = ("vm", "owner", "migration", "cloud_init", "bundle")
_NAMESPACE = "https://virt8ra.eu/federation/{kind}/1"

for _kind in KINDS:
    ET.register_namespace(f"federation-{_kind}", _NAMESPACE.format(kind=_kind))


def namespace(kind: str) -> str:
    """The XML namespace (libvirt: the metadata URI) of a kind."""
    return _NAMESPACE.format(kind=kind)


def prefix(kind: str) -> str:
    """The prefix (libvirt: the metadata key) of a kind."""
    return f"federation-{kind}"


def element_text(kind: str, payload: dict[str, Any]) -> str:
    """The element as libvirt's setMetadata takes it: without its namespace, which the call adds."""
    element = ET.Element(kind)
    element.text = json.dumps(payload, sort_keys=True)
    return ET.tostring(element, encoding="unicode")


def read(domain: ET.Element, kind: str) -> dict[str, Any] | None:
    """The payload in a parsed domain XML; None when there is none or when it is not JSON of ours."""
    element = domain.find(f"metadata/{{{namespace(kind)}}}{kind}")
    if element is None:
        return None
    try:
        payload = json.loads(element.text or "")
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None


def read_owner(domain: ET.Element) -> Owner | None:
    """The owner; None for none, and for what has not its shape: whoever can edit a domain can write anything here."""
    payload = read(domain, "owner") or {}
    hypervisor, epoch = payload.get("hypervisor"), payload.get("epoch")
    if not isinstance(hypervisor, str) or not isinstance(epoch, int) or isinstance(epoch, bool):
        return None
    return Owner(hypervisor, epoch)


def seed_drive(domain: ET.Element) -> str:
    """The drive of the disc with what the guest was given for its first boot; empty for none."""
    return str((read(domain, "cloud_init") or {}).get("device") or "")


def seed_digest(domain: ET.Element) -> str:
    """Of what the guest was given for its first boot; empty for nothing."""
    return str((read(domain, "cloud_init") or {}).get("digest") or "")


def write(domain: ET.Element, kind: str, payload: dict[str, Any] | None) -> None:
    """Set (or with None take away) the payload in a parsed domain XML, in place."""
    holder = domain.find("metadata")
    if holder is None:
        holder = ET.SubElement(domain, "metadata")
    tag = f"{{{namespace(kind)}}}{kind}"
    for old in holder.findall(tag):
        holder.remove(old)
    if payload is not None:
        ET.SubElement(holder, tag).text = json.dumps(payload, sort_keys=True)
