# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP/1.1 with keep-alive on asyncio: only what an API server needs, and quick."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from .statuses import ApiError

# What etcd and the API server let through: 1.5 MiB of an object, 3 MiB of a request.
LARGEST = 3 * 1024 * 1024
_PHRASES = {101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 404: "Not Found", 409: "Conflict"}
_GZIP_FROM = 128 * 1024


@dataclass
class Request:
    """One request; ``user`` and ``groups`` are whom the certificate or the token names."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    user: str = "system:anonymous"
    groups: tuple[str, ...] = ("system:unauthenticated",)
    warnings: list[str] = field(default_factory=list)

    def first(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        return name in self.query and self.query[name][0].lower() in ("", "1", "true")

    def object(self) -> Any:
        """The body as JSON, or as YAML where that can be read; 400 otherwise."""
        if "protobuf" in self.headers.get("content-type", ""):
            raise ApiError(415, "the body of the request was in an unknown format - accepted media types include: application/json")
        try:
            return json.loads(self.body)
        except ValueError as error:
            with contextlib.suppress(ImportError):
                import yaml

                with contextlib.suppress(yaml.YAMLError):
                    read = yaml.safe_load(self.body)
                    if isinstance(read, (dict, list)):
                        return read
            raise ApiError(400, f"couldn't get version/kind; json parse error: {error}") from None


@dataclass
class Response:
    """``body``: bytes are sent as they are, anything else as JSON."""

    body: Any
    code: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, separators=(",", ":")).encode()


# None: the handler has answered on the connection itself, which is then closed.
Handler = Callable[[Request], Awaitable["Response | None"]]


def head(code: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {code} {_PHRASES.get(code, 'Status')}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _written(request: Request, response: Response, keep: bool) -> bytes:
    data = response.data()
    headers = {"Content-Type": response.content_type, "Cache-Control": "no-cache, private", **response.headers}
    for warning in request.warnings:
        headers["Warning"] = '299 - "' + warning.replace('"', '\\"') + '"'
    if len(data) > _GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        data = gzip.compress(data, 1)
        headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(data))
    if not keep:
        headers["Connection"] = "close"
    return head(response.code, headers) + (b"" if request.method == "HEAD" else data)


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    parts, total = [], 0
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        if size == 0:
            while (await reader.readline()).strip():
                pass
            return b"".join(parts)
        total += size
        if total > LARGEST:
            raise ApiError(413, f"Request entity too large: limit is {LARGEST}")
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request of a connection; None at its end."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    lines = raw.decode("latin-1").split("\r\n")
    method, target, _version = lines[0].split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        if line:
            name, _colon, value = line.partition(":")
            name = name.lower()
            headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    path, _mark, query = target.partition("?")
    parsed = parse_qs(query, keep_blank_values=True) if query else {}
    request = Request(method, unquote(path), parsed, headers, b"", reader, writer)
    if "100-continue" in headers.get("expect", ""):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = int(headers.get("content-length", "0"))
    if length > LARGEST:
        error = ApiError(413, f"Request entity too large: limit is {LARGEST}")
        writer.write(_written(request, Response(error.status(), 413), keep=False))
        await writer.drain()
        # The rest is taken in, so that the client gets to read the answer instead of a reset.
        with contextlib.suppress(asyncio.IncompleteReadError):
            while length > 0:
                length -= len(await reader.readexactly(min(length, 65536)))
        return None
    if length:
        request.body = await reader.readexactly(length)
    elif "chunked" in headers.get("transfer-encoding", ""):
        try:
            request.body = await _chunked(reader)
        except ApiError as error:
            writer.write(_written(request, Response(error.status(), error.code), keep=False))
            return None
    return request


class Server:
    """Serves a handler until it is closed; ``drop()`` cuts every connection at once."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.AbstractServer | None = None
        self.address: tuple[str, int] = ("", 0)

    async def start(self, address: str, port: int, context: ssl.SSLContext) -> None:
        self._server = await asyncio.start_server(self._serve, address, port, ssl=context, limit=256 * 1024, backlog=512)
        self.address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        """Nobody is let in any more, and who is in is put out."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in tuple(self._connections):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError, ValueError):
            while True:
                request = await _read(reader, writer)
                if request is None:
                    break
                response = await self._handler(request)
                if response is None:
                    break
                keep = request.headers.get("connection", "").lower() != "close"
                writer.write(_written(request, response, keep))
                await writer.drain()
                if not keep:
                    break
        self._connections.discard(writer)
        writer.close()
