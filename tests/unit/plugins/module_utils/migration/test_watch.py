# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import threading

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.migration import watch
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.policy import Policy
from ansible_collections.virt8ra.federation.plugins.module_utils.progress import ProgressFile, picture

MIB = 2**20


class Job:
    """A source whose job goes on until it is aborted or has moved all its bytes."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.done = 0
        self.ended = threading.Event()
        self.downtimes: list[int] = []
        self.suspensions = 0

    def job(self):
        self.done += self.step
        if self.done >= 10 * MIB:
            self.ended.set()
        return {"data_total": 10 * MIB, "data_processed": self.done, "data_remaining": max(0, 10 * MIB - self.done)}

    def suspend(self):
        self.suspensions += 1

    def set_max_downtime(self, milliseconds):
        self.downtimes.append(milliseconds)
        return len(self.downtimes) > 1

    def abort_job(self):
        self.ended.set()


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(watch, "INTERVAL", 0.01)


def follow(job, **limits):
    reports = []
    mover = threading.Thread(target=job.ended.wait, args=(30,))
    mover.start()
    policy = Policy(**{"downtime": 200, "stall_timeout": 0, "timeout": 0, **limits})
    watchdog = watch.Watchdog(job, policy, 0, lambda phase, figures: reports.append((phase, figures)))
    watchdog.watch(mover)
    return watchdog, reports


def test_a_job_that_moves_is_reported_and_left_alone():
    job = Job(MIB)
    watchdog, reports = follow(job, stall_timeout=5)
    assert watchdog.aborted == ""
    assert [figures["percent"] for _phase, figures in reports][:3] == [10.0, 20.0, 30.0]
    assert job.downtimes == [200, 200], "asked again until it was taken, then no more"


def test_a_job_that_stands_still_is_aborted():
    watchdog, _reports = follow(Job(0), stall_timeout=0.05)
    assert "not a byte moved" in watchdog.aborted


def test_a_job_that_takes_too_long_is_aborted():
    watchdog, _reports = follow(Job(1), timeout=0.05)
    assert "timeout of 0.05 s" in watchdog.aborted


def test_a_call_that_does_not_come_back_is_left(monkeypatch):
    monkeypatch.setattr(watch, "PATIENCE", 0.05)

    class Stuck(Job):
        def job(self):
            return {}

        def abort_job(self):
            pass

    job = Stuck(0)
    watchdog, reports = follow(job, stall_timeout=0.05)
    assert not job.ended.is_set()
    job.ended.set()
    assert "not a byte moved" in watchdog.aborted
    assert reports == []


def test_the_guest_is_suspended_once_when_its_time_has_come_and_its_memory_is_under_way():
    class Memory(Job):
        def job(self):
            return {**super().job(), "memory_processed": self.done - 5 * MIB if self.done > 5 * MIB else 0}

    job = Memory(MIB)
    watchdog, _reports = follow(job, suspend_after=0.01)
    assert job.suspensions == 1
    assert watchdog.suspended_at is not None
    job = Memory(MIB)
    follow(job, suspend_after=3600)
    follow(job)
    assert job.suspensions == 0


def test_time_left_and_dirty_rate_are_told_once_they_are_known():
    seen = watch.progress({"data_total": 100, "data_processed": 50, "data_remaining": 50, "memory_total": 100}, 10)
    assert (seen["eta_seconds"], "dirty_bytes_per_second" in seen) == (10, False)
    seen = watch.progress({"memory_total": 100, "memory_dirty_rate": 3, "memory_page_size": 4096}, 1)
    assert seen["dirty_bytes_per_second"] == 3 * 4096


def test_qemu_keeps_its_own_downtime_where_none_is_asked():
    job = Job(5 * MIB)
    follow(job, downtime=0)
    assert job.downtimes == []


def test_progress_is_written_whole_and_drawn(tmp_path):
    path = tmp_path / "progress.json"
    ProgressFile(str(path)).report(
        "copying", {"percent": 50.0, "bytes": 5 * MIB, "total_bytes": 10 * MIB, "bytes_per_second": MIB, "seconds": 5}
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]
    line = picture("web-1", "es-1", "de-1", json.loads(path.read_text()))
    assert line.startswith("web-1  es-1 → de-1  copying  ████████████░░░░░░░░░░░░  50.0 %  5.0 MiB of 10.0 MiB  1.0 MiB/s")


def test_progress_that_cannot_be_written_stops_nothing(tmp_path):
    ProgressFile(str(tmp_path / "no" / "folder")).report("copying", {})
    ProgressFile(None).report("copying", {})


def test_progress_only_grows_when_the_memory_follows_the_disks():
    disks = {"data_total": 64, "data_processed": 60, "data_remaining": 4, "memory_total": 0}
    memory = {"data_total": 192, "data_processed": 70, "data_remaining": 120, "memory_total": 128}
    assert watch.progress(disks, 1, 128)["percent"] < watch.progress(memory, 2, 128)["percent"]
