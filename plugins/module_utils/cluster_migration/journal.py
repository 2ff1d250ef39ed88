# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of a cluster's migration: what was begun, how far it came, and what was put to rest, kept at both ends. Pure.

It is also the guard of its own order: a next state is entered only from one that may come before it, and with the proof that it
needs, read from the ends themselves. ``may_run`` says which end's copy may run in a state: never both, and neither only
between two steps of a cutover, from where every way leads to one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ..errors import MigrationFailed
from ..migration.journal import ABORTED, CAME_OVER, COMPLETED, COPYING, PHASES, RELEASED, SWITCHING, SYNCED, UNDER_WAY
from ..portable import Portable

__all__ = ["ABORTED", "CAME_OVER", "COMPLETED", "COPYING", "PHASES", "RELEASED", "SWITCHING", "SYNCED", "UNDER_WAY", "Journal"]

VERSION = 1
# The steps of the phase ``switching``.
STOPPING = "stopping"
STOPPED = "stopped"
STARTING = "starting"
TAKING_BACK = "taking back"
RESTORING = "restoring"
STEPS = (STOPPING, STOPPED, STARTING, TAKING_BACK, RESTORING)
STATES = (COPYING, SYNCED, *STEPS, COMPLETED, RELEASED, ABORTED)

SOURCE = "source"
TARGET = "target"
_MAY_RUN = {
    COPYING: SOURCE,
    SYNCED: SOURCE,
    STOPPING: SOURCE,
    STOPPED: None,
    STARTING: TARGET,
    TAKING_BACK: TARGET,
    RESTORING: SOURCE,
    COMPLETED: TARGET,
    RELEASED: TARGET,
    ABORTED: SOURCE,
}

# What has to be known before a state is entered from another.
SOURCE_RESTS = "nothing of it runs at the source"
TARGET_RESTS = "nothing of it runs at the target"
TARGET_WORKS = "all of it is ready at the target"
SOURCE_WORKS = "the source is as it was"
NOTHING = ""
_WAYS = {
    (COPYING, SYNCED): NOTHING,
    (SYNCED, COPYING): NOTHING,
    (SYNCED, STOPPING): NOTHING,
    (STOPPING, STOPPED): SOURCE_RESTS,
    (STOPPED, STARTING): SOURCE_RESTS,
    (STARTING, COMPLETED): TARGET_WORKS,
    (STOPPING, RESTORING): NOTHING,
    (STOPPED, RESTORING): NOTHING,
    (STARTING, TAKING_BACK): NOTHING,
    (TAKING_BACK, RESTORING): TARGET_RESTS,
    (RESTORING, SYNCED): SOURCE_WORKS,
    (COPYING, ABORTED): NOTHING,
    (SYNCED, ABORTED): NOTHING,
    (COMPLETED, RELEASED): NOTHING,
}
# Longer reports help nobody, and a ConfigMap holds 1 MiB.
_MOST_EVENTS = 200


@dataclass(frozen=True)
class Journal(Portable):
    """``namespaces`` maps each one's name to its UID at the source; ``mapping`` holds the request's maps by their options.

    ``source`` and ``target`` are names of contexts, ``source_uid`` and ``target_uid`` those of the clusters' kube-system.
    ``at_rest`` maps ``apps/v1/Deployment/shop/web`` to what it was before it was put to rest, ``step`` is that of a cutover.
    ``objects`` counts by kind, ``volumes`` maps ``namespace/claim`` to how far it is. ``serial`` grows with every write.
    ``made`` holds the namespaces that did not exist at the target. ``stopped_at`` is Unix time, 0 for not yet; ``started`` is
    ISO 8601 in UTC. ``events`` are those of a report: ``{phase, began, ended, bytes, note}``, moments in Unix time.
    """

    id: str
    name: str
    method: str
    source: str
    target: str
    source_uid: str
    target_uid: str
    phase: str
    started: str
    reason: str = ""
    step: str = ""
    serial: int = 0
    stopped_at: float = 0.0
    runs: int = 1
    namespaces: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    mapping: dict[str, Any] = field(default_factory=dict)
    at_rest: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION

    @classmethod
    def from_dict(cls, data: dict[str, Any] | None) -> Journal | None:
        """None for none; MigrationFailed for one that a newer version of the collection wrote."""
        if data is None:
            return None
        if data.get("version") != VERSION or data.get("phase") not in PHASES or data.get("step", "") not in ("", *STEPS):
            raise MigrationFailed(
                f"the journal of this migration has version {data.get('version')!r} and phase {data.get('phase')!r}, which are not known here",
                remedy="use the version of the collection that began this migration, or a newer one",
            )
        return cls(**{key: data[key] for key in cls.__dataclass_fields__ if key in data})

    @property
    def state(self) -> str:
        """The phase, or the step of a cutover: one of STATES."""
        return self.step if self.phase == SWITCHING else self.phase

    def moved_to(self, state: str, proof: str = NOTHING, **changes: Any) -> Journal:
        """The journal in its next state. MigrationFailed where no way leads there, or its proof is missing.

        :param proof: what was read from the ends: SOURCE_RESTS, TARGET_RESTS, TARGET_WORKS or SOURCE_WORKS
        """
        if state != self.state:
            needed = _WAYS.get((self.state, state))
            if needed is None:
                raise MigrationFailed(f"migration {self.name} cannot be {state} after it was {self.state}")
            if needed and proof != needed:
                raise MigrationFailed(f"migration {self.name} cannot be {state} before {needed}")
        phase, step = (SWITCHING, state) if state in STEPS else (state, "")
        return replace(self, phase=phase, step=step, **changes)

    def noted(self, phase: str, began: float, ended: float | None, **more: Any) -> Journal:
        """With one more event; one of the same beginning takes the other's place."""
        event = {"phase": phase, "began": began, "ended": ended, **more}
        others = [entry for entry in self.events if (entry["phase"], entry["began"]) != (phase, began)]
        return replace(self, events=[*others, event][-_MOST_EVENTS:])


def may_run(state: str) -> str | None:
    """Which end's copy may run in a state: SOURCE, TARGET or, between two steps of a cutover, None."""
    return _MAY_RUN[state]


def ways(state: str) -> dict[str, str]:
    """The states that may follow, each with the proof that it needs."""
    return {after: proof for (before, after), proof in _WAYS.items() if before == state}


def begun(journal: Journal) -> float:
    """Unix time at which the migration began."""
    return datetime.fromisoformat(journal.started).timestamp()
