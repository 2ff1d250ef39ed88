# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watches: what changed since a resource version, then what changes, with bookmarks; 410 as an event when it is too long ago."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from .http import Request, head
from .kinds import Kind
from .statuses import ApiError
from .store import Event, Store, Stored, dumps

Object = dict[str, Any]
Test = Callable[[Object], bool]
_BOOKMARK_EVERY = 20.0
_LONGEST = 1800.0


def _line(kind_of_event: str, raw: bytes) -> bytes:
    return b'{"type":"' + kind_of_event.encode() + b'","object":' + raw + b"}\n"


class Watch:
    """One client's watch of one kind."""

    def __init__(self, store: Store, kind: Kind, namespace: str, wanted: Test | None) -> None:
        self._shelf = store.shelf(kind.storage)
        self._store, self._kind, self._namespace, self._wanted = store, kind, namespace, wanted
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()

    def _takes(self, stored: Stored) -> bool:
        obj = stored.obj
        if self._namespace and obj["metadata"].get("namespace") != self._namespace:
            return False
        return self._wanted is None or self._wanted(obj)

    def hear(self, event: Event) -> None:
        """An object that a selector does not take any more is gone for this watch."""
        before = event.old is not None and self._takes(event.old)
        after = not event.gone and self._takes(event.new)
        if not before and not after:
            return
        what = "DELETED" if not after else "MODIFIED" if before else "ADDED"
        self.lines.put_nowait(_line(what, event.new.raw(self._kind)))

    def begin(self, since: str, initial: bool) -> None:
        """From the past to now; an ERROR event when the past is forgotten."""
        if not since or since == "0" or initial:
            for _key, stored in self._store.each(self._kind.storage, self._namespace):
                if self._takes(stored):
                    self.lines.put_nowait(_line("ADDED", stored.raw(self._kind)))
            if initial:
                self.lines.put_nowait(self.bookmark(initial=True))
        else:
            if not since.isdigit():
                raise ApiError(400, f'Invalid value: "{since}": strconv.ParseUint: parsing "{since}": invalid syntax')
            version = int(since)
            if version < max(self._shelf.forgotten, self._store.forgotten):
                oldest = max(self._shelf.forgotten, self._store.forgotten)
                error = ApiError(410, f"too old resource version: {version} ({oldest})")
                self.lines.put_nowait(_line("ERROR", dumps(error.status())))
                self.lines.put_nowait(b"")
                return
            for event in self._shelf.history:
                if event.rv > version:
                    self.hear(event)
        self._shelf.watchers.add(self.hear)

    def bookmark(self, initial: bool = False) -> bytes:
        metadata: Object = {"resourceVersion": str(self._store.rv), "creationTimestamp": None}
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        return _line("BOOKMARK", dumps({"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}))

    def end(self) -> None:
        self._shelf.watchers.discard(self.hear)


async def serve(request: Request, store: Store, kind: Kind, namespace: str, wanted: Test | None) -> None:
    """Answers on the connection until the client leaves or ``timeoutSeconds`` have passed."""
    watch = Watch(store, kind, namespace, wanted)
    watch.begin(request.first("resourceVersion"), request.flag("sendInitialEvents"))
    writer, loop = request.writer, asyncio.get_running_loop()
    writer.write(
        head(200, {"Content-Type": "application/json", "Cache-Control": "no-cache, private", "Transfer-Encoding": "chunked"})
    )
    try:
        seconds = min(float(request.first("timeoutSeconds", str(_LONGEST)) or _LONGEST), _LONGEST)
    except ValueError:
        seconds = _LONGEST
    ends, bookmarks = loop.time() + seconds, request.flag("allowWatchBookmarks")
    marked = loop.time()
    left = asyncio.ensure_future(request.reader.read(1))
    try:
        while not left.done():
            wait = min(ends - loop.time(), 1.0)
            line = None
            with contextlib.suppress(asyncio.TimeoutError):
                line = await asyncio.wait_for(watch.lines.get(), max(wait, 0.01)) if wait > 0 else None
            if line is None and loop.time() >= ends:
                if bookmarks:
                    _chunk(writer, watch.bookmark())
                break
            if line == b"":
                break
            if line is not None:
                _chunk(writer, line)
            elif bookmarks and loop.time() - marked >= _BOOKMARK_EVERY:
                marked = loop.time()
                _chunk(writer, watch.bookmark())
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    finally:
        watch.end()
        left.cancel()
        # A cancelled reader is waited for, or its error would be told to nobody.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await left


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
