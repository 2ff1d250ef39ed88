# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files from the source's pod to the target's, as tar streams through here; what has no bytes is made from its facts.

Not every busybox reads a list of names for tar, so it gets them as arguments; both ends have the same image, and so the same tar.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from typing import Callable

from ...errors import MigrationFailed
from .listing import Entry
from .pods import Mover
from .shell import BLOCK, FRAMES, Lost, ask, finish, listed, pieces, send, start

Count = Callable[[int], None]
_FRAME = 16 * BLOCK
# So xargs and tar end when a file has gone in the meantime: another listing tells.
_SOME_LEFT = (0, 1, 2, 123)
_FACTS = r"""cd /data || exit 9; {list} sh -c '
bad=0
for r; do
m=${{r%%:*}}; r=${{r#*:}}; u=${{r%%:*}}; r=${{r#*:}}; g=${{r%%:*}}; r=${{r#*:}}; t=${{r%%:*}}; r=${{r#*:}}
if [ -L "$r" ]; then :; elif [ -e "$r" ]; then :; else continue; fi
if [ -L "$r" ]; then chown -h "$u:$g" "$r" && touch -h -d "@$t" "$r" || bad=1
else chown "$u:$g" "$r" && chmod "$m" "$r" && touch -c -d "@$t" "$r" || bad=1; fi
done; exit $bad' sh"""

_EXTRACT = f"""cd /data || exit 9
read -r how
[ "$how" = straight ] && exec tar -x -p -f -
{{ {FRAMES}; }} | tar -x -p -f -"""


class Shorter(Lost):
    """A file became shorter while it was read: tar ended in the middle, and all behind it did not come."""

    def __init__(self, source: Mover) -> None:
        super().__init__(f"the files of claim {source.place} came to an early end")


# A tar's words for an archive that breaks off, and what one is here.
_CUT_OFF = ("short read", "nexpected EOF", "nexpected end of file")


def make_folders(target: Mover, folders: Sequence[Entry]) -> None:
    """Upper ones first; nobody else looks into them until they have their facts."""
    if folders:
        names, reads = listed(entry.name for entry in folders)
        ask(target, f"cd /data || exit 9; {reads} mkdir -p -m 700", names)


def remove(target: Mover, names: Sequence[bytes]) -> None:
    if names:
        data, reads = listed(names)
        ask(target, f"cd /data || exit 9; {reads} rm -rf", data)


def set_facts(target: Mover, entries: Sequence[Entry], *, fine_times: bool) -> None:
    """Owner, mode and time, in this order of the entries."""
    if not entries:
        return
    data, reads = listed(_record(entry, fine_times) for entry in entries)
    ask(target, _FACTS.format(list=reads), data)


def _record(entry: Entry, fine_times: bool) -> bytes:
    """``644:0:0:1700000000:./name``."""
    when = _moment(entry) if fine_times else f"{entry.modified}"
    return f"{entry.permissions:o}:{entry.owner[0]}:{entry.owner[1]}:{when}:".encode() + entry.name


def _moment(entry: Entry) -> str:
    """Nanoseconds count forward from the second, also before 1970: -2 and half a second are -1.5."""
    whole = entry.modified * 10**9 + entry.nanoseconds
    seconds, rest = divmod(abs(whole), 10**9)
    return f"{'-' if whole < 0 else ''}{seconds}.{rest:09}"


def make_others(target: Mover, others: Sequence[Entry], links: Sequence[tuple[bytes, Entry]]) -> None:
    """Symbolic links, pipes and devices, and further names of files that are there."""
    if not others and not links:
        return
    writer = Archive(target)
    try:
        for entry in others:
            info = _info(entry)
            if entry.is_link:
                info.type, info.linkname = tarfile.SYMTYPE, _text(entry.target)
            else:
                info.type = {0o010000: tarfile.FIFOTYPE, 0o020000: tarfile.CHRTYPE}.get(entry.kind, tarfile.BLKTYPE)
                info.devmajor, info.devminor = entry.device
            writer.header(info)
        for first, entry in links:
            info = _info(entry)
            info.type, info.linkname = tarfile.LNKTYPE, _text(first)
            writer.header(info)
        writer.write(bytes(2 * tarfile.BLOCKSIZE))
        writer.finish()
    except MigrationFailed as error:
        if links and "No such file" in str(error):
            raise Lost(f"a file of claim {target.place} has vanished to which others were to be linked") from error
        raise
    finally:
        writer.close()


def send_files(source: Mover, target: Mover, files: Sequence[Entry], count: Count) -> None:
    """What vanished meanwhile is left out. The names together must fit a command line: see ``batches()``.

    :raises Shorter: only those before it came; what there is of that file has not its time, so that it is sent again
    """
    writer = Archive(target)
    names, reads = listed(entry.name for entry in files)
    try:
        running = start(source, f"cd /data || exit 9; {reads} tar -c -f -", stdin=True)
        try:
            send(source, running, names)
            running.close_stdin()
            for piece in pieces(running):
                writer.write(piece)
                count(len(piece))
            finish(source, running, allowed=_SOME_LEFT)
        finally:
            running.close()
        try:
            writer.finish()
        except MigrationFailed as error:
            if any(words in str(error) for words in _CUT_OFF):
                raise Shorter(source) from error
            raise
    finally:
        writer.close()


class Archive:
    """An archive that the target's tar takes apart while it is written: straight, where the server can tell it the end."""

    def __init__(self, target: Mover) -> None:
        self.target = target
        self._running = start(target, _EXTRACT, stdin=True)
        self._straight = self._running.stdin_ends
        send(self.target, self._running, b"straight\n" if self._straight else b"frames\n")
        self._held = bytearray()

    def header(self, info: tarfile.TarInfo) -> None:
        self.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))

    def write(self, data: bytes) -> None:
        if self._straight:
            send(self.target, self._running, data)
            return
        self._held += data
        while len(self._held) >= _FRAME:
            self._frame(bytes(self._held[:_FRAME]))
            del self._held[:_FRAME]

    def _frame(self, data: bytes) -> None:
        for size in (BLOCK, len(data) % BLOCK):
            number = len(data) // BLOCK if size == BLOCK else 1
            if number and size:
                part = data[: number * BLOCK] if size == BLOCK else data[-size:]
                send(self.target, self._running, b"%d %d\n" % (number, size) + part)

    def finish(self) -> None:
        """All is written at the target when this returns."""
        if not self._straight:
            self._frame(bytes(self._held))
            send(self.target, self._running, b"0\n")
        self._running.close_stdin()
        finish(self.target, self._running)

    def close(self) -> None:
        self._running.close()


def batches(files: Sequence[Entry], *, most_bytes: int = 64 * 1024 * 1024, most_names: int = 16 * 1024) -> Iterator[list[Entry]]:
    """Some files together, for one command each; a file of any size alone. A busybox's xargs takes 32 KiB of names at most."""
    return shares(files, 1, least=most_bytes, most=most_bytes, most_names=most_names)


def shares(files: Sequence[Entry], workers: int, *, least: int, most: int, most_names: int = 16 * 1024) -> Iterator[list[Entry]]:
    """The same, smaller towards the end, so that all workers end together: each a worker's share of what is left.

    :param least: bytes that are worth a command
    """
    left = sum(entry.size for entry in files)
    batch: list[Entry] = []
    size = names = 0
    for entry in files:
        if batch and (size + entry.size > max(least, min(most, left // workers)) or names + len(entry.name) + 1 > most_names):
            yield batch
            left -= size
            batch, size, names = [], 0, 0
        batch.append(entry)
        size += entry.size
        names += len(entry.name) + 1
    if batch:
        yield batch


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(_text(entry.name))
    info.mode, info.mtime = entry.permissions, entry.modified
    info.uid, info.gid = entry.owner
    return info


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
