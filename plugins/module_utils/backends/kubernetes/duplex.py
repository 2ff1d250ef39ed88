# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A socket that never blocks: what there is to send and to receive goes both ways in each turn, with TLS or without."""

from __future__ import annotations

import collections
import contextlib
import select
import ssl
import time
from typing import Any

_PIECE = 64 * 1024
# A turn takes in no more than this many pieces, so that sending has its turn as well.
_PIECES = 32


class Duplex:
    """``turn`` is the only one that waits. ``lost`` is why the line ended, empty while it is open."""

    def __init__(self, connection: Any) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._outgoing: collections.deque[memoryview] = collections.deque()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._polls_out = False
        self.lost = ""
        # On the clock of time.monotonic(): when something last came, and last went.
        self.heard = self.gone = time.monotonic()

    @property
    def has_outgoing(self) -> bool:
        return bool(self._outgoing)

    def put(self, data: bytes) -> None:
        self._outgoing.append(memoryview(data))

    def turn(self, seconds: float) -> bytes:
        """Send what goes and return what came; when neither did, wait for that long at most."""
        sent = self._send()
        came = self._receive()
        if came or sent or self.lost:
            return came
        self._wait(seconds)
        self._send()
        return self._receive()

    def _wait(self, seconds: float) -> None:
        if bool(self._outgoing) != self._polls_out:
            self._polls_out = bool(self._outgoing)
            self._poll.modify(self._socket, select.POLLIN | (select.POLLOUT if self._polls_out else 0))
        self._poll.poll(max(0.0, seconds) * 1000)

    def _send(self) -> bool:
        sent = False
        while self._outgoing and not self.lost:
            try:
                size = self._socket.send(self._outgoing[0])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                break
            except OSError as error:
                # What the other side said before it left is still to be read.
                self._outgoing.clear()
                self._deaf(error)
                break
            sent = True
            self.gone = time.monotonic()
            if size == len(self._outgoing[0]):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = self._outgoing[0][size:]
        return sent

    def _deaf(self, error: OSError) -> None:
        self._why = error.strerror or str(error)

    _why = "it was closed"

    def _receive(self) -> bytes:
        pieces = []
        for _piece in range(_PIECES):
            try:
                piece = self._socket.recv(_PIECE)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                self.lost = error.strerror or str(error)
                break
            if not piece:
                self.lost = self._why
                break
            pieces.append(piece)
        if pieces:
            self.heard = time.monotonic()
        return b"".join(pieces)

    def close(self) -> None:
        self.lost = self.lost or "we left"
        with contextlib.suppress(OSError, KeyError, ValueError):
            self._poll.unregister(self._socket)
        with contextlib.suppress(OSError):
            self._socket.close()
