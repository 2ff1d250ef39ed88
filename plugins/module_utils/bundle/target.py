# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The VM that a bundle becomes: its name, identity, storage, networks and formats at the target. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid as uuidlib
from collections.abc import Iterable, Mapping

from ..errors import InputError
from ..fields import Fields
from ..model import Nic, Site, Vm
from .manifest import Manifest
from .request import NEW, ImportRequest

_IDENTITIES = uuidlib.UUID("4a2f9c7e-6a55-4b0e-9d0e-3f6f0c6d9a51")


def target_vm(manifest: Manifest, request: ImportRequest, site: Site, hypervisor: str) -> Vm:
    """The portable spec at the target; InputError for what the bundle and the options cannot mean together.

    New identities are the same at every try, so that an import that was cut off is known again.
    """
    vm = manifest.vm
    if request.name:
        vm = dataclasses.replace(vm, name=Fields({"name": request.name}, "").name())
    _check_maps(vm, request)
    if vm.allowed_countries and site.country not in vm.allowed_countries:
        raise InputError(
            f"is in {site.country}, and the VM may be in {', '.join(vm.allowed_countries)} only",
            option="site",
            value=site.name,
            remedy="import it at a site in one of these",
        )
    disks = tuple(
        dataclasses.replace(
            disk,
            storage=request.storage.get(disk.storage, disk.storage),
            format=request.formats.get(disk.name, disk.format),
            image=None,
        )
        for disk in vm.disks
    )
    nics = tuple(dataclasses.replace(nic, network=request.networks.get(nic.network, nic.network)) for nic in vm.nics)
    vm = dataclasses.replace(vm, disks=disks, nics=nics)
    return _renewed(vm, f"{manifest.id} {hypervisor} {vm.name}") if request.identity == NEW else vm


def _check_maps(vm: Vm, request: ImportRequest) -> None:
    known: tuple[tuple[str, Mapping[str, str], Iterable[str], str], ...] = (
        ("storage", request.storage, (disk.storage for disk in vm.disks), "storage"),
        ("networks", request.networks, (nic.network for nic in vm.nics), "network"),
        ("formats", request.formats, (disk.name for disk in vm.disks), "disk"),
    )
    for option, given, there, word in known:
        names = sorted(set(there))
        for name in given:
            if name not in names:
                remedy = f"leave it out, or use one of: {', '.join(names) or 'none'}"
                raise InputError(f"names no {word} of the VM in the bundle", option=option, value=name, remedy=remedy)


def _renewed(vm: Vm, seed: str) -> Vm:
    nics: list[Nic] = []
    for number, nic in enumerate(vm.nics):
        digits = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
        mac = ":".join(["52", *(digits[at : at + 2] for at in range(0, 10, 2))])
        nics.append(dataclasses.replace(nic, mac=mac))
    return dataclasses.replace(vm, uuid=str(uuidlib.uuid5(_IDENTITIES, seed)), nics=tuple(nics))
