# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many calls in flight at once, none of which can hold up the process.

``concurrent.futures`` waits for its threads when the process ends; a call into a host that is gone may never return. So the
threads are daemons, and those that are late are left behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Callable, TypeVar

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
    queue = iter(range(len(items)))
    lock = threading.Lock()

    def work() -> None:
        while not stopped.is_set():
            with lock:
                index = next(queue, None)
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
