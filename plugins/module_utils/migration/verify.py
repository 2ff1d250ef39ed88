# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparing what the target's disk holds with the digests that were taken while the source was read."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable

from ..extents import Range, common, merged, pieces
from .bulk import ZEROES, Copied
from .copying import PIECE, Writer

_LOOK = 0.25
_ZERO_BYTES = memoryview(bytes(PIECE))
_AT_ONCE = 4096


class Verifier:
    """Reads extents back, several at a time.

    :param open_writers: a connection to each disk's volume
    :param data_of: what of each volume is not a hole; zeroes are read back only there
    """

    def __init__(
        self, open_writers: Mapping[str, Callable[[], Writer]], data_of: Mapping[str, Sequence[Range]], connections: int
    ) -> None:
        self._open_writers = open_writers
        self._data_of = data_of
        self._connections = connections
        self._lock = threading.Lock()
        self._bad: list[Copied] = []
        self._errors: list[Exception] = []
        self.verified_bytes = dict.fromkeys(open_writers, 0)
        self.extents = dict.fromkeys(open_writers, 0)

    def differing(self, copied: Iterable[Copied], total: int, report: Callable[[dict[str, Any]], None]) -> list[Copied]:
        """The extents that do not hold what was read at the source; ``total`` bytes are for the progress only."""
        queue = self._to_read(copied)
        threads = [threading.Thread(target=self._work, args=(queue,), daemon=True) for _number in range(self._connections)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(_LOOK / len(threads))
            seen = sum(self.verified_bytes.values())
            report(
                {
                    "bytes": min(seen, total),
                    "total_bytes": total,
                    "percent": round(min(100.0, 100 * seen / total), 1) if total else 100.0,
                }
            )
        if self._errors:
            raise self._errors[0]
        return self._bad

    def _work(self, queue: Iterator[Copied]) -> None:
        writers: dict[str, Writer] = {}
        buffer = memoryview(bytearray(PIECE))
        try:
            while not self._errors:
                with self._lock:
                    one = next(queue, None)
                if one is None:
                    return
                if one.disk not in writers:
                    writers[one.disk] = self._open_writers[one.disk]()
                self._compare(one, writers[one.disk].parts(one.offset, buffer[: one.length]))
        except Exception as error:
            self._errors.append(error)
        finally:
            for writer in writers.values():
                writer.close()

    def _compare(self, one: Copied, parts: Iterator[memoryview]) -> None:
        digest, empty = hashlib.sha256(), True
        for part in parts:
            digest.update(part)
            empty = empty and part == _ZERO_BYTES[: len(part)]
        same = empty if one.digest == ZEROES else digest.hexdigest() == one.digest
        with self._lock:
            self.verified_bytes[one.disk] += one.length
            self.extents[one.disk] += 1
            if not same:
                self._bad.append(one)

    def _to_read(self, copied: Iterable[Copied]) -> Iterator[Copied]:
        zeroes: list[Copied] = []
        for one in copied:
            if one.digest != ZEROES:
                yield one
                continue
            zeroes.append(one)
            if len(zeroes) == _AT_ONCE:
                yield from self._not_holes(zeroes)
                zeroes = []
        yield from self._not_holes(zeroes)

    def _not_holes(self, zeroes: Sequence[Copied]) -> Iterator[Copied]:
        for disk in sorted({one.disk for one in zeroes}):
            ranges = merged((one.offset, one.length) for one in zeroes if one.disk == disk)
            for offset, length in pieces(common(ranges, self._data_of.get(disk, ())), PIECE):
                yield Copied(disk, offset, length, ZEROES)
