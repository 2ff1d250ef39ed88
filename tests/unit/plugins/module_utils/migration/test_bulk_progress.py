# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bulk progress: what a run that was cut off leaves for the next one."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import MigrationFailed
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.bulk import ZEROES, Bulk, BulkStore, Copied, DiskProgress

DIGEST = "0" * 64


@pytest.fixture
def store(tmp_path):
    return BulkStore(str(tmp_path), "uuid-1")


def test_what_was_copied_is_not_pending_any_more(store):
    store.save(Bulk("m1", "web", "a", "b", base="c-1", disks={"vda": DiskProgress(pending=[(0, 100)])}))
    store.record([Copied("vda", 0, 30, DIGEST), Copied("vda", 50, 10, ZEROES)])
    bulk = store.load("m1")
    assert bulk.base == "c-1"
    assert bulk.disks["vda"].pending == [(30, 20), (60, 40)]
    assert [one.offset for one in store.copied()] == [0, 50]


def test_a_line_that_was_cut_counts_for_nothing(store):
    store.save(Bulk("m1", "web", "a", "b", disks={"vda": DiskProgress(pending=[(0, 100)])}))
    store.record([Copied("vda", 0, 30, DIGEST)])
    with (store.folder / "copied").open("a") as file:
        file.write(f"vda 30 30 {DIGEST}")
    assert store.load("m1").disks["vda"].pending == [(30, 70)]


def test_a_new_round_forgets_the_list_of_the_old_one(store):
    bulk = Bulk("m1", "web", "a", "b", disks={"vda": DiskProgress(pending=[(0, 100)])})
    store.save(bulk)
    store.record([Copied("vda", 0, 100, DIGEST)])
    bulk.disks["vda"].pending = [(10, 5)]
    store.save(bulk)
    assert store.load("m1").disks["vda"].pending == [(10, 5)]


def test_another_migration_and_none_and_nonsense(store):
    assert store.load("m1") is None
    store.save(Bulk("m1", "web", "a", "b"))
    assert store.load("m2") is None
    assert store.load_any().id == "m1"
    (store.folder / "state.json").write_text("{")
    with pytest.raises(MigrationFailed, match="cannot be read"):
        store.load("m1")
    (store.folder / "state.json").write_text('{"version": 99}')
    with pytest.raises(MigrationFailed, match="version 99"):
        store.load("m1")
    store.remove()
    assert not store.folder.exists()


def test_nobody_else_may_read_it(store):
    store.save(Bulk("m1", "web", "a", "b"))
    store.record([Copied("vda", 0, 1, DIGEST)])
    assert store.folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in store.folder.iterdir())
