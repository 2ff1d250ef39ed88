# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in a volume: the command that lists it, and the reading of what it prints. Pure.

Names may hold any byte but NUL and the slash, and files may vanish while they are listed. So the names come first, each with a NUL
behind it, and then the facts of those that were still there, in the same order, each with its name again.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from typing import NamedTuple

# GNU's stat would quote names otherwise; busybox has its own way, see _after_name(). xargs reads from a pipe: a busybox that runs
# its own commands without an exec sets a file's offset back when they end, and xargs would read the same names again.
FIND = r"""
export LC_ALL=C QUOTING_STYLE=literal
cd /data || exit 9
names=$(mktemp /tmp/names.XXXXXX) || exit 9
find . -xdev -print0 2>/dev/null >"$names"
"""
STAT = r"""
cat "$names"
printf '\0'
cat "$names" | xargs -0 stat -c '%f|%u|%g|%s|%Y|%y|%Z|%i|%h|%b|%B|%t|%T|%N' 2>/dev/null
rm -f "$names"
printf 'listed\n'
"""
LIST = FIND + STAT
_END = b"listed\n"
_FACTS = re.compile(
    rb"([0-9a-f]+)\|(\d+)\|(\d+)\|(\d+)\|(-?\d+)\|[^|.]*(?:\.(\d+))?[^|]*\|(-?\d+)\|(\d+)\|(\d+)\|(\d+)\|(\d+)\|([0-9a-f]+)\|([0-9a-f]+)\|"
)
# A file system makes it by itself, and nobody may have one at the target.
_OWN = b"./lost+found"
_HOLE = 64 * 1024
# The octal digits of a tar's header; a busybox cuts off what is beyond, and writes 0 for what is before 1970.
_LATEST, _LARGEST_ID = 8**11 - 1, 8**7 - 1


class Entry(NamedTuple):
    """One name: ``./path``, or ``.`` for the volume itself. Times are in seconds, ``nanoseconds`` those beyond ``modified``.

    ``target``: of a symbolic link. ``group``: the inode, where it has more than one name. ``device``: major and minor.
    """

    name: bytes
    mode: int
    owner: tuple[int, int]
    size: int
    modified: int
    nanoseconds: int = 0
    changed: int = 0
    target: bytes = b""
    group: int = 0
    space: int = 0
    device: tuple[int, int] = (0, 0)

    @property
    def kind(self) -> int:
        return stat.S_IFMT(self.mode)

    @property
    def permissions(self) -> int:
        return stat.S_IMODE(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def sparse(self) -> bool:
        """Whether it has holes that are worth to be kept."""
        return self.is_file and self.size - self.space >= _HOLE

    @property
    def fits_header(self) -> bool:
        """Whether any tar's header tells its owner and time; else they are set after its bytes came."""
        return 0 <= self.modified <= _LATEST and max(self.owner) <= _LARGEST_ID

    @property
    def parent(self) -> bytes:
        return self.name.rpartition(b"/")[0]


def shown(name: bytes) -> str:
    """For a message."""
    return (name[2:] if name.startswith(b"./") else name).decode("utf-8", "backslashreplace")


def parse(output: bytes) -> dict[bytes, Entry] | None:
    """By name, folders before what is in them; None when the listing was cut off, or its facts make no sense."""
    if not output.endswith(_END):
        return None
    end = output.find(b"\0\0")
    names = output[:end].split(b"\0") if end > 0 else []
    facts = output[end + 2 : -len(_END)]
    found = _entries(names, facts)
    own = _OWN + b"/"
    if found is None or b"." not in found:
        return None
    # A socket is made by who listens at it.
    return {
        name: entry for name, entry in found.items() if name != _OWN and not name.startswith(own) and not stat.S_ISSOCK(entry.mode)
    }


def _entries(names: Sequence[bytes], facts: bytes) -> dict[bytes, Entry] | None:
    """None when there are facts of which nobody knows whose they are."""
    found = {}
    position = 0
    for name in names:
        match = _FACTS.match(facts, position)
        if match is None:
            break
        bits, user, group, length, modified, fraction, changed, inode, links, blocks, block, major, minor = match.groups()
        mode, size = int(bits, 16), int(length)
        kind = stat.S_IFMT(mode)
        after = _after_name(facts, match.end(), name, size if kind == stat.S_IFLNK else None)
        if after is None:
            continue  # it has vanished: these are the facts of a later one
        position, target = after
        found[name] = Entry(
            name,
            mode,
            (int(user), int(group)),
            size,
            int(modified),
            int(fraction.ljust(9, b"0")[:9]) if fraction else 0,
            int(changed),
            target,
            int(inode) if int(links) > 1 and kind != stat.S_IFDIR else 0,
            int(blocks) * int(block),
            (int(major, 16), int(minor, 16)) if kind in (stat.S_IFBLK, stat.S_IFCHR) else (0, 0),
        )
    return found if position == len(facts) else None


def _after_name(facts: bytes, start: int, name: bytes, target_size: int | None) -> tuple[int, bytes] | None:
    """Where the next facts begin, and a link's target; None when it is another name that stands there."""
    for quote in (b"'", b""):
        if target_size is None:
            expected = quote + name + quote + b"\n"
            if facts.startswith(expected, start):
                return start + len(expected), b""
            continue
        expected = quote + name + quote + b" -> " + quote
        begin = start + len(expected)
        end = begin + target_size
        if facts.startswith(expected, start) and facts.startswith(quote + b"\n", end):
            return end + len(quote) + 1, facts[begin:end]
    return None
