# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.action.vm_migration import ActionModule
from ansible_collections.virt8ra.federation.plugins.plugin_utils.watched_action import PATIENCE, SILENT

ARGS = {"name": "web-1", "source_hypervisor": "lab-es-1", "hypervisor": "lab-de-1"}
COPYING = {"phase": "copying", "pid": 4711}


class Job:
    """A job on a hypervisor: what its progress file says at each look, and when its result is there."""

    def __init__(self, looks: list[tuple[dict[str, Any], bool]], result_after: int) -> None:
        self._looks = looks
        self._result_after = result_after
        self.looked = self.asked = 0

    def progress(self, _path: str, _pid: int) -> tuple[dict[str, Any], bool]:
        self.looked += 1
        return self._looks[min(self.looked, len(self._looks)) - 1]

    def status(self, _job: str, _mode: str, _task_vars: Any) -> dict[str, Any]:
        self.asked += 1
        return {"finished": int(self.looked >= self._result_after), "changed": True}


def follow(job: Job, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    action = ActionModule.__new__(ActionModule)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(action, "_progress", job.progress)
    monkeypatch.setattr(action, "_job_status", job.status)
    return action._follow("1.2", "/tmp/progress.json", ARGS, {})


def test_the_hypervisor_is_left_in_peace_while_the_module_works(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job([({}, True), *[(COPYING, True)] * 40, (COPYING, False)], result_after=42)
    assert follow(job, monkeypatch)["changed"] is True
    assert job.asked == 2  # before its process was known, and after that had ended


def test_a_module_that_failed_at_once_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job([({}, True)], result_after=1)
    assert follow(job, monkeypatch)["finished"] == 1


def test_a_process_number_that_somebody_else_has_now_does_not_keep_us(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job([(COPYING, True)], result_after=30)
    assert follow(job, monkeypatch)["finished"] == 1


def test_a_module_that_was_killed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job([(COPYING, True), (COPYING, False)], result_after=10**6)
    result = follow(job, monkeypatch)
    assert result["failed"] is True
    assert "its process died on lab-de-1" in result["msg"]
    assert job.asked == PATIENCE


def test_a_module_that_never_said_a_word_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job([({}, True)], result_after=10**6)
    assert follow(job, monkeypatch)["failed"] is True
    assert job.asked == SILENT + PATIENCE
