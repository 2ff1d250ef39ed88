# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal at both ends, and the lock: who wrote last, who may write, who lives."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import journal as journals
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import lease as leases
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.journal import Journal
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.lease import Lease, LockLost
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.listing import migrations_at
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.store import JournalStore
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import MigrationFailed, UnreachableError
from memory_cluster import MemoryCluster

STARTED = "2026-01-01T00:00:00+00:00"
ENTRY = Journal("id", "shop", "workloads", "es", "de", "uid-es", "uid-de", journals.COPYING, STARTED)


class Ends:
    def __init__(self) -> None:
        self.es, self.de = MemoryCluster("es"), MemoryCluster("de")

    def store(self, name: str = "shop") -> JournalStore:
        return JournalStore(self.es, self.de, name)


@pytest.fixture
def ends() -> Ends:
    return Ends()


def test_it_is_read_as_it_was_written_from_either_end(ends: Ends) -> None:
    assert ends.store().read() is None
    written = ends.store().begin(ENTRY)
    assert (written.serial, ends.store().read()) == (1, written)
    for cluster in ends.es, ends.de:
        assert [one["journal"] for one in migrations_at(cluster)] == [written.to_dict()]
        assert migrations_at(cluster, "other") == []
    assert ends.store("other").read() is None


def test_the_one_that_was_written_last_counts(ends: Ends) -> None:
    """A run died after it wrote at the source, before it wrote at the target."""
    store = ends.store()
    store.begin(ENTRY)

    def away(_verb: str, _what: Any) -> None:
        raise UnreachableError("away")

    ends.de.before = away
    with pytest.raises(UnreachableError):
        store.write(ENTRY.moved_to(journals.SYNCED))
    ends.de.before = lambda _verb, _what: None
    other = ends.store()
    read = other.read()
    assert read is not None and read.phase == journals.SYNCED
    other.write(read)
    assert [one["journal"]["phase"] for cluster in (ends.es, ends.de) for one in migrations_at(cluster)] == ["synced", "synced"]


def test_who_has_not_read_it_last_cannot_write_it(ends: Ends) -> None:
    first = ends.store()
    written = first.begin(ENTRY)
    second = ends.store()
    second.read()
    first.write(written)
    with pytest.raises(MigrationFailed, match="was written by another run at es meanwhile"):
        second.write(written.moved_to(journals.SYNCED))


def test_a_write_whose_answer_was_lost_is_found_again(ends: Ends) -> None:
    store = ends.store()
    written = store.begin(ENTRY)
    replace = ends.es.replace

    def twice(resource: Any, body: Any, **more: Any) -> Any:
        replace(resource, body, **more)
        return replace(resource, body, **more)

    ends.es.replace = twice  # type: ignore[method-assign]
    assert store.write(written).serial == 2


def test_one_that_is_too_large_for_a_config_map_is_told(ends: Ends) -> None:
    with pytest.raises(MigrationFailed, match="migrate fewer namespaces at once"):
        ends.store().begin(Journal(**{**ENTRY.to_dict(), "warnings": ["x" * 1100000]}))


def test_a_later_migration_of_the_same_name_counts(ends: Ends) -> None:
    ends.store().begin(ENTRY)
    later = Journal(**{**ENTRY.to_dict(), "id": "later", "started": "2026-02-01T00:00:00+00:00"})
    ends.store().begin(later)
    read = ends.store().read()
    assert read is not None and read.id == "later"
    assert [one["journal"]["id"] for one in migrations_at(ends.es, "shop")] == ["id", "later"]


def lease(cluster: MemoryCluster, **more: Any) -> Lease:
    return Lease(cluster, "virt8ra-system", "lock", lambda _phase, _figures: None, **more)


def test_a_process_of_this_host_that_is_gone_holds_nothing(ends: Ends) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    dead = lease(ends.es)
    dead.holder = f"{socket.gethostname()}/{leases._boot()}/{pid}/x"
    dead._take()
    with lease(ends.es).held() as waited:
        assert waited is False


def test_who_lost_it_works_no_further(ends: Ends) -> None:
    mine = lease(ends.es)
    with mine.held():
        mine.check()
        ends.es.objects["Lease", "virt8ra-system", "lock"]["spec"]["holderIdentity"] = "another/boot/1/x"
        mine._renew()
        with pytest.raises(LockLost, match="could not be renewed in time"):
            mine.check()
    # It is not taken away from the other one.
    assert ends.es.objects["Lease", "virt8ra-system", "lock"]["spec"]["holderIdentity"] == "another/boot/1/x"


def test_who_cannot_renew_it_in_time_works_no_further(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = lease(ends.es)
    with mine.held():
        later = leases.time.monotonic() + leases.DURATION + 1
        monkeypatch.setattr(leases.time, "monotonic", lambda: later)
        with pytest.raises(LockLost):
            mine.check()
