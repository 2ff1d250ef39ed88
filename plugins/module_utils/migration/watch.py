# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watching a live migration: progress for people, a downtime budget for QEMU, and an end to what does not move."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Callable, Protocol

from ..errors import FederationError
from .policy import Policy

INTERVAL = 0.5
PATIENCE = 60.0  # seconds that libvirt's call has to come back once its job was told to end


class Source(Protocol):
    """What is watched."""

    def job(self) -> dict[str, Any]: ...

    def set_max_downtime(self, milliseconds: int) -> bool: ...

    def suspend(self) -> None: ...

    def abort_job(self) -> None: ...


class Watchdog:
    """``aborted`` says why the watchdog stopped the migration; empty as long as it did not.

    ``suspended_at``: the moment (monotonic) at which it suspended the guest; None as long as it did not.

    :param memory: bytes of the VM's memory
    :param report: called with ``("copying", progress)`` at each look
    """

    def __init__(self, source: Source, policy: Policy, memory: int, report: Callable[[str, dict[str, Any]], None]) -> None:
        self.source = source
        self.policy = policy
        self.memory = memory
        self.report = report
        self.aborted = ""
        self._aborted_at = 0.0
        self.suspended_at: float | None = None

    def watch(self, mover: threading.Thread) -> None:
        """Return when ``mover`` has ended, or does not come back though its job was told to end: the ends are read then all the same."""
        begun = moved_at = time.monotonic()
        processed = -1
        told_downtime = self.policy.downtime == 0
        while mover.is_alive():
            mover.join(INTERVAL)
            if not mover.is_alive():
                return  # the guest waits for its resume
            statistics = self.source.job()
            now = time.monotonic()
            if statistics:
                told_downtime = told_downtime or self.source.set_max_downtime(self.policy.downtime)
                if statistics.get("data_processed", 0) != processed:
                    processed, moved_at = statistics.get("data_processed", 0), now
                self.report("copying", progress(statistics, now - begun, self.memory))
                self._suspend(statistics, now - begun)
            self._judge(now - begun, now - moved_at)
            if self.aborted and now - self._aborted_at > PATIENCE:
                return

    def _suspend(self, statistics: dict[str, Any], elapsed: float) -> None:
        """Have what is left of the memory stand still, once the disks are in step and the time for that has come."""
        after = self.policy.suspend_after
        if not after or elapsed < after or self.suspended_at is not None or not statistics.get("memory_processed"):
            return
        # A job that ended meanwhile needs it no more; another look follows where it was refused.
        with contextlib.suppress(FederationError):
            self.source.suspend()
            self.suspended_at = time.monotonic()

    def _judge(self, elapsed: float, still: float) -> None:
        if self.aborted:
            return
        timeout, stall_timeout = self.policy.timeout, self.policy.stall_timeout
        if timeout and elapsed > timeout:
            self._abort(f"the migration took longer than its timeout of {timeout:g} s and was aborted")
        elif stall_timeout and still > stall_timeout:
            self._abort(f"not a byte moved for {still:.0f} s (stall_timeout={stall_timeout:g}) and the migration was aborted")

    def _abort(self, reason: str) -> None:
        self.aborted = reason
        self._aborted_at = time.monotonic()
        # The job may have ended between the look and the abort; both ends are read afterwards anyway.
        with contextlib.suppress(FederationError):
            self.source.abort_job()


def progress(statistics: dict[str, Any], elapsed: float, memory: int = 0) -> dict[str, Any]:
    """``{percent, bytes, total_bytes, bytes_per_second, iteration, seconds}`` from libvirt's job statistics.

    ``eta_seconds`` and ``dirty_bytes_per_second`` (memory) are there once they can be told.

    :param memory: bytes of the VM's memory, which libvirt leaves out of its total as long as the disks are copied
    """
    done, total = int(statistics.get("data_processed", 0)), int(statistics.get("data_total", 0))
    remaining = int(statistics.get("data_remaining", 0))
    if not statistics.get("memory_total"):
        total, remaining = total + memory, remaining + memory
    whole = max(total, remaining)
    speed = done / elapsed if elapsed > 0 else 0.0
    dirty = int(statistics.get("memory_dirty_rate", 0)) * int(statistics.get("memory_page_size", 0))
    return {
        "percent": round(100 * (whole - remaining) / whole, 1) if whole else 0.0,
        "bytes": done,
        "total_bytes": whole,
        "bytes_per_second": int(speed),
        "iteration": int(statistics.get("memory_iteration", 0)),
        "seconds": round(elapsed, 1),
        **({"eta_seconds": round(remaining / speed)} if speed else {}),
        **({"dirty_bytes_per_second": dirty} if dirty else {}),
    }
