# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The migrations that a hypervisor knows of: by the journals in its VMs' metadata, and by its own records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import extents
from ..backends.libvirt import domains
from .bulk import BulkStore
from .lock import MigrationLock


def journals_here(connection: Any, name: str | None) -> list[dict[str, Any]]:
    """``{vm, uuid, state, owner, journal}`` of each VM with a journal, by name.

    :param name: only that VM; None for all
    """
    return [
        {
            "vm": domain.name,
            "uuid": domain.uuid,
            "state": domain.state,
            "owner": None if domain.owner is None else domain.owner.to_dict(),
            "journal": domain.journal,
        }
        for domain in domains.every(connection)
        if domain.journal is not None and name in (None, domain.name)
    ]


def received_here(state_path: str, name: str | None) -> list[dict[str, Any]]:
    """``{vm, uuid, source, pending_bytes, rounds, at_work}`` of each migration towards here that is not released, by name."""
    found = []
    for folder in sorted(Path(state_path, "migrations").glob("*/state.json")):
        uuid = folder.parent.name
        bulk = BulkStore(state_path, uuid).load_any()
        if bulk is None or name not in (None, bulk.vm):
            continue
        found.append(
            {
                "vm": bulk.vm,
                "uuid": uuid,
                "source": bulk.source,
                "pending_bytes": sum(extents.size(disk.pending) for disk in bulk.disks.values()),
                "rounds": bulk.rounds,
                "at_work": MigrationLock(state_path, uuid, lambda _phase, _figures: None).is_held(),
            }
        )
    return sorted(found, key=lambda one: str(one["vm"]))
