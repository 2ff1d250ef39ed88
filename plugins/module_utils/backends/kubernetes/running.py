# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command at work in a pod, over a WebSocket: channels 0 stdin, 1 stdout, 2 stderr, 3 how it ended, 255 (v5) a stream's end.

Everything happens in the calls of one thread: while one waits to send, what comes is taken in, so neither side blocks the other.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any

from ...errors import BackendError, UnreachableError
from ..cluster import Ended, Running
from .duplex import Duplex
from .faults import message
from .framing import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frames, framed

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
# Each frame has its price at the server, which reads it piece by piece.
_FRAME = 64 * 1024
_STDERR_KEPT = 4096
_PING_SECONDS = 15.0
_SILENCE_SECONDS = 120.0
# A disk at its limit may keep a command from reading its stdin for long.
_STUCK_SECONDS = 600.0
# How long the server may take to hang up once it told how the command ended.
_HANG_UP_SECONDS = 10.0


class PodCommand(Running):
    """``what`` names it in messages: ``cat in pod shop/web-0 of cluster es``."""

    def __init__(self, connection: Any, protocol: str, what: str) -> None:
        self._line = Duplex(connection)
        self._sealed = isinstance(connection, ssl.SSLSocket)
        self._protocol, self._what = protocol, what
        self._frames = Frames()
        self._channel: int | None = None
        self._stdout: list[bytes] = []
        self._stderr = b""
        self._status = bytearray()
        self._closed = False
        self._pinged = time.monotonic()

    def send(self, data: bytes) -> None:
        """Returns when all of it is on its way. To a command that has ended nothing is sent: ``end`` tells of it."""
        for start in range(0, len(data), _FRAME):
            if not self._over:
                self._line.put(framed(b"\0" + data[start : start + _FRAME], sealed=self._sealed))
            self._flush()

    @property
    def stdin_ends(self) -> bool:
        return self._protocol == V5

    def close_stdin(self) -> bool:
        if not self.stdin_ends:
            return False
        if not self._over:
            self._line.put(framed(bytes([_CLOSE, _STDIN])))
            self._flush()
        return True

    def receive(self) -> bytes:
        while not self._stdout and not self._at_end():
            self._turn()
        data = b"".join(self._stdout)
        self._stdout.clear()
        return data

    def end(self) -> Ended:
        while not self._at_end():
            self._turn()
            self._stdout.clear()
        self.close()
        return Ended(self._exit_code(), self._stderr.decode("utf-8", "replace"))

    def close(self) -> None:
        if not self._line.lost:
            self._line.put(framed(b"\x03\xe8", CLOSE))
            with contextlib.suppress(UnreachableError):
                self._take(self._line.turn(0))
        self._line.close()

    @property
    def _over(self) -> bool:
        return bool(self._status) or self._closed or bool(self._line.lost)

    def _at_end(self) -> bool:
        """Whether nothing more can come."""
        self._check_line()
        if self._closed or self._line.lost:
            return True
        return bool(self._status) and time.monotonic() - self._line.heard > _HANG_UP_SECONDS

    def _flush(self) -> None:
        while self._line.has_outgoing and not self._over:
            self._turn()
            if time.monotonic() - max(self._line.gone, self._line.heard) > _STUCK_SECONDS:
                raise self._lost(f"nothing went for {_STUCK_SECONDS:g} s")
        self._check_line()

    def _check_line(self) -> None:
        """UnreachableError when the line ended before the command did."""
        if (self._closed or self._line.lost) and not self._status:
            raise self._lost(self._line.lost or "the server ended it")

    def _turn(self) -> None:
        self._take(self._line.turn(1.0))
        now = time.monotonic()
        if self._line.has_outgoing or self._over:
            return
        silent = now - self._line.heard
        if silent > _SILENCE_SECONDS:
            raise self._lost(f"nothing came for {_SILENCE_SECONDS:g} s")
        if silent > _PING_SECONDS and now - self._pinged > _PING_SECONDS:
            self._pinged = now
            self._line.put(framed(b"", PING))

    def _take(self, data: bytes) -> None:
        if not data:
            return
        try:
            for kind, last, payload in self._frames.feed(data):
                self._take_frame(kind, last, payload)
        except ValueError as error:
            self._line.close()
            raise self._lost(f"the server sent {error}") from None

    def _take_frame(self, kind: int, last: bool, payload: bytes) -> None:
        if kind == PING:
            self._line.put(framed(payload, PONG))
        elif kind == CLOSE:
            self._closed = True
        elif kind in (BINARY, TEXT, CONTINUATION):
            # Only the first frame of a message names its channel.
            if kind != CONTINUATION and payload:
                self._channel, payload = payload[0], payload[1:]
            if payload:
                self._keep(payload)
            if last:
                self._channel = None

    def _keep(self, payload: bytes) -> None:
        if self._channel == _STDOUT:
            self._stdout.append(payload)
        elif self._channel == _STDERR:
            self._stderr = (self._stderr + payload)[-_STDERR_KEPT:]
        elif self._channel == _ERROR:
            self._status += payload

    def _exit_code(self) -> int:
        """Of the Status on channel 3; BackendError when the command did not even start."""
        try:
            status = json.loads(bytes(self._status))
        except ValueError:
            status = {"message": bytes(self._status).decode("utf-8", "replace")}
        if not isinstance(status, Mapping):
            status = {}
        if status.get("status") == "Success":
            return 0
        details = status.get("details")
        for cause in (details.get("causes") if isinstance(details, Mapping) else None) or ():
            if cause.get("reason") == "ExitCode":
                with contextlib.suppress(ValueError):
                    return int(cause["message"])
        raise BackendError(f"{self._what} could not be run: {message(status) or 'the server does not say why'}")

    def _lost(self, why: str) -> UnreachableError:
        return UnreachableError(f"the connection to {self._what} was lost: {why}", remedy="run again")
