# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The IP addresses of running VMs: from DHCP leases, else from the guest agent, else from the hypervisor's ARP table.

The leases of a network are read once for all VMs; the agent and ARP cost a call for each VM and are asked only for those
without a lease. Whatever does not answer in time is passed over: an address is never worth the inventory.
"""

from __future__ import annotations

import ipaddress
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any

from .connection import libvirt

_AGENT_CHANNEL = "org.qemu.guest_agent.0"


def leased(conn: Any) -> dict[str, list[str]]:
    """Addresses by MAC (lower case), the lease that lasts longest first; empty when the networks cannot be read."""
    leases: dict[str, list[tuple[int, str]]] = {}
    try:
        for network in conn.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
            for lease in network.DHCPLeases():
                if lease.get("mac") and lease.get("ipaddr"):
                    leases.setdefault(lease["mac"].lower(), []).append((lease.get("expirytime") or 0, lease["ipaddr"]))
    except libvirt.libvirtError:
        # A network without DHCP, or one that is going away: what was read so far is still true.
        pass
    return {mac: [address for _expiry, address in sorted(found, reverse=True)] for mac, found in leases.items()}


def has_agent(root: ET.Element) -> bool:
    """Whether a guest agent is connected, by the live XML: asking where none is costs seconds."""
    targets = root.iterfind("devices/channel/target")
    return any(target.get("name") == _AGENT_CHANNEL and target.get("state") == "connected" for target in targets)


def asked(domain: Any, macs: Iterable[str], agent: bool) -> list[str]:
    """What the guest agent or the hypervisor's ARP table says of a running domain's own NICs; empty when neither knows."""
    sources = [libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT] if agent else []
    for source in [*sources, libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP]:
        try:
            interfaces = domain.interfaceAddresses(source, 0)
        except libvirt.libvirtError:
            continue
        by_mac: dict[str, list[str]] = {}
        for interface in (interfaces or {}).values():
            listed = by_mac.setdefault((interface.get("hwaddr") or "").lower(), [])
            listed.extend(address["addr"] for address in interface.get("addrs") or [])
        found = best_first(by_mac, macs)
        if found:
            return found
    return []


def best_first(by_mac: dict[str, list[str]], macs: Iterable[str]) -> list[str]:
    """The usable addresses of these NICs in the VM's order, IPv4 before IPv6; no loopback, no link-local."""
    usable: list[tuple[int, str]] = []
    for mac in macs:
        for text in by_mac.get(mac, []):
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                continue
            if not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast):
                usable.append((address.version, text))
    ordered = sorted(usable, key=lambda item: item[0])
    return list(dict.fromkeys(text for _version, text in ordered))
