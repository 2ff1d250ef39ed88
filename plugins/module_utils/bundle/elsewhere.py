# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does another hypervisor have the VM that is to be imported? A VM of one UUID must not come to run twice."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Callable

from ..backends.libvirt.connection import told
from ..backends.libvirt.registry import Entry, Registry
from ..errors import FederationError, InputError, MigrationBlocked, NotFoundError
from .manifest import Manifest

_REMEDY = "remove it there first, migrate it instead, or import a second VM with identity=new"


def check_peers(manifest: Manifest, peers: Mapping[str, str], connect: Callable[[str], Any]) -> list[str]:
    """Warnings; InputError where a peer has the VM, or says that somebody owns it.

    :param peers: libvirt URIs by name
    """
    unasked = []
    for name, uri in sorted(peers.items()):
        try:
            connection = connect(uri)
        except FederationError:
            unasked.append(name)
            continue
        with contextlib.closing(connection):
            check_no_copy(manifest.vm.uuid, connection, name)
            check_entry(entry_at(connection, name, manifest.vm.uuid), name, here="")
    source = manifest.source.hypervisor
    if unasked:
        return [f"{', '.join(unasked)} could not be asked whether the VM is there; do not let it start there again"]
    if manifest.owner is not None and source not in peers:
        return [
            f"{source}, where the bundle was made, was not asked whether the VM is still there; do not let it start there again"
        ]
    return []


def entry_at(connection: Any, hypervisor: str, uuid: str) -> Entry | None:
    """Who owns the VM, as that hypervisor was told; None also where it has no registry."""
    try:
        return Registry(connection, hypervisor).entry(uuid)
    except MigrationBlocked:
        return None


def check_no_copy(uuid: str, connection: Any, hypervisor: str) -> None:
    with contextlib.suppress(NotFoundError), told(f"looking for the VM at {hypervisor}"):
        name = connection.lookupByUUIDString(uuid).name()
        raise InputError(f"is the UUID of the VM {name} at {hypervisor}", option="identity", value="keep", remedy=_REMEDY)


def check_entry(entry: Entry | None, hypervisor: str, *, here: str) -> None:
    """:param here: the owner that is no objection"""
    if entry is not None and entry.owner.hypervisor != here:
        owner = f"{entry.owner.hypervisor} (epoch {entry.owner.epoch})"
        what = f"would make a second copy: the registry of {hypervisor} says that {owner} owns the VM"
        raise InputError(what, option="identity", value="keep", remedy=_REMEDY)
