# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls in flight: all done, in order; late ones left behind; the first error told."""

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.crew import work_through


def soon(seconds: float = 30.0) -> float:
    return time.monotonic() + seconds


def test_all_in_order() -> None:
    assert work_through(range(100), lambda number: number * 2, workers=7, deadline=soon()) == list(range(0, 200, 2))
    assert work_through([], len, workers=7, deadline=soon()) == []


def test_many_in_flight_at_once() -> None:
    barrier = threading.Barrier(5, timeout=10)
    work_through(range(5), lambda _number: barrier.wait(), workers=5, deadline=soon())


def test_late_calls_are_left_behind() -> None:
    never = threading.Event()
    began = time.monotonic()
    results = work_through([0, 1, 2], lambda number: number if number != 1 else never.wait(), workers=3, deadline=soon(0.3))
    assert results == [0, None, 2]
    assert time.monotonic() - began < 5
    never.set()


def test_the_first_error_ends_it() -> None:
    begun: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        raise ValueError(f"number {number}")

    with pytest.raises(ValueError, match="number 0"):
        work_through(range(100), call, workers=1, deadline=soon())
    assert begun == [0]
