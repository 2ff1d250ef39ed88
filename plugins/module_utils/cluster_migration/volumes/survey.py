# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that a pass has to know of one end, in one command: what its image can do, what is there, and extended attributes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...crew import work_through_stream
from . import attributes
from .listing import FIND, STAT, Entry, parse
from .pods import Mover
from .shell import Lost, ask, listed

Listing = dict[bytes, Entry]
# The file of names is tried on, and tells the node's time as well: every command more is a good part of what a small volume takes.
_ABLE = r"""
printf 'able'
touched=no; touch -d @1.5 "$names" 2>/dev/null && touched=yes
set -- $(stat -c '%Z %y' "$names")
case "$touched $*" in yes*.5*) printf ' fine-times';; esac
command -v getfattr >/dev/null && command -v setfattr >/dev/null && printf ' attributes'
printf ' now=%s\n' "$1"
"""
# Attributes come before the names: their end is a line that cannot be among them.
_SURVEY = FIND + _ABLE + attributes.READ + STAT
_NAMED = "export LC_ALL=C QUOTING_STYLE=literal; cd /data || exit 9; names=$(mktemp /tmp/names.XXXXXX) || exit 9\n"


@dataclass(frozen=True)
class Survey:
    """``now``: the clock of the pod's node. ``attributes``: None where the image has no tools for them."""

    fine_times: bool
    now: int
    attributes: attributes.Attributes | None
    listing: Listing


def both(source: Mover, target: Mover) -> tuple[Survey, Survey]:
    """At the same time. Lost when one was cut off."""
    found: dict[int, Survey] = {}

    def one(number: int) -> None:
        mover = (source, target)[number]
        survey = read(ask(mover, _SURVEY))
        if survey is None:
            raise Lost(f"the listing of claim {mover.place} is not whole")
        found[number] = survey

    work_through_stream((0, 1), one, workers=2)
    return found[0], found[1]


def read(output: bytes) -> Survey | None:
    """None when it was cut off."""
    told, _end, rest = output.partition(b"\n" + attributes.END)
    able, _newline, lines = told.partition(b"\n")
    words = able.decode("ascii", "replace").split()
    now = words[-1][4:] if words and words[-1].startswith("now=") else ""
    kept = attributes.parse(lines + b"\n" + attributes.END)
    listing = parse(rest)
    if not now.isdigit() or kept is None or listing is None:
        return None
    return Survey("fine-times" in words, int(now), kept if "attributes" in words else None, listing)


def some(mover: Mover, names: Iterable[bytes]) -> Listing:
    """Those of these names that are there, and the volume itself."""
    data, _reads = listed([b".", *names])
    found = parse(ask(mover, f'{_NAMED}head -c {len(data)} >"$names"{STAT}', data))
    if found is None:
        raise Lost(f"the listing of claim {mover.place} is not whole")
    return found
