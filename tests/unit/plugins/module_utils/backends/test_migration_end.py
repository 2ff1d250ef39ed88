# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A QEMU that stopped answering in the middle of a call, for which libvirt would wait without an end."""

from __future__ import annotations

import threading
from typing import Any

import libvirt
import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import migration_end
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import UnreachableError


class Silent:
    """A running domain and its connection; what asks its QEMU does not return before the end of the test."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def isAlive(self) -> bool:
        return True

    def lookupByUUIDString(self, _uuid: str) -> Silent:
        return self

    def state(self) -> tuple[int, int]:
        return libvirt.VIR_DOMAIN_RUNNING, 0

    def _wait(self, *_arguments: Any) -> None:
        self.over.wait()

    jobInfo = jobStats = abortJob = suspend = migrateSetMaxDowntime = _wait


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(migration_end, "_ANSWER_SECONDS", 0.05)
    silent = Silent()
    yield migration_end.MigrationEnd(lambda: silent, "es-1")
    silent.over.set()


def test_the_watch_goes_on_without_its_figures(end: migration_end.MigrationEnd) -> None:
    assert end.job() == {}
    assert end.set_max_downtime(300) is False
    end.abort_job()


def test_it_reads_as_stuck(end: migration_end.MigrationEnd) -> None:
    seen = end.observe()
    assert (seen.state, seen.busy, seen.stuck) == ("running", True, True)


def test_what_must_be_done_fails(end: migration_end.MigrationEnd) -> None:
    with pytest.raises(UnreachableError, match=r"asking the QEMU of VM .* brought no answer"):
        end.suspend()
