# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import MigrationFailed
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.journal import COMPLETED, COPYING, Journal

ENTRY = Journal("id", "live", "es-1", "de-1", COPYING, 2, "2026-01-01T00:00:00+00:00", {"vda": "/vms/a"})


def test_it_comes_back_as_it_was_written():
    assert Journal.from_dict(ENTRY.to_dict()) == ENTRY
    assert Journal.from_dict(None) is None
    assert ENTRY.moved_to(COMPLETED, figures={"bytes": 1}).figures == {"bytes": 1}


@pytest.mark.parametrize("change", [{"version": 2}, {"phase": "dreaming"}])
def test_one_from_a_newer_version_is_refused(change):
    with pytest.raises(MigrationFailed, match="version of the collection"):
        Journal.from_dict({**ENTRY.to_dict(), **change})


def test_what_a_newer_version_added_is_left_aside():
    assert Journal.from_dict({**ENTRY.to_dict(), "colour": "blue"}) == ENTRY
