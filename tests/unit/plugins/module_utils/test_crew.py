# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls in flight: all done, in order; late ones left behind; the first error told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.crew import merged, work_through, work_through_stream


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


def test_a_stream_is_worked_through_with_few_items_held() -> None:
    made: list[int] = []
    done: list[int] = []
    lock = threading.Lock()
    most = 0

    def items() -> Iterator[int]:
        nonlocal most
        for number in range(500):
            made.append(number)
            with lock:
                most = max(most, len(made) - len(done))
            yield number

    def call(number: int) -> None:
        with lock:
            done.append(number)

    work_through_stream(items(), call, workers=4)
    assert sorted(done) == list(range(500))
    assert most <= 4 + 4 + 1


def test_a_stream_ends_with_the_first_error() -> None:
    def call(number: int) -> None:
        if number == 3:
            raise ValueError("number 3")

    with pytest.raises(ValueError, match="number 3"):
        work_through_stream(iter(range(10**9)), call, workers=2)

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        work_through_stream(broken(), lambda _number: None, workers=2)


def test_many_sources_are_read_at_once() -> None:
    barrier = threading.Barrier(3, timeout=10)

    def source(name: str) -> Iterator[str]:
        barrier.wait()
        yield from (f"{name}{number}" for number in range(200))

    found = list(merged([lambda name=name: source(name) for name in "abc"], workers=3, ahead=5))
    assert sorted(found) == sorted(f"{name}{number}" for name in "abc" for number in range(200))
    assert list(merged([], workers=3)) == []


def test_a_source_that_breaks_is_told() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(merged([broken, lambda: iter(range(10))], workers=1))


def test_readers_end_when_nobody_listens_any_more() -> None:
    before = threading.active_count()
    stream = merged([lambda: iter(range(10**9))], workers=1, ahead=2)
    assert next(stream) == 0
    stream.close()
    deadline = soon(10)
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
