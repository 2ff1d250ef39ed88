# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be done at the target so that it is as the source: told by two listings. Pure.

A copy is true when all facts are equal and the source's file has not changed since the copying began that the target comes from
(``since``, by the clock of the source's node): a file that was written to meanwhile, or with its time set back, has a later ``ctime``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Optional

from .listing import Entry

Listing = Mapping[bytes, Entry]
# A file system's clock may be behind the node's by a tick, and times of the listing are in whole seconds.
_MARGIN = 5


@dataclass
class Changes:
    """``remove``: names, deepest first. ``folders``: to be made, upper ones first. ``files``: whose bytes are sent, one name of
    each. ``links``: further names of a file, with the name that they are linked to. ``others``: symbolic links, pipes, devices.
    ``facts``: owner, mode and time are to be set, folders last and deepest first.
    """

    remove: list[bytes] = field(default_factory=list)
    folders: list[Entry] = field(default_factory=list)
    files: list[Entry] = field(default_factory=list)
    links: list[tuple[bytes, Entry]] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)
    facts: list[Entry] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the files that are sent."""
        return sum(entry.size for entry in self.files)

    def __bool__(self) -> bool:
        return bool(self.remove or self.folders or self.files or self.links or self.others or self.facts)


def changes(source: Listing, target: Listing, since: Optional[int], *, fine_times: bool = False) -> Changes:
    """What leads from ``target`` to ``source``. ``since`` None: no copy at the target is trusted."""
    found = Changes()
    touched: set[bytes] = set()
    gone = _gone(source, target)
    found.remove = sorted(gone, key=lambda name: (-name.count(b"/"), name))
    late = None if since is None else since - _MARGIN
    for entry in source.values():
        there = None if entry.name in gone else target.get(entry.name)
        if entry.is_folder:
            if there is None:
                found.folders.append(entry)
                touched.update((entry.name, entry.parent))
            elif not same_facts(entry, there, fine_times):
                touched.add(entry.name)
        elif entry.is_file:
            continue
        elif there is None or _thing(entry) != _thing(there):
            found.others.append(entry)
            found.facts.append(entry)
            touched.add(entry.parent)
        elif not same_facts(entry, there, fine_times):
            found.facts.append(entry)
    for names in groups(entry for entry in source.values() if entry.is_file):
        _add_file(found, names, {} if not target else target, gone, late, touched, fine_times)
    touched.update(name.rpartition(b"/")[0] for name in found.remove)
    found.folders.sort(key=lambda entry: entry.name.count(b"/"))
    last = [source[name] for name in touched if name in source and source[name].is_folder]
    found.facts += sorted(last, key=lambda entry: (-entry.name.count(b"/"), entry.name == b"."))
    return found


def groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Names of the same file together, in order."""
    by_inode: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.group:
            by_inode.setdefault(entry.group, []).append(entry)
        else:
            yield [entry]
    yield from by_inode.values()


def same_facts(one: Entry, other: Entry, fine_times: bool) -> bool:
    """Kind, mode, owner and time; size and target of what is no folder; the device."""
    times = (one.nanoseconds == other.nanoseconds) if fine_times else True
    mine, others = (
        (entry.mode, entry.owner, entry.modified, entry.device, entry.target, 0 if entry.is_folder else entry.size)
        for entry in (one, other)
    )
    return times and mine == others


def _thing(entry: Entry) -> tuple[int, bytes, tuple[int, int]]:
    return entry.kind, entry.target, entry.device


def _gone(source: Listing, target: Listing) -> set[bytes]:
    """What is not at the source, or is of another kind there; with a folder goes all that is in it."""
    gone: set[bytes] = set()
    for name, entry in target.items():  # a folder stands before what is in it
        here = source.get(name)
        if entry.parent in gone or here is None or here.kind != entry.kind:
            gone.add(name)
    return gone


def _add_file(
    found: Changes,
    names: list[Entry],
    target: Listing,
    gone: set[bytes],
    late: Optional[int],
    touched: set[bytes],
    fine_times: bool,
) -> None:
    """One file with all its names."""
    copies = [None if entry.name in gone else target.get(entry.name) for entry in names]
    linked = len(names) == 1 or (None not in copies and len({copy.group for copy in copies if copy}) == 1 and copies[0] is not None)
    first, copy = names[0], copies[0]
    true = copy is not None and late is not None and first.changed < late and linked
    if len(names) == 1 and copy is not None and copy.group and true:
        true = _alone(first, target, gone)
    content = true and copy is not None and (first.size, first.modified) == (copy.size, copy.modified)
    if not content:
        found.files.append(first)
        found.links += [(first.name, entry) for entry in names[1:]]
        touched.update(entry.parent for entry in names)
        if fine_times:
            found.facts.append(first)
    elif copy is not None and not same_facts(first, copy, fine_times):
        found.facts.append(first)


def _alone(entry: Entry, target: Listing, gone: set[bytes]) -> bool:
    """Whether the copy has no other name that stays."""
    group = target[entry.name].group
    return not any(other.group == group and other.name != entry.name and other.name not in gone for other in target.values())
