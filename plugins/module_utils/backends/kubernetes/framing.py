# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""WebSocket frames as a client writes and reads them (RFC 6455); pure."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_LARGEST = 64 * 1024 * 1024
# By mask, then by byte.
_MASKED = tuple(bytes(byte ^ mask for byte in range(256)) for mask in range(256))


def framed(payload: bytes, kind: int = BINARY, *, sealed: bool = False) -> bytes:
    """One frame, masked as a client must.

    :param sealed: on a line with TLS, where no cache or proxy can take data for a request, which is what masks are against: four
        times the same random byte is a mask as well, and several times as fast
    """
    size = len(payload)
    first = 0x80 | kind
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    if sealed:
        byte = os.urandom(1)
        return b"".join((head, byte * 4, payload.translate(_MASKED[byte[0]])))
    mask = os.urandom(4)
    # Every fourth byte has the same mask: a table does them all at once. Byte by byte would be a hundred times as slow.
    masked = bytearray(size)
    for number in range(4):
        masked[number::4] = payload[number::4].translate(_MASKED[mask[number]])
    return b"".join((head, mask, masked))


class Frames:
    """Bytes in, whole frames out: ``(kind, is it the last of its message, payload)``. ValueError for what is no frame."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bool, bytes]]:
        waiting = self._waiting
        waiting += data
        start = 0
        try:
            while True:
                head = _head(waiting, start)
                if head is None or len(waiting) < head[1]:
                    return
                begin, end = head
                payload = bytes(memoryview(waiting)[begin:end])
                first = waiting[start]
                start = end
                yield first & 0x0F, bool(first & 0x80), payload
        finally:
            del waiting[:start]


def _head(waiting: bytearray, start: int) -> tuple[int, int] | None:
    """Where the payload of the frame at ``start`` begins and ends; None while its head is not all there."""
    there = len(waiting) - start
    if there < 2:
        return None
    if waiting[start] & 0x70 or waiting[start + 1] & 0x80:
        raise ValueError("a frame with an extension that nobody asked for, or masked by the server")
    size = waiting[start + 1] & 0x7F
    begin = start + 2
    if size >= 126:
        width = 2 if size == 126 else 8
        if there < 2 + width:
            return None
        size = int.from_bytes(waiting[begin : begin + width], "big")
        begin += width
    if size > _LARGEST:
        raise ValueError(f"a frame of {size} bytes")
    return begin, begin + size
