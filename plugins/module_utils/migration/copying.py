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
from ..extents import Range, merged, pieces
from .bulk import ZEROES, Copied

PIECE = 2 * 2**20
ZERO_PIECE = 2**30
_LOOK = 0.25
_KEEP = 2.0  # seconds between two looks at what is safely on the disk
_ZERO_BYTES = memoryview(bytes(PIECE))


class Reader(Protocol):
    """A connection to the source's disk. ``parts`` asks for all of them at once, and gives them in their order."""

    def parts(self, offset: int, view: memoryview) -> Iterator[memoryview]: ...

    def cut(self) -> None: ...

    def close(self) -> None: ...


class Writer(Protocol):
    """A connection to the target's volume. ``settle`` returns when all that ``write`` began is written."""

    def parts(self, offset: int, view: memoryview) -> Iterator[memoryview]: ...

    def write(self, offset: int, view: memoryview) -> None: ...

    def settle(self) -> None: ...

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

    connections: int = 6
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
        """One piece is asked for while the one before it comes and the one before that is written: nobody waits for anybody."""
        lane = _Lane(self._jobs, self._opened)
        try:
            while not self._ended.is_set():
                while lane.has_room() and (item := self._next()) is not None:
                    name, offset, length, is_data = item
                    if is_data:
                        self._throttle.take(length)
                        lane.ask(name, offset, length)
                    else:
                        self._note(lane.zero(name, offset, length), sent=0)
                if lane.is_empty():
                    return
                for one in lane.move_on():
                    self._note(one, sent=one.length)
        except Exception as error:
            self._errors.append(error)

    def _next(self) -> tuple[str, int, int, bool] | None:
        with self._lock:
            return next(self._work, None)

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


class _Lane:
    """What one worker has under way, in three buffers: two pieces that are read and one that is written.

    :param opened: opens a connection, so that it can be cut
    """

    def __init__(self, jobs: Mapping[str, DiskJob], opened: Callable[[Callable[[], Any]], Any]) -> None:
        self._jobs = jobs
        self._opened = opened
        self._readers: dict[str, Reader] = {}
        self._writers: dict[str, Writer] = {}
        self._free = [memoryview(bytearray(PIECE)) for _number in range(3)]
        self._asked: deque[tuple[str, int, memoryview, Iterator[memoryview]]] = deque()
        self._writing: tuple[Copied, memoryview] | None = None

    def has_room(self) -> bool:
        return len(self._asked) < 2

    def is_empty(self) -> bool:
        return not self._asked and self._writing is None

    def ask(self, name: str, offset: int, length: int) -> None:
        if name not in self._readers:
            self._readers[name] = self._opened(self._jobs[name].open_reader)
        buffer = self._free.pop()
        self._asked.append((name, offset, buffer, self._readers[name].parts(offset, buffer[:length])))

    def zero(self, name: str, offset: int, length: int) -> Copied:
        self._writer(name).zero(offset, length)
        return Copied(name, offset, length, ZEROES)

    def _writer(self, name: str) -> Writer:
        if name not in self._writers:
            self._writers[name] = self._opened(self._jobs[name].open_writer)
        return self._writers[name]

    def move_on(self) -> Iterator[Copied]:
        """Write the piece that was asked for first; gives the one before it, which is written then."""
        if self._writing is not None:
            one, buffer = self._writing
            self._writers[one.disk].settle()
            self._writing = None
            self._free.append(buffer)
            yield one
        if self._asked:
            name, offset, buffer, parts = self._asked.popleft()
            length, digest = _written(parts, self._writer(name), offset)
            self._writing = Copied(name, offset, length, digest), buffer


def _written(parts: Iterator[memoryview], writer: Writer, offset: int) -> tuple[int, str]:
    """Length and digest of a piece whose writing has begun; parts that are zero become holes, and all of them together are ZEROES."""
    digest, at, zeroes = hashlib.sha256(), offset, []
    for part in parts:
        digest.update(part)
        if part == _ZERO_BYTES[: len(part)]:
            zeroes.append((at, len(part)))
        else:
            writer.write(at, part)
        at += len(part)
    for start, length in merged(zeroes):
        writer.zero(start, length)
    return at - offset, ZEROES if merged(zeroes) == [(offset, at - offset)] else digest.hexdigest()


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
