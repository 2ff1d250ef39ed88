# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copying extents from an export of the source to volumes here: several at a time, each with its digest, under one cap.

Memory stays the same whatever a disk's size: each worker holds one piece.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Protocol

from ..errors import BackendError, FederationError, MigrationFailed
from .bulk import ZEROES, Copied
from .extents import Range, pieces

PIECE = 2 * 2**20
ZERO_PIECE = 2**30
_LOOK = 0.25
_KEEP = 2.0  # seconds between two looks at what is safely on the disk
_ZERO_BYTES = bytes(PIECE)


class Reader(Protocol):
    """A connection to the source's disk."""

    def read(self, offset: int, length: int) -> bytearray: ...

    def cut(self) -> None: ...

    def close(self) -> None: ...


class Writer(Protocol):
    """A connection to the target's volume."""

    def read(self, offset: int, length: int) -> bytearray: ...

    def write(self, offset: int, data: bytearray) -> None: ...

    def zero(self, offset: int, length: int) -> None: ...

    def flush(self) -> None: ...

    def cut(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class DiskJob:
    """One disk of a round: what holds data, what is known to be zero, and how to connect to both ends."""

    name: str
    data: Sequence[Range]
    zero: Sequence[Range]
    open_reader: Callable[[], Reader]
    open_writer: Callable[[], Writer]


@dataclass(frozen=True)
class Copying:
    """How: ``connections`` workers, ``bandwidth`` in bytes/s over all disks (0: no cap), times in seconds (0: never)."""

    connections: int = 4
    bandwidth: int = 0
    stall_timeout: float = 60
    timeout: float = 0


class Throttle:
    """Lets so many bytes a second pass, all callers together."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def take(self, amount: int) -> None:
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            begins = max(self._free_at, now)
            self._free_at = begins + amount / self._rate
        time.sleep(max(0.0, begins - now))


class Copier:
    """One round over all disks.

    :param keep: called now and then with extents that both were copied and are safe on the disk
    :param report: called with the progress about four times a second
    :param stopped: tells whether a person asked to stop
    """

    def __init__(
        self,
        jobs: Sequence[DiskJob],
        how: Copying,
        keep: Callable[[list[Copied]], None],
        report: Callable[[dict[str, Any]], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._how = how
        self._keep = keep
        self._report = report
        self._stopped = stopped
        self._throttle = Throttle(how.bandwidth)
        self._work = _interleaved(jobs)
        self._lock = threading.Lock()
        self._copied: deque[Copied] = deque()
        self._errors: list[Exception] = []
        self._ended = threading.Event()
        self._open: list[Reader | Writer] = []
        self.done_bytes = {job.name: 0 for job in jobs}
        self.total_bytes = {job.name: sum(length for _offset, length in job.data) for job in jobs}
        self.sent_bytes = self.extents = self.zero_bytes = 0

    def run(self) -> None:
        """Copy all of it; raises what a worker met. What ``keep`` was given stays copied whatever happens after."""
        flushers = {name: job.open_writer() for name, job in self._jobs.items()}
        self._open += flushers.values()
        threads = [threading.Thread(target=self._worker, daemon=True, name=f"copy {n}") for n in range(self._how.connections)]
        try:
            for thread in threads:
                thread.start()
            self._watch(threads, flushers)
        finally:
            self._ended.set()
            for connection in list(self._open):
                if self._errors:
                    connection.cut()
                else:
                    connection.close()

    def _watch(self, threads: list[threading.Thread], flushers: Mapping[str, Writer]) -> None:
        begun = moved_at = kept_at = time.monotonic()
        moved = -1
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(_LOOK / len(threads))
            now = time.monotonic()
            if self.extents != moved:
                moved, moved_at = self.extents, now
            self._report(self._progress(now - begun))
            self._judge(now - begun, now - moved_at)
            if self._errors:
                break
            if now - kept_at > _KEEP:
                self._keep_safe(flushers)
                kept_at = time.monotonic()
        if self._errors:
            self._give_up(threads, flushers)
        self._keep_safe(flushers)
        self._report(self._progress(time.monotonic() - begun))

    def _give_up(self, threads: list[threading.Thread], flushers: Mapping[str, Writer]) -> None:
        self._ended.set()
        own = list(flushers.values())
        for connection in list(self._open):
            if connection not in own:
                connection.cut()
        for thread in threads:
            thread.join(5)
        # What is not known to be safe is copied again.
        with contextlib.suppress(FederationError):
            self._keep_safe(flushers)
        raise self._errors[0]

    def _judge(self, elapsed: float, still: float) -> None:
        if self._stopped():
            self._errors.append(MigrationFailed("the copy was asked to stop", remedy="the VM stays at the source"))
        elif self._how.timeout and elapsed > self._how.timeout:
            self._errors.append(
                MigrationFailed(
                    f"the copy took longer than its timeout of {self._how.timeout:g} s",
                    remedy="run it again: it goes on where it was",
                )
            )
        elif self._how.stall_timeout and still > self._how.stall_timeout:
            self._errors.append(
                BackendError(
                    f"not a byte moved for {still:.0f} s (stall_timeout={self._how.stall_timeout:g})",
                    remedy="see to the link and run it again: it goes on where it was",
                )
            )

    def _keep_safe(self, flushers: Mapping[str, Writer]) -> None:
        batch = []
        while self._copied:
            batch.append(self._copied.popleft())
        for name in sorted({one.disk for one in batch}):
            flushers[name].flush()
        if batch:
            self._keep(batch)

    def _progress(self, seconds: float) -> dict[str, Any]:
        done, total = sum(self.done_bytes.values()), sum(self.total_bytes.values())
        rate = done / seconds if seconds > 0 else 0.0
        return {
            "percent": round(100 * done / total, 1) if total else 100.0,
            "bytes": done,
            "total_bytes": total,
            "bytes_per_second": int(rate),
            "seconds": round(seconds, 1),
            "eta_seconds": round((total - done) / rate) if rate else None,
            "disks": {name: {"bytes": self.done_bytes[name], "total_bytes": size} for name, size in self.total_bytes.items()},
        }

    def _worker(self) -> None:
        readers: dict[str, Reader] = {}
        writers: dict[str, Writer] = {}
        try:
            while not self._ended.is_set():
                with self._lock:
                    item = next(self._work, None)
                if item is None:
                    return
                self._copy(*item, readers, writers)
        except Exception as error:
            self._errors.append(error)

    def _copy(
        self, name: str, offset: int, length: int, is_data: bool, readers: dict[str, Reader], writers: dict[str, Writer]
    ) -> None:
        job = self._jobs[name]
        if name not in writers:
            writers[name] = self._opened(job.open_writer)
        if not is_data:
            writers[name].zero(offset, length)
            self._note(Copied(name, offset, length, ZEROES), sent=0)
            return
        if name not in readers:
            readers[name] = self._opened(job.open_reader)
        self._throttle.take(length)
        data = readers[name].read(offset, length)
        if data == _ZERO_BYTES[:length]:
            writers[name].zero(offset, length)
            digest = ZEROES
        else:
            digest = hashlib.sha256(data).hexdigest()
            writers[name].write(offset, data)
        self._note(Copied(name, offset, length, digest), sent=length)

    def _note(self, one: Copied, *, sent: int) -> None:
        self._copied.append(one)
        with self._lock:
            self.extents += 1
            self.done_bytes[one.disk] += sent
            self.sent_bytes += sent
            self.zero_bytes += one.length if one.digest == ZEROES else 0

    def _opened(self, open_it: Callable[[], Any]) -> Any:
        connection = open_it()
        with self._lock:
            self._open.append(connection)
        return connection


def _interleaved(jobs: Sequence[DiskJob]) -> Iterator[tuple[str, int, int, bool]]:
    """``(disk, offset, length, is_data)``, taking turns between the disks."""
    turns = deque((job.name, _pieces(job)) for job in jobs)
    while turns:
        name, rest = turns.popleft()
        item = next(rest, None)
        if item is not None:
            yield (name, *item)
            turns.append((name, rest))


def _pieces(job: DiskJob) -> Iterator[tuple[int, int, bool]]:
    for offset, length in pieces(job.zero, ZERO_PIECE):
        yield offset, length, False
    for offset, length in pieces(job.data, PIECE):
        yield offset, length, True
