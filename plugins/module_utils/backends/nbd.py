# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network block devices through libnbd: an export of a running VM read under TLS, a volume here written by a socket."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

from ..errors import BackendError

try:
    import nbd
except ImportError:
    nbd = None

PKI = "/etc/pki/qemu"
ALLOCATION = "base:allocation"
_ZERO = 2
_DIRTY = 1
_CONNECT_SECONDS = 20.0
PART = 256 * 1024  # what stays in a processor's cache on its way; many are under way at once
_STATUS_BYTES = 2**31  # the protocol counts a request's length in 32 bits
# A link that is cut is noticed within about 15 s, whether we wait for an answer or for an acknowledgement.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 5), (socket.TCP_USER_TIMEOUT, 15000))

FAULT = nbd.Error if nbd is not None else OSError


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Turn libnbd's exception into ours."""
    try:
        yield
    except FAULT as error:
        raise BackendError(f"{what} failed: {' '.join(str(error).split())}") from error


class Connection:
    """One connection to one export. Its calls let other threads work meanwhile; one thread at a time may use it."""

    def __init__(self, handle: Any, what: str) -> None:
        self._handle = handle
        self._what = what
        self._writes: list[int] = []

    @property
    def size(self) -> int:
        """Bytes."""
        with told(f"reading the size of {self._what}"):
            return int(self._handle.get_size())

    def parts(self, offset: int, view: memoryview) -> Iterator[memoryview]:
        """Ask at once for all that fills ``view`` from ``offset`` on, and give each part as soon as it is there, in their order."""
        with told(f"reading {self._what} at {offset}"):
            asked = [(self._handle.aio_pread(part, offset + at), part) for at, part in _parted(view)]
        return self._as_they_come(asked)

    def _as_they_come(self, asked: list[tuple[int, memoryview]]) -> Iterator[memoryview]:
        for cookie, part in asked:
            with told(f"reading {self._what}"):
                self._wait(cookie)
            yield part

    def write(self, offset: int, view: memoryview) -> None:
        """Begin to write; ``view`` must stay as it is until ``settle``."""
        with told(f"writing {self._what} at {offset}"):
            self._writes += [self._handle.aio_pwrite(part, offset + at) for at, part in _parted(view)]
            self._handle.poll(0)

    def settle(self) -> None:
        """Return when all that was begun is written, though not yet on the disk."""
        with told(f"writing {self._what}"):
            while self._writes:
                self._wait(self._writes.pop(0))

    def _wait(self, cookie: int, *, promptly: bool = False) -> None:
        """:param promptly: acknowledge at once what comes in: the other side waits for that before it sends the rest of an answer"""
        while not self._handle.aio_command_completed(cookie):
            if promptly:
                _acknowledge(self._handle)
            self._handle.poll(500)

    def zero(self, offset: int, length: int) -> None:
        """Zeroes without sending any; holes where the format has them."""
        with told(f"zeroing {self._what} at {offset}"):
            self._handle.zero(length, offset)

    def flush(self) -> None:
        """Return when all that was written by any connection is on the disk."""
        with told(f"flushing {self._what}"):
            self._handle.flush()

    def data(self) -> list[tuple[int, int]]:
        """Ranges that do not read as zeroes, as far as the server knows."""
        return [(offset, length) for offset, length, flags in self._status(ALLOCATION) if not flags & _ZERO]

    def dirty(self, bitmap: str) -> list[tuple[int, int]]:
        """Ranges that the bitmap names as written."""
        context = f"qemu:dirty-bitmap:{bitmap}"
        with told(f"asking for the bitmap {bitmap} of {self._what}"):
            if not self._handle.can_meta_context(context):
                raise BackendError(f"{self._what} is not served with the bitmap {bitmap}")
        return [(offset, length) for offset, length, flags in self._status(context) if flags & _DIRTY]

    def _status(self, wanted: str) -> list[tuple[int, int, int]]:
        found: list[tuple[int, int, int]] = []

        def take(context: str, offset: int, entries: Any, _error: Any) -> int:
            if context == wanted:
                for length, flags in zip(entries[::2], entries[1::2]):
                    found.append((offset, length, flags))
                    offset += length
            return 0

        at, size = 0, self.size
        with told(f"reading the extents of {self._what}"):
            while at < size:
                self._wait(self._handle.aio_block_status(min(_STATUS_BYTES, size - at), at, take), promptly=True)
                if not found or found[-1][0] + found[-1][1] <= at:
                    raise BackendError(f"{self._what} tells no extents at {at}")
                at = found[-1][0] + found[-1][1]
        return found

    def cut(self) -> None:
        """End what another thread waits for on this connection: its call fails at once."""
        with contextlib.suppress(OSError, FAULT):
            peer = socket.socket(fileno=os.dup(self._handle.aio_get_fd()))
            with peer:
                peer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(FAULT):
            self._handle.shutdown()


def _parted(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    for at in range(0, len(view), PART):
        yield at, view[at : at + PART]


def _acknowledge(handle: Any) -> None:
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(handle.aio_get_fd())) as peer:
        if peer.family != socket.AF_UNIX:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _handle(*, contexts: tuple[str, ...] = ()) -> Any:
    if nbd is None:
        raise BackendError("python3-libnbd is not installed on this hypervisor", remedy="run the kvm_host role here")
    handle = nbd.NBD()
    for context in (ALLOCATION, *contexts):
        handle.add_meta_context(context)
    return handle


def open_export(address: str, port: int, export: str, *, bitmap: str = "", pki: str = PKI) -> Connection:
    """An export of another hypervisor's QEMU, with both certificates checked."""
    what = f"export {export} of {address}:{port}"
    handle = _handle(contexts=(f"qemu:dirty-bitmap:{bitmap}",) if bitmap else ())
    with told(f"connecting to {what}"):
        handle.set_tls(nbd.TLS_REQUIRE)
        handle.set_tls_certificates(pki)
        handle.set_tls_verify_peer(True)
        handle.set_export_name(export)
        handle.aio_connect_tcp(address, str(port))
        # The handshake included: a link that is cut in mid-handshake would be waited for without an end.
        deadline = time.monotonic() + _CONNECT_SECONDS
        while handle.aio_is_connecting():
            if time.monotonic() > deadline:
                raise BackendError(f"{what} brought no answer within {_CONNECT_SECONDS:g} s", remedy="check the link to the source")
            _acknowledge(handle)
            handle.poll(500)
        peer = socket.socket(fileno=os.dup(handle.aio_get_fd()))
        with peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                peer.setsockopt(socket.IPPROTO_TCP, option, value)
    return Connection(handle, what)


def open_socket(path: str, what: str, *, export: str = "") -> Connection:
    """A volume that is served here by a socket; ``what`` names it in messages."""
    handle = _handle()
    with told(f"connecting to {what}"):
        handle.set_export_name(export)
        handle.connect_unix(path)
    return Connection(handle, what)
