# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast data went between two clusters before: migrations measure it, and their journals keep it for the next plan."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from ..backends.cluster import ClusterApi
from ..errors import MigrationFailed
from .journal import Journal
from .store import journal_in, journals_at

COPY_RATE, DIGEST_RATE = "copy_bytes_per_second", "digest_bytes_per_second"
# Less is over before anything can be told of its speed: pods that start would be most of it.
_LEAST_BYTES = 16 * 1024 * 1024


def figures_with(figures: Mapping[str, Any], what: str, size: int, seconds: float) -> dict[str, Any]:
    """The journal's figures with a rate, where it was enough to tell one."""
    if size < _LEAST_BYTES or seconds <= 0:
        return dict(figures)
    return {**figures, what: int(size / seconds)}


def rates_between(source: ClusterApi, target: ClusterApi) -> tuple[float, float]:
    """``(bytes per second copied, bytes per second read for digests)``, each of the last migration that knows it; 0 when none does."""
    journals: dict[tuple[str, int], Journal] = {}
    ends = (source.uid(), target.uid())
    for api in (source, target):
        for stored in journals_at(api):
            # One that a newer version wrote is nothing to fail for.
            with contextlib.suppress(MigrationFailed):
                journal = journal_in(stored)
                if (journal.source_uid, journal.target_uid) == ends:
                    journals[journal.started, journal.serial] = journal
    found = [[float(journals[key].figures.get(what) or 0) for key in sorted(journals)] for what in (COPY_RATE, DIGEST_RATE)]
    copy, digest = (next((rate for rate in reversed(rates) if rate > 0), 0.0) for rates in found)
    return copy, digest
