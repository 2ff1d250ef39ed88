# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""WebSocket frames as a client writes and reads them (RFC 6455); pure."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_LARGEST = 64 * 1024 * 1024


def framed(payload: bytes, kind: int = BINARY) -> bytes:
    """One frame, masked as a client must."""
    size = len(payload)
    first = 0x80 | kind
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    mask = os.urandom(4)
    whole = (mask * (size // 4 + 1))[:size]
    # As two long numbers: byte by byte would be a hundred times as slow.
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(whole, "little")
    return b"".join((head, mask, masked.to_bytes(size, "little")))


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
