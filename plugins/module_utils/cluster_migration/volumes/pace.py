# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""No more bytes per second than are allowed, over all streams together."""

from __future__ import annotations

import threading
import time
from typing import Callable

_NAP = 0.5


class Pace:
    """Many threads wait for their turn; what was not used in time is not saved up.

    :param rate: bytes per second; 0 for no limit
    :param check: called while one waits; raises when this run must not go on
    """

    def __init__(
        self,
        rate: int,
        check: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._check = check
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free = 0.0

    def spend(self, size: int) -> None:
        """Returns when these bytes have had their time."""
        if not self._rate:
            return
        with self._lock:
            self._free = until = max(self._free, self._clock()) + size / self._rate
        while (left := until - self._clock()) > 0:
            self._sleep(min(left, _NAP))
            self._check()
