# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""WebSockets as a server has them (RFC 6455), on a connection that HTTP has read a request from."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct

from .http import Request, head
from .statuses import ApiError

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_LARGEST = 32 * 1024 * 1024


def _unmasked(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    whole = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")


class WebSocket:
    """``protocol`` is the one that was agreed on."""

    def __init__(self, request: Request, protocol: str) -> None:
        self._reader, self._writer, self.protocol = request.reader, request.writer, protocol
        self._closed = False

    @classmethod
    def accept(cls, request: Request, known: tuple[str, ...]) -> WebSocket:
        """400 for a request that is no upgrade, or that speaks none of the known protocols."""
        headers = request.headers
        if "websocket" not in headers.get("upgrade", "").lower() or "sec-websocket-key" not in headers:
            raise ApiError(400, "Upgrade request required")
        offered = [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]
        protocol = next((each for each in offered if each in known), "")
        if not protocol:
            raise ApiError(400, f"requested protocol(s) are not supported: {offered}; supports {list(known)}")
        key = base64.b64encode(hashlib.sha1((headers["sec-websocket-key"] + _MAGIC).encode()).digest()).decode()
        answer = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": key, "Sec-WebSocket-Protocol": protocol}
        request.writer.write(head(101, answer))
        return cls(request, protocol)

    async def send(self, data: bytes, kind: int = BINARY) -> None:
        if self._closed:
            return
        size = len(data)
        if size < 126:
            start = struct.pack("!BB", 0x80 | kind, size)
        elif size < 65536:
            start = struct.pack("!BBH", 0x80 | kind, 126, size)
        else:
            start = struct.pack("!BBQ", 0x80 | kind, 127, size)
        self._writer.write(start + data)
        await self._writer.drain()

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
        if size > _LARGEST or not second & 0x80:
            raise ConnectionError("a frame that is too large, or not masked")
        mask = await self._reader.readexactly(4)
        data = await self._reader.readexactly(size)
        return bool(first & 0x80), first & 0x0F, _unmasked(data, mask) if size else b""

    async def receive(self) -> bytes | None:
        """The next message; None at the client's close or when the connection is lost. Pings are answered."""
        parts: list[bytes] = []
        try:
            while True:
                final, kind, data = await self._frame()
                if kind == PING:
                    await self.send(data, PONG)
                elif kind == CLOSE:
                    return None
                elif kind != PONG:
                    parts.append(data)
                    if final:
                        return b"".join(parts)
        except (asyncio.IncompleteReadError, OSError):
            return None

    async def close(self, code: int = 1000) -> None:
        await self.send(struct.pack("!H", code), CLOSE)
        self._closed = True

    def abort(self) -> None:
        """The line is cut."""
        self._closed = True
        self._writer.transport.abort()
