# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real database under load is migrated live, and back warm: every committed transaction is there, and nothing is damaged."""

from __future__ import annotations

import pytest

from .database import Database
from .guest import SOURCE, TARGET
from .lab import Lab


@pytest.fixture(scope="class")
def database(lab: Lab, tmp_path_factory):
    guest = Database(lab, "t-database")
    guest.remove()
    try:
        guest.deploy_database(tmp_path_factory.mktemp("database"))
        yield guest
    finally:
        guest.remove()


class TestDatabase:
    """There and back."""

    @pytest.mark.parametrize(
        ("mode", "source", "target"), [("live", SOURCE, TARGET), pytest.param("warm", TARGET, SOURCE, marks=pytest.mark.slow)]
    )
    def test_nothing_that_was_committed_is_lost(self, database, mode, source, target):
        load = database.findings(source)["transactions"]
        assert load > 0, "pgbench is at work"
        result = database.migrate(source, target, mode=mode, state="completed")
        assert not result.get("failed"), result.get("msg")
        assert (database.state(source), database.state(target)) == ("shut off", "running")
        database.wait_for_writes(target, 5)
        printed = database.commits(source) + database.commits(target)
        found = database.findings(target)
        assert len(printed) == len(set(printed)), "a commit was lost, and made again"
        assert found["committed"] == found["last"] >= max(printed), found
        assert found["transactions"] > load and len(set(found["sums"])) == 1, found
        assert (found["checksums"], found["checksum_failures"], found["amcheck"]) == ("on", 0, True), found["told"]
        released = database.migrate(source, target, state="released")
        assert not released.get("failed") and database.state(source) == ""
