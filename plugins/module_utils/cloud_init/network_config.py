# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""cloud-init's network configuration, of version 2 (as netplan has it) and version 1."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from .shapes import (
    Shape,
    anything,
    choice,
    either,
    flag,
    keys,
    known_only,
    list_of,
    mapping,
    mapping_of,
    matching,
    nothing,
    refuse,
    text,
    whole,
)

_mac = matching(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", "a MAC address", "write it in quotes, as '52:54:00:12:34:56'")
_name = matching(r"[^\s/:]{1,15}", "the name of an interface", "use up to 15 characters, without blanks, slashes and colons")
_texts = list_of(text)
_flag_or_text = either("true, false or a string", flag=flag, text=text)
_switch = {"text": choice("yes", "no"), "flag": flag}


def _address(value: Any, where: str) -> None:
    text(value, where)
    try:
        ipaddress.ip_address(value)
    except ValueError:
        refuse("is not an IP address", where, "write it as 192.0.2.1 or 2001:db8::1")


def _of_version(version: int) -> Shape:
    def check(value: Any, where: str) -> None:
        _address(value, where)
        if ipaddress.ip_address(value).version != version:
            refuse(f"is not an IPv{version} address", where, f"give an IPv{version} address")

    return check


def _cidr(value: Any, where: str) -> None:
    text(value, where)
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        refuse("is not an address with a prefix", where, "write it as 192.0.2.10/24 or 2001:db8::10/64")
    if "/" not in value:
        refuse("has no prefix", where, "write it as 192.0.2.10/24 or 2001:db8::10/64")


def _cidr_or_options(value: Any, where: str) -> None:
    either("an address with a prefix", text=_cidr, mapping=mapping_of(mapping))(value, where)
    if isinstance(value, Mapping):
        for address in value:
            _cidr(address, f"{where}.{address}")


def _destination(value: Any, where: str) -> None:
    text(value, where)
    if value == "default":
        return
    try:
        ipaddress.ip_network(value, strict=True)
    except ValueError:
        refuse("is not a network", where, "write default, or a network such as 192.0.2.0/24 (its host bits are zero)")


_nameservers = keys({"addresses": list_of(_address, empty=True), "search": list_of(text, empty=True)})
_ROUTE = keys(
    {
        "to": _destination,
        "via": _address,
        "from": text,
        "on-link": flag,
        "metric": whole,
        "type": text,
        "scope": text,
        "table": whole,
        "mtu": whole,
    },
    ["to"],
)
_COMMON: dict[str, Shape] = {
    "accept-ra": flag,
    "addresses": list_of(_cidr_or_options, empty=True),
    "critical": flag,
    "dhcp-identifier": text,
    "dhcp4": either("true or false", **_switch),
    "dhcp4-overrides": mapping,
    "dhcp6": either("true or false", **_switch),
    "dhcp6-overrides": mapping,
    "gateway4": _of_version(4),
    "gateway6": _of_version(6),
    "ignore-carrier": flag,
    "ipv6-address-generation": text,
    "ipv6-mtu": whole,
    "ipv6-privacy": flag,
    "link-local": list_of(choice("ipv4", "ipv6"), empty=True),
    "macaddress": _mac,
    "mtu": whole,
    "nameservers": _nameservers,
    "optional": flag,
    "optional-addresses": _texts,
    "renderer": text,
    "routes": list_of(_ROUTE, empty=True),
    "routing-policy": list_of(mapping, empty=True),
}


def _match(value: Any, where: str) -> None:
    keys({"name": text, "macaddress": _mac, "driver": either("a driver or a list of them", text=text, items=_texts)})(value, where)
    if not value:
        refuse("says nothing", where, "give macaddress, name or driver, or leave match out where the key is the interface's name")


def _ethernet(value: Any, where: str) -> None:
    known = {**_COMMON, "match": _match, "set-name": _name, "wakeonlan": flag}
    either("a mapping", mapping=keys(known), none=nothing)(value, where)
    if value and "set-name" in value and "match" not in value:
        refuse("needs a match", f"{where}.set-name", "add match with a macaddress, or leave set-name out")


_BOND = keys({**_COMMON, "interfaces": list_of(text, empty=True), "parameters": mapping})
_BRIDGE = _BOND
_VLAN = keys({**_COMMON, "id": whole, "link": text}, ["id", "link"])
_GROUPS: dict[str, Shape] = {
    "ethernets": mapping_of(_ethernet),
    "bonds": mapping_of(_BOND),
    "bridges": mapping_of(_BRIDGE),
    "vlans": mapping_of(_VLAN),
}


def check_network_config(value: Any, where: str) -> None:
    """Of version 2 or 1, under a key ``network`` or without it."""
    mapping(value, where)
    if set(value) == {"network"}:
        value, where = value["network"], f"{where}.network"
        mapping(value, where)
    version = value.get("version")
    if isinstance(version, bool) or version not in (1, 2):
        refuse("is neither 1 nor 2", f"{where}.version", "write version: 2")
    if version == 1:
        _check_version_1(value, where)
        return
    keys({"version": anything, "renderer": text, **_GROUPS, "wifis": mapping, "vrfs": mapping, "tunnels": mapping})(value, where)
    named = {name for group in (*_GROUPS, "wifis", "tunnels") for name in value.get(group) or {}}
    for group, key in (("bonds", "interfaces"), ("bridges", "interfaces"), ("vlans", "link")):
        for name, device in (value.get(group) or {}).items():
            members = device.get(key, [])
            for member in [members] if isinstance(members, str) else members:
                if member not in named:
                    listed = ", ".join(sorted(named - {name}))
                    refuse("names an interface that is not described", f"{where}.{group}.{name}.{key}", f"use one of {listed}")
    for name, device in (value.get("vlans") or {}).items():
        if not 1 <= device["id"] <= 4094:
            refuse("is not a VLAN", f"{where}.vlans.{name}.id", "use 1 to 4094")


_V1_ADDRESS = either("an address", text=lambda value, where: (_cidr if "/" in value else _address)(value, where))
_V1_SUBNET_TYPES = (
    "dhcp",
    "dhcp4",
    "dhcp6",
    "static",
    "static6",
    "manual",
    "ipv6_dhcpv6-stateful",
    "ipv6_dhcpv6-stateless",
    "ipv6_slaac",
)
_V1_ROUTE = keys({"destination": text, "network": text, "netmask": text, "gateway": _address, "metric": whole, "prefix": whole})
_V1_NAMES = either("an address or a list of them", text=text, items=_texts)
_V1_SUBNET = keys(
    {
        "type": choice(*_V1_SUBNET_TYPES),
        "control": text,
        "address": _V1_ADDRESS,
        "netmask": text,
        "broadcast": _address,
        "gateway": _address,
        "dns_nameservers": _V1_NAMES,
        "dns_search": _V1_NAMES,
        "routes": list_of(_V1_ROUTE, empty=True),
        "metric": whole,
        "ipv4": flag,
        "ipv6": flag,
    },
    ["type"],
)


def _v1_subnet(value: Any, where: str) -> None:
    _V1_SUBNET(value, where)
    if value["type"] in ("static", "static6"):
        if "address" not in value:
            refuse("is required but not given", f"{where}.address", "add the address, or use type dhcp")
        if "/" not in value["address"] and "netmask" not in value:
            refuse("has neither prefix nor netmask", f"{where}.address", "write it as 192.0.2.10/24")


_V1_COMMON: dict[str, Shape] = {
    "type": text,
    "name": _name,
    "mac_address": either("a MAC address", text=_mac, none=nothing),
    "mtu": either("a number", whole=whole, none=nothing),
    "subnets": list_of(_v1_subnet, empty=True),
    "accept-ra": _flag_or_text,
    "keep_configuration": flag,
    "params": mapping,
}
_V1_TYPES: dict[str, Shape] = {
    "physical": keys(_V1_COMMON, ["name"]),
    "loopback": keys(_V1_COMMON, ["name"]),
    "bond": keys({**_V1_COMMON, "bond_interfaces": list_of(text, empty=True)}, ["name", "bond_interfaces"]),
    "bridge": keys({**_V1_COMMON, "bridge_interfaces": list_of(text, empty=True)}, ["name", "bridge_interfaces"]),
    "vlan": keys({**_V1_COMMON, "vlan_link": text, "vlan_id": whole}, ["name", "vlan_link", "vlan_id"]),
    "nameserver": keys({"type": text, "address": _V1_NAMES, "search": _V1_NAMES, "interface": text}, ["address"]),
    "route": keys(
        {"type": text, "destination": text, "netmask": text, "gateway": _address, "metric": whole}, ["destination", "gateway"]
    ),
}


def _v1_entry(value: Any, where: str) -> None:
    mapping(value, where)
    kind = value.get("type")
    choice(*_V1_TYPES)(kind, f"{where}.type")
    _V1_TYPES[kind](value, where)


def _check_version_1(value: Mapping[str, Any], where: str) -> None:
    known_only(value, where, ("version", "config"))
    config = value.get("config")
    if config != "disabled":
        list_of(_v1_entry)(config, f"{where}.config")
