# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A disk read once, from front to back, and written as an image file whose SHA-256 is known when the last byte is.

One thread reads, one takes the digest, one writes: the digest costs no time of its own where there is a second processor. Memory stays the
same whatever the disk's size.
"""

from __future__ import annotations

import hashlib
import mmap
import queue
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, Protocol

from ..errors import FederationError
from ..extents import Range, merged, pieces
from . import qcow2
from .writing import Sink

PIECE = 2 * 2**20
_AHEAD = 3  # pieces that are asked for at the same time
_BUFFERS = 8
_GRAIN = 65536
_LET_GO = 32 * 2**20
_ZEROES = bytes(PIECE)


class Reader(Protocol):
    """A disk: ``data`` are the ranges that may hold something else than zeroes."""

    @property
    def size(self) -> int: ...

    def data(self) -> list[Range]: ...

    def parts(self, offset: int, view: memoryview) -> Iterator[memoryview]: ...


@dataclass(frozen=True)
class _Piece:
    """``length`` bytes of the file from ``place`` on; of the disk from ``offset`` on, or a hole where that is None."""

    place: int
    length: int
    offset: int | None = None


class Image:
    """The file that a disk becomes: ``file_size`` in bytes, and what stands in it."""

    def __init__(self, reader: Reader, format: str) -> None:
        self._reader = reader
        self._layout = qcow2.Layout(reader.size, reader.data()) if format == "qcow2" else None
        self._data = self._layout.data if self._layout is not None else merged(reader.data())
        self.file_size = self._layout.file_size if self._layout is not None else reader.size
        self.data_size = sum(length for _offset, length in self._data)

    def head(self) -> Iterator[bytes]:
        return iter(()) if self._layout is None else self._layout.head()

    def pieces(self) -> Iterator[_Piece]:
        if self._layout is not None:
            place = self._layout.head_size
            for offset, length in pieces(self._data, PIECE):
                yield _Piece(place, length, offset)
                place += length
            return
        at = 0
        for offset, length in [*self._data, (self.file_size, 0)]:
            for hole, size in pieces([(at, offset - at)], PIECE):
                yield _Piece(hole, size)
            for start, size in pieces([(offset, length)], PIECE):
                yield _Piece(start, size, start)
            at = offset + length

    def ask(self, piece: _Piece, view: memoryview) -> Iterator[memoryview]:
        """The last cluster of a disk may reach over its end."""
        offset = piece.offset or 0
        there = min(piece.length, self._reader.size - offset)
        if there < piece.length:
            view[there:] = _ZEROES[: piece.length - there]
        return self._reader.parts(offset, view[:there])


class Imaging:
    """Writes one image.

    :param report: called with the bytes of data that were read since the last call
    """

    def __init__(self, image: Image, sink: Sink, report: Callable[[int], None]) -> None:
        self._image = image
        self._sink = sink
        self._report = report
        self._digest = hashlib.sha256()
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        self._to_digest: queue.SimpleQueue[tuple[_Piece, memoryview | None, _Use | None] | None] = queue.SimpleQueue()
        self._to_write: queue.SimpleQueue[tuple[_Piece, memoryview, _Use] | None] = queue.SimpleQueue()
        self._errors: list[Exception] = []
        for _number in range(_BUFFERS):
            # A map begins at a page, as what goes past the page cache must.
            self._free.put(memoryview(mmap.mmap(-1, PIECE)))

    def run(self) -> str:
        """The file's SHA-256."""
        place = 0
        for content in self._image.head():
            self._digest.update(content)
            self._sink.write(place, content)
            place += len(content)
        threads = [threading.Thread(target=work, daemon=True) for work in (self._take_digests, self._write)]
        for thread in threads:
            thread.start()
        try:
            self._read()
        finally:
            self._to_digest.put(None)
            self._to_write.put(None)
            for thread in threads:
                thread.join()
        if self._errors:
            raise self._errors[0]
        return self._digest.hexdigest()

    def _read(self) -> None:
        asked: deque[tuple[_Piece, memoryview, Iterator[memoryview]]] = deque()
        for piece in self._image.pieces():
            if piece.offset is None:
                self._drain(asked)
                self._to_digest.put((piece, None, None))
                continue
            buffer = self._free.get()
            if self._errors:
                return
            asked.append((piece, buffer, self._image.ask(piece, buffer[: piece.length])))
            if len(asked) >= _AHEAD:
                self._hand_on(asked)
        self._drain(asked)

    def _drain(self, asked: deque[tuple[_Piece, memoryview, Iterator[memoryview]]]) -> None:
        while asked:
            self._hand_on(asked)

    def _hand_on(self, asked: deque[tuple[_Piece, memoryview, Iterator[memoryview]]]) -> None:
        piece, buffer, parts = asked.popleft()
        for _part in parts:
            pass
        use = _Use(buffer, self._free)
        self._to_digest.put((piece, buffer, use))
        self._to_write.put((piece, buffer, use))
        self._report(piece.length)

    def _take_digests(self) -> None:
        while (item := self._to_digest.get()) is not None:
            piece, buffer, use = item
            self._digest.update(_ZEROES[: piece.length] if buffer is None else buffer[: piece.length])
            if use is not None:
                use.end()

    def _write(self) -> None:
        begun = end = 0
        while (item := self._to_write.get()) is not None:
            piece, buffer, use = item
            try:
                if not self._errors:
                    for start, length in _not_zero(buffer[: piece.length]):
                        self._sink.write(piece.place + start, buffer[start : start + length])
            except (OSError, FederationError) as error:
                self._errors.append(error)
            use.end()
            end = piece.place + piece.length
            if end - begun >= _LET_GO:
                self._sink.let_go(begun, end - begun)
                begun = end


class _Use:
    """A buffer that two have in hand; it is free again when both have ended."""

    def __init__(self, buffer: memoryview, free: queue.SimpleQueue[memoryview]) -> None:
        self._buffer = buffer
        self._free = free
        self._left = 2
        self._lock = threading.Lock()

    def end(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self._free.put(self._buffer)


def _not_zero(view: memoryview) -> list[Range]:
    """What of the piece is to be written: grains of zeroes stay holes in the file."""
    kept = []
    for start in range(0, len(view), _GRAIN):
        grain = view[start : start + _GRAIN]
        if grain[0] or grain[-1] or bytes(grain) != _ZEROES[: len(grain)]:
            kept.append((start, len(grain)))
    return merged(kept)
