# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of one migration: what was begun, how far it came and what it made, kept in the VM's metadata at both ends.

Any controller can read it and go on. It never says that a step succeeded before that was read from the ends themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ..errors import MigrationFailed
from ..model import Portable

VERSION = 1
COPYING = "copying"
SYNCED = "synced"
SWITCHING = "switching"
COMPLETED = "completed"
RELEASED = "released"
ABORTED = "aborted"
PHASES = (COPYING, SYNCED, SWITCHING, COMPLETED, RELEASED, ABORTED)
CAME_OVER = (COMPLETED, RELEASED)
UNDER_WAY = (COPYING, SYNCED, SWITCHING)


@dataclass(frozen=True)
class Journal(Portable):
    """``volumes`` maps a disk's device to the path made for it at the target; ``epoch`` is the owner's epoch after the commit.

    ``disks``, ``networks``, ``media`` and ``macs`` are the plan's, so that any run can go on with what the first one chose.
    ``autostart`` is what the VM had before: it goes to the end where the VM stays. ``running``: so was the VM, before the
    migration stopped it at ``stopped_at`` (Unix time, 0 for not yet).
    ``override``: why the VM's placement policy is broken at the target, where it is.
    ``figures`` are there once the migration is completed; ``started`` is ISO 8601 in UTC.
    """

    id: str
    mode: str
    source: str
    target: str
    phase: str
    epoch: int
    started: str
    volumes: dict[str, str] = field(default_factory=dict)
    disks: dict[str, dict[str, Any]] = field(default_factory=dict)
    networks: list[str] = field(default_factory=list)
    media: dict[str, str] = field(default_factory=dict)
    macs: list[str] = field(default_factory=list)
    reason: str = ""
    override: str = ""
    autostart: bool = False
    running: bool = True
    stopped_at: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION

    @classmethod
    def from_dict(cls, data: dict[str, Any] | None) -> Journal | None:
        """None for none; MigrationFailed for one that a newer version of the collection wrote."""
        if data is None:
            return None
        if data.get("version") != VERSION or data.get("phase") not in PHASES:
            raise MigrationFailed(
                f"the journal of this VM has version {data.get('version')!r} and phase {data.get('phase')!r}, which are not known here",
                remedy="use the version of the collection that began this migration, or a newer one",
            )
        return cls(**{key: data[key] for key in cls.__dataclass_fields__ if key in data})

    def moved_to(self, phase: str, **changes: Any) -> Journal:
        return replace(self, phase=phase, **changes)


def begun(journal: Journal) -> float:
    """Unix time at which the migration began."""
    return datetime.fromisoformat(journal.started).timestamp()
