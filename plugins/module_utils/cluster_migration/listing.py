# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The migrations that a cluster knows of."""

from __future__ import annotations

from typing import Any

from ..backends.cluster import ClusterApi
from .lease import Lease
from .store import NAMESPACE, journal_in, journals_at, label_of


def migrations_at(api: ClusterApi, name: str | None = None) -> list[dict[str, Any]]:
    """``{name, phase, at_work, journal}`` each, sorted by name and beginning; of one name only, where it is given."""
    journals = sorted((journal_in(stored) for stored in journals_at(api, name)), key=lambda one: (one.name, one.started))
    return [
        {"name": one.name, "phase": one.phase, "at_work": _is_at_work(api, one.name), "journal": one.to_dict()} for one in journals
    ]


def _is_at_work(api: ClusterApi, name: str) -> bool:
    return Lease(api, NAMESPACE, f"virt8ra-migration-{label_of(name)}", lambda _phase, _figures: None).is_held()
