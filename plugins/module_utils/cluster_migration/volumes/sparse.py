# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with holes: pieces that are all zeros stay at the source, and only blocks with something in them are written at the target."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ...backends.cluster import Running
from .listing import Entry
from .pods import Mover
from .sending import Count, Shorter
from .shell import BLOCK, finish, listed, pieces, send, start

_PIECE_BLOCKS = 64
# Lines, the data right behind them: F number and facts, W first-block bytes, E. A piece is looked through before it is sent: tr ends
# with the first byte that is no zero, as head hangs up. grep and not a substitution: that would drop a newline. What cannot be read
# looks like zeros: so dd is to have read as many blocks as there are.
_READ = rf"""
said=$(mktemp /tmp/said.XXXXXX) || exit 9
for r; do
f=${{r#*:}}
s=$(stat -c "%s %Y %u %g %a" "$f" 2>/dev/null) || continue
echo "F ${{r%%:*}} $s"
s=${{s%% *}}; k=0
while [ $((k * {BLOCK})) -lt "$s" ]; do
n=$((s - k * {BLOCK})); [ "$n" -gt {_PIECE_BLOCKS * BLOCK} ] && n={_PIECE_BLOCKS * BLOCK}
if dd if="$f" bs={BLOCK} skip=$k count={_PIECE_BLOCKS} 2>"$said" | tr -d "\000" 2>/dev/null | head -c 1 | grep -q ""; then
echo "W $k $n"
if [ "$n" = {_PIECE_BLOCKS * BLOCK} ]; then dd if="$f" bs={BLOCK} skip=$k count={_PIECE_BLOCKS} 2>/dev/null
else dd if="$f" bs={BLOCK} skip=$k count={_PIECE_BLOCKS} 2>/dev/null | head -c "$n"; fi
else
d=$(head -n 1 "$said"); d=${{d%%+*}}; [ "$d" -ge $((n / {BLOCK})) ] 2>/dev/null || {{ rm -f "$said"; exit 7; }}
fi
k=$((k + {_PIECE_BLOCKS}))
done
echo E
done
rm -f "$said"
"""
_HEAD = re.compile(rb"F (\d+) (\d+) (-?\d+) (\d+) (\d+) ([0-7]+)")
_PIECE = re.compile(rb"W (\d+) (\d+)")
_LONGEST_LINE = 200
# An exit status from here on tells of a signal.
_KILLED = 128
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
    running = start(target, _WRITE, stdin=True)
    try:
        for entry, content in read_filled(source, files):
            send(target, running, f"N {escaped(entry.name)} {entry.size}\n".encode())
            for first, data in content:
                for begin, run in filled(first, data):
                    send(target, running, b"W %d %d\n" % (begin, len(run) // BLOCK) + run)
                    count(len(run))
            send(target, running, b"T %d\n" % entry.size)
            sent.append(entry)
        send(target, running, b"E\n")
        running.close_stdin()
        finish(target, running)
    finally:
        running.close()
    return sent


def read_filled(source: Mover, files: Sequence[Entry]) -> Iterator[tuple[Entry, Iterator[tuple[int, bytes]]]]:
    """Each file that is still there, with its facts of this moment, and its pieces with anything in them, by their first block.

    All pieces must be read before the next file.

    :raises Shorter: a file became shorter while it was read, or cannot be read to its end
    """
    names, reads = listed(b"%d:%s" % (number, entry.name) for number, entry in enumerate(files))
    script = f"export LC_ALL=C; cd /data || exit 9; {reads} sh -c '{_READ}' sh"
    running = start(source, script, stdin=True)
    try:
        send(source, running, names)
        running.close_stdin()
        stream = _Lines(source, running)
        while True:
            line = stream.line()
            if not line:
                break
            head = _HEAD.fullmatch(line)
            if head is None or int(head[1]) >= len(files):
                raise Shorter(source)
            here = files[int(head[1])]
            size, modified, user, group = (int(head[number]) for number in range(2, 6))
            mode = here.kind | int(head[6], 8)
            yield here._replace(mode=mode, owner=(user, group), size=size, modified=modified), _content(source, stream)
        finish(source, running)
    finally:
        running.close()


def _content(source: Mover, stream: _Lines) -> Iterator[tuple[int, bytes]]:
    while True:
        line = stream.line()
        if line == b"E":
            return
        if not line:
            raise stream.cut_off()
        piece = _PIECE.fullmatch(line)
        if piece is None or int(piece[2]) > _PIECE_BLOCKS * BLOCK:
            raise Shorter(source)
        yield int(piece[1]), stream.read(int(piece[2]))


class _Lines:
    """Lines and data behind them, out of what a command at the source prints."""

    def __init__(self, source: Mover, running: Running) -> None:
        self._source = source
        self._running = running
        self._stream = pieces(running)
        self._held = bytearray()

    def cut_off(self) -> Shorter:
        """What is printed ended in the middle of a file. Lost is raised where the command was killed: its pod is to be made anew."""
        finish(self._source, self._running, allowed=range(_KILLED))
        return Shorter(self._source)

    def _more(self) -> bool:
        piece = next(self._stream, b"")
        self._held += piece
        return bool(piece)

    def line(self) -> bytes:
        """Without its newline; empty at the end."""
        while (end := self._held.find(b"\n", 0, _LONGEST_LINE)) < 0:
            if len(self._held) >= _LONGEST_LINE:
                raise Shorter(self._source)
            if not self._more():
                if self._held:
                    raise self.cut_off()
                return b""
        found = bytes(self._held[:end])
        del self._held[: end + 1]
        return found

    def read(self, size: int) -> bytes:
        while len(self._held) < size:
            if not self._more():
                raise self.cut_off()
        found = bytes(self._held[:size])
        del self._held[:size]
        return found


def escaped(name: bytes) -> str:
    """As printf's %b reads it, without a blank or a newline."""
    return "".join(f"\\0{byte:03o}" for byte in name)


def filled(first: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Runs of blocks that are not all zeros: the number of the first, and whole blocks; the last block of all is filled up.

    :param first: the number of the block that ``data`` begins with
    """
    data = data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
    blocks = [begin for begin in range(0, len(data), BLOCK) if data[begin : begin + BLOCK] != _ZEROS]
    while blocks:
        number = 1
        while number < min(len(blocks), _MOST_BLOCKS) and blocks[number] == blocks[0] + number * BLOCK:
            number += 1
        yield first + blocks[0] // BLOCK, data[blocks[0] : blocks[0] + number * BLOCK]
        del blocks[:number]
