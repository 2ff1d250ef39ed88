# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster's migration as people see it: the data of its report, and what a state changed. Pure."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

from .journal import SWITCHING, Journal, begun

REPORT_SCHEMA = 1


def report_of(state: str, journal: Journal) -> dict[str, Any]:
    """What ``report.html`` shows; ``state`` is the one that was asked for."""
    ended = journal.events[-1]["ended"] if journal.events else None
    volumes = {
        name: {"bytes": int(one.get("bytes", 0)), "files": int(one.get("files", 0)), **one} for name, one in journal.volumes.items()
    }
    return {
        "schema": REPORT_SCHEMA,
        "kind": "cluster",
        "name": journal.name,
        "id": journal.id,
        "mode": journal.method,
        "mode_reason": journal.reason,
        "state": state,
        "phase": journal.step if journal.phase == SWITCHING else journal.phase,
        "source": journal.source,
        "target": journal.target,
        "source_uid": journal.source_uid,
        "target_uid": journal.target_uid,
        "namespaces": sorted(journal.namespaces),
        "started": journal.started,
        "ended": None if ended is None else datetime.fromtimestamp(ended, timezone.utc).isoformat(timespec="seconds"),
        "events": journal.events,
        "rounds": [],
        "objects": journal.objects,
        "volumes": volumes,
        "at_rest": sorted(journal.at_rest),
        "figures": journal.figures,
        "warnings": journal.warnings,
        "takeovers": max(0, journal.runs - 1),
    }


def difference(state: str, name: str, source: str, target: str) -> dict[str, dict[str, Any]]:
    """``{before, after}`` of a state that was reached."""
    sides: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "synced": ({"copied_to": None}, {"copied_to": target}),
        "completed": ({"runs_at": source}, {"runs_at": target}),
        "aborted": ({"migration": f"{source} to {target}"}, {"migration": None}),
        "released": ({"copies": [source, target]}, {"copies": [target]}),
    }
    before, after = sides[state]
    return {"before": {"migration": name, **before}, "after": {"migration": name, **after}}


def summary(journal: Journal) -> dict[str, Any]:
    """The journal as a result: without the events, which are the report's, and with the figures beside the rest."""
    facts = journal.to_dict()
    figures, events = facts.pop("figures"), facts.pop("events")
    total = (events[-1]["ended"] or time.time()) - begun(journal) if events else 0.0
    return {**figures, **facts, "total_ms": round(1000 * max(0.0, total))}
