# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far the copying is, told now and then."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

_EVERY = 0.5


class Figures:
    """Sums over all volumes of one phase; many threads add to them.

    ``report(phase, {bytes, total_bytes, files, total_files, seconds, bytes_per_second})``.
    """

    def __init__(self, phase: str, report: Callable[[str, dict[str, Any]], None], check: Callable[[], None]) -> None:
        self.phase = phase
        self._report = report
        self._check = check
        self._begun = self._told = time.monotonic()
        self._lock = threading.Lock()
        self._sums = {"bytes": 0, "total_bytes": 0, "files": 0, "total_files": 0}

    def expect(self, size: int, files: int) -> None:
        self._add(total_bytes=size, total_files=files)

    def moved(self, size: int) -> None:
        """So many bytes more; raises when this run must not go on."""
        self._add(bytes=size)

    def done(self, files: int) -> None:
        self._add(files=files)

    def _add(self, **more: int) -> None:
        with self._lock:
            for name, value in more.items():
                self._sums[name] += value
        self._check()
        self.tell()

    def tell(self, *, now: bool = False) -> None:
        with self._lock:
            moment = time.monotonic()
            if not now and moment < self._told + _EVERY:
                return
            self._told = moment
            seconds = max(moment - self._begun, 0.001)
            figures = {**self._sums, "seconds": round(seconds, 1), "bytes_per_second": int(self._sums["bytes"] / seconds)}
            # A file that grew, or was sent twice, is no reason to show more than all.
            figures["bytes"] = min(figures["bytes"], figures["total_bytes"])
            self._report(self.phase, figures)
