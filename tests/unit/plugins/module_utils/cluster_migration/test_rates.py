# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What earlier migrations measured between two clusters, and what it makes of a plan."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import journal as journals
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.journal import Journal
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.rates import (
    COPY_RATE,
    DIGEST_RATE,
    figures_with,
    rates_between,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.store import JournalStore
from memory_cluster import MemoryCluster

MIB = 2**20


def test_only_what_was_enough_tells_a_rate() -> None:
    assert figures_with({"bytes": 5}, COPY_RATE, 100 * MIB, 4.0) == {"bytes": 5, COPY_RATE: 25 * MIB}
    assert figures_with({COPY_RATE: 7}, COPY_RATE, MIB, 4.0) == {COPY_RATE: 7}


def test_the_last_migration_between_the_two_counts() -> None:
    es, de, fr = MemoryCluster("es"), MemoryCluster("de"), MemoryCluster("fr")
    assert rates_between(es, de) == (0.0, 0.0)
    kept: tuple[tuple[str, MemoryCluster, dict[str, Any]], ...] = (
        ("2026-01-01", de, {COPY_RATE: 10, DIGEST_RATE: 30}),
        ("2026-01-02", de, {COPY_RATE: 20}),
        ("2026-01-03", fr, {COPY_RATE: 99, DIGEST_RATE: 99}),
        ("2026-01-04", de, {}),
    )
    for day, target, figures in kept:
        entry = Journal(day, day, "workloads", "es", target.name, es.uid(), target.uid(), journals.COPYING, f"{day}T00:00:00+00:00")
        JournalStore(es, target, day).begin(dataclasses.replace(entry, figures=figures))
    assert rates_between(es, de) == (20.0, 30.0)
    assert rates_between(de, es) == (0.0, 0.0)
