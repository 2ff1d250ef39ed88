# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many calls in flight at once, none of which can hold up the process.

``concurrent.futures`` waits for its threads when the process ends; a call into a host that is gone may never return. So the
threads are daemons, and those that are late are left behind.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, TypeVar

A = TypeVar("A")
R = TypeVar("R")


def work_through(items: Sequence[A], call: Callable[[A], R], *, workers: int, deadline: float) -> list[R | None]:
    """``call(item)`` of every item, in the order of the items; None where it was not done by ``deadline``.

    :param deadline: on the clock of ``time.monotonic()``; calls begun by then are left to end by themselves
    :raises Exception: the first that a call raised; no further call is begun after it
    """
    results: list[R | None] = [None] * len(items)
    errors: list[Exception] = []
    stopped = threading.Event()
    indices = iter(range(len(items)))
    lock = threading.Lock()

    def work() -> None:
        while not stopped.is_set():
            with lock:
                index = next(indices, None)
            if index is None:
                return
            try:
                result = call(items[index])
            except Exception as error:
                errors.append(error)
                stopped.set()
                return
            # Once stopped, the list belongs to the caller.
            if not stopped.is_set():
                results[index] = result

    threads = [threading.Thread(target=work, daemon=True) for _worker in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        if errors:
            break
    stopped.set()
    if errors:
        raise errors[0]
    return list(results)


def work_through_stream(items: Iterable[A], call: Callable[[A], None], *, workers: int) -> None:
    """``call(item)`` of every item while they come: no more of them are held than are worked on, and one for each worker.

    It returns when all are done; what ``items`` or a call raises is raised here, and no further call is begun.
    """
    waiting: queue.Queue[A | None] = queue.Queue(maxsize=workers)
    errors: list[BaseException] = []

    def work() -> None:
        while True:
            item = waiting.get()
            if item is None:
                return
            if errors:
                continue
            try:
                call(item)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _worker in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for item in items:
            if errors:
                break
            waiting.put(item)
    except BaseException as error:
        errors.append(error)
    for _thread in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def merged(sources: Sequence[Callable[[], Iterable[A]]], *, workers: int, ahead: int = 64) -> Iterator[A]:
    """The items of many sources, read ``workers`` at a time, in the order in which they come; ``ahead``: how many may wait.

    What a source raises is raised here. Leaving it early ends the reading.
    """
    coming: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=ahead)
    left = threading.Event()
    rest = iter(sources)
    lock = threading.Lock()

    def put(entry: tuple[str, Any]) -> bool:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                coming.put(entry, timeout=0.2)
                return True
        return False

    def read() -> None:
        try:
            while not left.is_set():
                with lock:
                    source = next(rest, None)
                if source is None:
                    break
                for item in source():
                    if not put(("item", item)):
                        return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    readers = min(workers, len(sources))
    for _reader in range(readers):
        threading.Thread(target=read, daemon=True).start()
    try:
        while readers:
            kind, value = coming.get()
            if kind == "error":
                raise value
            if kind == "end":
                readers -= 1
            else:
                yield value
    finally:
        left.set()
