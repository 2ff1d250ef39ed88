# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether both ends hold the same: facts of two listings, and digests of files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .changes import groups, same_facts
from .listing import Entry
from .pods import Mover
from .shell import ask, listed

_LINE = re.compile(rb"(\\?)([0-9a-f]{64}) [ *]")
_SOME_LEFT = (0, 1, 123)


def digests(mover: Mover, names: Sequence[bytes]) -> dict[bytes, bytes]:
    """SHA-256 by name; what cannot be read is not there."""
    if not names:
        return {}
    data, reads = listed(names)
    script = f"export LC_ALL=C; cd /data || exit 9; {reads} sha256sum 2>/dev/null"
    return parse_digests(names, ask(mover, script, data, allowed=_SOME_LEFT))


def parse_digests(names: Sequence[bytes], output: bytes) -> dict[bytes, bytes]:
    """Lines in the order of the names; a name may have newlines in it, which GNU's sha256sum escapes and busybox's does not."""
    found = {}
    position = 0
    for name in names:
        match = _LINE.match(output, position)
        if match is None:
            break
        shown = _escaped(name) if match[1] else name
        if output.startswith(shown + b"\n", match.end()):
            found[name] = match[2]
            position = match.end() + len(shown) + 1
    return found


def _escaped(name: bytes) -> bytes:
    return name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def differing_facts(source: Mapping[bytes, Entry], target: Mapping[bytes, Entry], *, fine_times: bool) -> Iterator[bytes]:
    """Names that are only at one end, or whose facts are not equal, their hard links among them."""
    for name, entry in source.items():
        copy = target.get(name)
        if copy is None or not same_facts(entry, copy, fine_times):
            yield name
    yield from (name for name in target if name not in source)
    here, there = ({frozenset(entry.name for entry in group) for group in _linked(listing)} for listing in (source, target))
    for odd in here ^ there:
        yield min(odd)


def _linked(listing: Mapping[bytes, Entry]) -> list[list[Entry]]:
    entries: Iterable[Entry] = (listing[name] for name in sorted(listing))
    return [group for group in groups(entry for entry in entries if entry.is_file) if len(group) > 1]
