# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what a person wrote and what is there to the VM that is wanted; pure.

What was not written stays as it is, down to the keys of single disks and NICs. A disk is known by its name, a NIC by its
MAC address or, where none was written, by its network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .model import Disk, Nic, Vm
from .rules import check_countries

SPEC_KEYS = tuple(field.name for field in dataclasses.fields(Vm))
# What stands in for the required keys of a VM that is there, when only other keys are to be checked.
_NEUTRAL = {"name": "vm", "cpus": 1, "memory": "4MiB"}


def written(params: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the portable spec that are not null; nor are those of single disks and NICs."""
    return {key: _without_nulls(params[key]) for key in SPEC_KEYS if params.get(key) is not None}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return value


def desired_vm(given: Mapping[str, Any], current: Vm | None) -> Vm:
    """The VM that is wanted; InputError with the path of a key that was written wrongly.

    Only what was written is checked: a VM that somebody else made may have things that the portable spec does not allow.
    """
    if current is None:
        return Vm.from_dict(given)
    merged: dict[str, Any] = {**_NEUTRAL, **given}
    if "disks" in given:
        present = by_name(current.disks)
        merged["disks"] = [_merged_disk(disk, present.get(disk.get("name", ""))) for disk in given["disks"]]
    if "nics" in given:
        merged["nics"] = _merged_nics(given["nics"], current.nics)
    read = Vm.from_dict(merged)
    # The name stays as it is: it is how the VM was found.
    changes = {key: getattr(read, key) for key in given if key != "name"}
    if "disks" in given:
        changes["disks"] = _in_order(read.disks, [disk.name for disk in current.disks], lambda disk: disk.name)
    if "nics" in given:
        changes["nics"] = _in_order(read.nics, [nic.mac for nic in current.nics], lambda nic: nic.mac)
    wanted = dataclasses.replace(current, **changes)
    if "allowed_countries" in given or "placement" in given:
        check_countries(wanted.allowed_countries, wanted.placement)
    return wanted


def _merged_disk(given: Mapping[str, Any], current: Disk | None) -> dict[str, Any]:
    if current is None:
        return dict(given)
    # Where nobody knows what a disk was made from, an image that is written now changes nothing.
    known = {} if current.image is not None else {"image": None}
    # How it was made is past as well; a disk that came from another hypervisor is whole.
    return {**current.to_dict(), **given, **known, "clone": current.clone}


def _merged_nics(given: list[dict[str, Any]], current: tuple[Nic, ...]) -> list[dict[str, Any]]:
    """Each NIC that was written, over the one that it means; those with a MAC address choose first."""
    free = {nic.mac: nic for nic in current}
    meant: dict[int, Nic] = {}
    for index, nic in enumerate(given):
        found = free.pop(str(nic.get("mac", "")).lower(), None)
        if found is not None:
            meant[index] = found
    for index, nic in enumerate(given):
        if not nic.get("mac"):
            found = next((one for one in free.values() if one.network == nic.get("network")), None)
            if found is not None:
                meant[index] = free.pop(found.mac)
    return [
        {**meant[index].to_dict(), **nic, "mac": meant[index].mac} if index in meant else nic for index, nic in enumerate(given)
    ]


def _in_order(wanted: tuple[Any, ...], present: list[str], key: Any) -> tuple[Any, ...]:
    """What is there already in the order that it has, then what is new."""
    return tuple(sorted(wanted, key=lambda item: present.index(key(item)) if key(item) in present else len(present)))


def differing(first: Vm, second: Vm) -> list[str]:
    """The keys of the spec in which two VMs differ."""
    return [key for key in SPEC_KEYS if getattr(first, key) != getattr(second, key)]


def by_name(disks: tuple[Disk, ...]) -> dict[str, Disk]:
    return {disk.name: disk for disk in disks}


def by_mac(nics: tuple[Nic, ...]) -> dict[str, Nic]:
    """The NICs that have a MAC address."""
    return {nic.mac: nic for nic in nics if nic.mac}
