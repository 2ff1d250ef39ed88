# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU's own locks on an image: as long as one is held here, no QEMU can write the image, so that its VM cannot be started.

QEMU keeps byte 100 + n of an image locked for a permission n that it has, and byte 200 + n for one that it leaves to nobody else.
Permission 1 is to write. The locks are the kernel's, on the open file: they are gone when we are, however that comes about.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence

from ..errors import BackendError

_FLOCK = "hhqqixxxx"  # struct flock of 64 bit Linux: type, whence, start, length, pid
_WRITES = 101
_LETS_NOBODY_WRITE = 201


@contextlib.contextmanager
def kept_still(paths: Sequence[str]) -> Iterator[None]:
    """Nobody can write these images meanwhile; BackendError where somebody does already."""
    handles: list[int] = []
    try:
        for path in paths:
            handle = _opened(path)
            handles.append(handle)
            _lock(handle, path)
        yield
    finally:
        for handle in handles:
            os.close(handle)


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BackendError(f"the volume {path} cannot be opened ({error.strerror})", remedy="look after its pool") from error


def _lock(handle: int, path: str) -> None:
    fcntl.fcntl(handle, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, _LETS_NOBODY_WRITE, 1, 0))
    answer = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _WRITES, 1, 0))
    if struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK:
        raise BackendError(f"the volume {path} is being written by another process", remedy="wait for it, then run it again")
