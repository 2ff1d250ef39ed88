# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands in a mover's pod: what they are given, what they print, and what their failure means.

A server may not be able to end a command's stdin. So every command knows by itself where its input ends: a list by its length, a
stream by a frame of length 0.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from ...backends.cluster import Ended, Running
from ...errors import BackendError, FederationError, ForbiddenError, MigrationFailed, NotFoundError, UnreachableError
from .pods import CONTAINER, Mover

_PIECE = 256 * 1024
# In blocks that dd reads whole; a shell reads the line before them, of count and size, byte by byte, and not a byte more.
BLOCK = 64 * 1024
FRAMES = 'while read -r n b && [ "$n" -gt 0 ]; do dd bs=$b count=$n iflag=fullblock 2>/dev/null || break; done'


class Lost(UnreachableError):
    """A command's connection or its pod is gone: the work can be begun anew."""


class Full(MigrationFailed):
    """There is no room on a volume."""


def start(mover: Mover, script: str, *, stdin: bool = False) -> Running:
    """A shell's script at work in the volume's pod; Lost when the pod has gone."""
    try:
        return mover.api.run(mover.namespace, mover.pod, ["sh", "-c", script], container=CONTAINER, stdin=stdin)
    except ForbiddenError:
        raise
    except (UnreachableError, NotFoundError, BackendError) as error:
        raise Lost(str(error)) from error


def finish(mover: Mover, running: Running, *, allowed: Sequence[int] = (0,)) -> Ended:
    """Its end; what went wrong there is a sentence."""
    try:
        ended = running.end()
    except UnreachableError as error:
        raise Lost(str(error)) from error
    if ended.exit_code in allowed:
        return ended
    raise failure(mover, ended)


def failure(mover: Mover, ended: Ended) -> FederationError:
    """What a command's end means. One that was killed may be done again: its pod may be going."""
    last = ended.stderr.strip().splitlines()[-1:] or [f"exit status {ended.exit_code}"]
    if "No space left" in ended.stderr or "Disk quota exceeded" in ended.stderr:
        remedy = "make the claim at the target larger, or free room behind its storage class, and start the migration again"
        return Full(f"the volume of claim {mover.place} is full", remedy=remedy)
    if ended.exit_code in (137, 143):
        return Lost(f"a command in the mover's pod of claim {mover.place} was killed")
    if "Read-only file system" in ended.stderr:
        return MigrationFailed(f"the volume of claim {mover.place} cannot be written to", remedy="look for errors of its storage")
    return MigrationFailed(f"the mover's pod of claim {mover.place} failed: {last[0][:200]}")


def ask(mover: Mover, script: str, given: bytes = b"", *, allowed: Sequence[int] = (0,)) -> bytes:
    """What a script prints; ``given`` is its standard input, whose end it must know."""
    running = start(mover, script, stdin=bool(given))
    try:
        for begin in range(0, len(given), _PIECE):
            send(mover, running, given[begin : begin + _PIECE])
        if given:
            running.close_stdin()
        output = b"".join(pieces(running))
        finish(mover, running, allowed=allowed)
    except UnreachableError as error:
        raise Lost(str(error)) from error
    finally:
        running.close()
    return output


def pieces(running: Running) -> Iterator[bytes]:
    """Its output to the end; Lost when the connection goes."""
    while True:
        try:
            piece = running.receive()
        except UnreachableError as error:
            raise Lost(str(error)) from error
        if not piece:
            return
        yield piece


def send(mover: Mover, running: Running, data: bytes) -> None:
    """To its stdin. A command that has ended does not take any more: then its end tells why."""
    try:
        running.send(data)
    except UnreachableError as error:
        with contextlib.suppress(UnreachableError):
            ended = running.end()
            if ended.exit_code:
                raise failure(mover, ended) from error
        raise Lost(str(error)) from error


def listed(names: Iterable[bytes]) -> tuple[bytes, str]:
    """A list for a command, and the beginning of the pipe that reads it: ``head -c 120 | xargs -0``."""
    data = b"".join(name + b"\0" for name in names)
    return data, f"head -c {len(data)} | xargs -0"
