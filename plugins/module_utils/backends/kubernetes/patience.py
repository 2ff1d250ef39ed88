# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a server that does not answer is tried again, and in which steps."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Mapping
from typing import Any

_FIRST, _LONGEST = 0.1, 5.0
# A server that answers 500 by itself is asked again only a few times: it may be a fault that stays.
_INTERNAL_FAULTS = 3
_PASSING = re.compile(
    r"etcdserver: (leader changed|request timed out|no leader|server stopped)|apiserver is shutting down|transport is closing"
)


class Patience:
    """Begins with the first fault of a request, and ends ``seconds`` later."""

    def __init__(self, seconds: float, leaving: threading.Event) -> None:
        self._seconds, self._leaving = seconds, leaving
        self._deadline: float | None = None
        self._step = _FIRST
        self._internal = 0

    @property
    def tried(self) -> bool:
        """Whether there was a fault before."""
        return self._deadline is not None

    def pause(self, at_least: float = 0.0) -> bool:
        """Wait a while; False when there is no time left for another try."""
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._seconds
        # Spread, lest many threads come back in one instant.
        wait = max(at_least, self._step * random.uniform(0.6, 1.0))
        self._step = min(self._step * 2, _LONGEST)
        left = self._deadline - now
        if left <= 0 or at_least > left:
            return False
        return not self._leaving.wait(min(wait, left))

    def passes(self, code: int, status: Mapping[str, Any]) -> bool:
        """Whether an answer tells of a fault that passes."""
        if code in (429, 502, 503, 504):
            return True
        if code != 500:
            return False
        if _PASSING.search(str(status.get("message") or "")) or status.get("reason") in ("ServerTimeout", "Timeout"):
            return True
        self._internal += 1
        return self._internal <= _INTERNAL_FAULTS
