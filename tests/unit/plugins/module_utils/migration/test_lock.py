# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock: held by a live process only, joined by those who wait."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import MigrationFailed
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.lock import MigrationLock


def quiet(_phase, _figures):
    pass


def lock_at(path, report=quiet, progress=None):
    return MigrationLock(str(path), "uuid-1", report, progress)


def test_it_is_held_and_leaves_nothing(tmp_path):
    lock = lock_at(tmp_path)
    assert not lock.is_held()
    with lock.held(0) as waited:
        assert waited is False
        assert lock.is_held()
    assert not lock.is_held()
    assert list((tmp_path / "migrations").iterdir()) == []


def test_an_error_lets_it_go(tmp_path):
    with pytest.raises(ValueError, match="mishap"), lock_at(tmp_path).held(0):
        raise ValueError("mishap")
    assert list((tmp_path / "migrations").iterdir()) == []


def test_the_second_waits_and_sees_the_progress_of_the_first(tmp_path):
    progress = tmp_path / "progress.json"
    progress.write_text('{"phase": "seed", "pid": 1, "percent": 40}')
    seen = []
    done = threading.Event()

    def second():
        with lock_at(tmp_path, lambda phase, figures: seen.append((phase, figures))).held(0) as waited:
            assert waited is True
        done.set()

    with lock_at(tmp_path, quiet, str(progress)).held(0):
        thread = threading.Thread(target=second)
        thread.start()
        while not seen:
            time.sleep(0.01)
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()
    phase, figures = seen[0]
    assert (phase, figures["percent"]) == ("seed", 40)
    assert f"run {os.getpid()}" in figures["waiting_for"]


def test_waiting_has_an_end_when_asked(tmp_path):
    with lock_at(tmp_path).held(0), pytest.raises(MigrationFailed, match="is at work on this VM"), lock_at(tmp_path).held(0.01):
        pass


def test_a_killed_holder_holds_nothing(tmp_path):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with lock_at(tmp_path).held(0):
            os.write(writer, b"x")
            time.sleep(600)
        os._exit(0)
    os.read(reader, 1)
    assert lock_at(tmp_path).is_held()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not lock_at(tmp_path).is_held()
    with lock_at(tmp_path).held(0):
        pass


def test_only_a_run_at_work_is_asked_to_stop(tmp_path):
    lock = lock_at(tmp_path)
    lock.ask_to_stop()
    assert not lock.asked_to_stop()
    with lock.held(0):
        lock_at(tmp_path).ask_to_stop()
        assert lock.asked_to_stop()
    with lock.held(0):
        assert not lock.asked_to_stop(), "it was the run before that was asked"
