# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of one migration: what was begun, how far it came and what it made, kept in the VM's metadata at both ends.

Any controller can read it and go on. It never says that a step succeeded before that was read from the ends themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import MigrationFailed
from ..model import Portable

VERSION = 1
COPYING = "copying"
COMPLETED = "completed"
RELEASED = "released"
ABORTED = "aborted"
PHASES = (COPYING, COMPLETED, RELEASED, ABORTED)
CAME_OVER = (COMPLETED, RELEASED)


@dataclass(frozen=True)
class Journal(Portable):
    """``volumes`` maps a disk's device to the path made for it at the target; ``epoch`` is the owner's epoch after the commit.

    ``autostart`` is what the VM had before: it is off at the source meanwhile, and goes to the end where the VM stays.
    ``figures`` are those of ``live.Figures`` once the migration is completed; ``started`` is ISO 8601 in UTC.
    """

    id: str
    mode: str
    source: str
    target: str
    phase: str
    epoch: int
    started: str
    volumes: dict[str, str] = field(default_factory=dict)
    autostart: bool = False
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
