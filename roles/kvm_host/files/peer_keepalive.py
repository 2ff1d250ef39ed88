# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has the kernel ask whether the far ends of QEMU's migration streams are still there.

QEMU asks for no keepalive on the streams that it opens. One that waits for an answer when its peer or the link dies waits without
an end, and its guest stands still with it. The option is set from outside, on a copy of the descriptor, and holds for streams
that wait already.

Called as ``peer_keepalive FIRST_PORT LAST_PORT SECONDS``; runs until it is stopped.
"""

import contextlib
import ctypes
import errno
import os
import socket
import sys
import time
from pathlib import Path

PROC = Path("/proc")
LOOK = 2.0  # seconds between two looks
PROBES = 3
_ESTABLISHED = "01"
_GONE = (FileNotFoundError, ProcessLookupError)
_PIDFD_GETFD = 438  # the same on all architectures; Python has no function for it
_libc = ctypes.CDLL(None, use_errno=True)


def streams(lines, ports):
    """Inodes of the established connections in ``/proc/net/tcp`` that have one of these ports at either end."""
    found = set()
    for line in lines:
        parts = line.split()
        if len(parts) > 9 and parts[3] == _ESTABLISHED and any(_port(end) in ports for end in parts[1:3]):
            found.add(parts[9])
    return found


def _port(end):
    return int(end.rsplit(":", 1)[1], 16)


def established(ports):
    """Inodes of this host's streams, IPv4 and IPv6."""
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), (PROC / "net" / table).open(encoding="ascii") as lines:
            next(lines, None)
            found |= streams(lines, ports)
    return found


def held_by_qemu(inodes):
    """``(pid, descriptor, inode)`` of those that a QEMU has open."""
    for process in PROC.iterdir():
        # What ended meanwhile has no descriptors any more.
        with contextlib.suppress(*_GONE):
            if not process.name.isdigit() or not (process / "comm").read_text(encoding="utf-8").startswith(("qemu", "kvm")):
                continue
            for link in (process / "fd").iterdir():
                inode = str(link.readlink()).partition("socket:[")[2].rstrip("]")
                if inode in inodes:
                    yield int(process.name), int(link.name), inode


def copied(pid, descriptor):
    """The other process's socket, as one of ours; ProcessLookupError when it is gone, PermissionError when we may not."""
    process = os.pidfd_open(pid)
    try:
        own = _libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
    finally:
        os.close(process)
    if own < 0:
        number = ctypes.get_errno()
        raise OSError(errno.ESRCH if number == errno.EBADF else number, f"descriptor {descriptor} of process {pid} cannot be had")
    return socket.socket(fileno=own)


def keep_alive(stream, seconds):
    """Have a peer that is gone noticed after so many seconds of silence."""
    between = max(1, seconds // (PROBES + 2))
    for option, value in (
        (socket.TCP_KEEPIDLE, max(1, seconds - PROBES * between)),
        (socket.TCP_KEEPINTVL, between),
        (socket.TCP_KEEPCNT, PROBES),
    ):
        stream.setsockopt(socket.IPPROTO_TCP, option, value)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def look(ports, seconds, known):
    """One look at the host: inodes of the streams that are kept alive now. ``known`` were already."""
    there = established(ports)
    kept = known & there
    if there > kept:
        for pid, descriptor, inode in held_by_qemu(there - kept):
            with contextlib.suppress(*_GONE), copied(pid, descriptor) as stream:
                keep_alive(stream, seconds)
                kept.add(inode)
    return kept


def main(argv):
    first, last, seconds = (int(argument) for argument in argv[1:4])
    kept = set()
    while True:
        kept = look(range(first, last + 1), seconds, kept)
        time.sleep(LOOK)


if __name__ == "__main__":
    main(sys.argv)
