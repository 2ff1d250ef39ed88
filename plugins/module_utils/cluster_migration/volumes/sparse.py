# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with holes: only the blocks with something in them are written at the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from .listing import Entry
from .pods import Mover
from .sending import Count, read_files
from .shell import BLOCK, finish, send, start

# Lines of commands, the data right behind them: N name size, W first-block blocks, T size, E.
_WRITE = rf"""cd /data || exit 9
umask 077
fail() {{ cat "$said" >&2; rm -f "$said"; exit 1; }}
said=$(mktemp /tmp/said.XXXXXX) || exit 9
while read -r verb a b; do
case $verb in
N) f=$(printf '%b_' "$a"); f=${{f%_}}; {{ rm -f "$f" && truncate -s "$b" "$f"; }} 2>"$said" || fail;;
W) dd of="$f" bs={BLOCK} seek="$a" count="$b" iflag=fullblock conv=notrunc 2>"$said" || fail;;
T) truncate -s "$a" "$f" 2>"$said" || fail;;
E) rm -f "$said"; exit 0;;
esac
done
exit 8
"""
_MOST_BLOCKS = 16
_ZEROS = bytes(BLOCK)


def send_sparse(source: Mover, target: Mover, files: Sequence[Entry], count: Count) -> list[Entry]:
    """The files that were sent whole, with their facts as they were then: these are still to be set."""
    sent = []
    by_name = {entry.name: entry for entry in files}
    running = start(target, _WRITE, stdin=True)
    try:
        for info, content in read_files(source, files, packed=True):
            name = info.name.encode("utf-8", "surrogateescape")
            name = name if name.startswith(b"./") else b"./" + name
            send(target, running, f"N {escaped(name)} {info.size}\n".encode())
            for first, data in filled(content):
                send(target, running, b"W %d %d\n" % (first, len(data) // BLOCK) + data)
                count(len(data))
            send(target, running, b"T %d\n" % info.size)
            here = by_name[name]
            owner = (info.uid, info.gid)
            sent.append(
                dataclasses.replace(here, mode=here.kind | info.mode, owner=owner, size=info.size, modified=int(info.mtime))
            )
        send(target, running, b"E\n")
        running.close_stdin()
        finish(target, running)
    finally:
        running.close()
    return sent


def escaped(name: bytes) -> str:
    """As printf's %b reads it, without a blank or a newline."""
    return "".join(f"\\0{byte:03o}" for byte in name)


def filled(content: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Runs of blocks that are not all zeros: the number of the first, and whole blocks; the last block of all is filled up."""
    first = 0
    run = bytearray()
    for number, block in enumerate(_blocks(content)):
        if block != _ZEROS:
            if not run:
                first = number
            run += block
        if run and (block == _ZEROS or len(run) == _MOST_BLOCKS * BLOCK):
            yield first, bytes(run)
            run.clear()
    if run:
        yield first, bytes(run)


def _blocks(content: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in content:
        held += piece
        whole = len(held) // BLOCK * BLOCK
        for begin in range(0, whole, BLOCK):
            yield bytes(held[begin : begin + BLOCK])
        del held[:whole]
    if held:
        yield bytes(held).ljust(BLOCK, b"\0")
