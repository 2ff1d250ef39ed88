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

    def abort_job(self) -> None: ...


class Watchdog:
    """``aborted`` says why the watchdog stopped the migration; empty as long as it did not.

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

    def watch(self, mover: threading.Thread) -> None:
        """Return when ``mover`` has ended, or does not come back though its job was told to end: the ends are read then all the same."""
        begun = moved_at = time.monotonic()
        processed = -1
        told_downtime = self.policy.downtime == 0
        while mover.is_alive():
            mover.join(INTERVAL)
            statistics = self.source.job()
            now = time.monotonic()
            if statistics:
                told_downtime = told_downtime or self.source.set_max_downtime(self.policy.downtime)
                if statistics.get("data_processed", 0) != processed:
                    processed, moved_at = statistics.get("data_processed", 0), now
                self.report("copying", progress(statistics, now - begun, self.memory))
            self._judge(now - begun, now - moved_at)
            if self.aborted and now - self._aborted_at > PATIENCE:
                return

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

    :param memory: bytes of the VM's memory, which libvirt leaves out of its total as long as the disks are copied
    """
    done, total = int(statistics.get("data_processed", 0)), int(statistics.get("data_total", 0))
    remaining = int(statistics.get("data_remaining", 0))
    if not statistics.get("memory_total"):
        total, remaining = total + memory, remaining + memory
    whole = max(total, remaining)
    return {
        "percent": round(100 * (whole - remaining) / whole, 1) if whole else 0.0,
        "bytes": done,
        "total_bytes": whole,
        "bytes_per_second": int(done / elapsed) if elapsed > 0 else 0,
        "iteration": int(statistics.get("memory_iteration", 0)),
        "seconds": round(elapsed, 1),
    }
