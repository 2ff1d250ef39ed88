# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be done at the target so that it is as the source: told by two listings. Pure.

A copy is true when all facts are equal and the source's file has not changed since the copying began that the target comes from
(``since``, by the clock of the source's node): a file that was written to meanwhile, or with its time set back, has a later ``ctime``.
So has one that was only given an owner or a mode: of such files the digests decide, so that their bytes need not be sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from .listing import Entry

Listing = Mapping[bytes, Entry]
# A file system's clock may be behind the node's by a tick, and times of the listing are in whole seconds.
_MARGIN = 5


@dataclass
class Changes:
    """``remove``: names, deepest first. ``folders``: to be made, upper ones first. ``files``: whose bytes are sent, one name of
    each. ``links``: further names of a file, with the name that they are linked to. ``others``: symbolic links, pipes, devices.
    ``facts``: owner, mode and time are to be set, folders last and deepest first. ``doubtful``: names whose digests are to be compared first.
    """

    remove: list[bytes] = field(default_factory=list)
    folders: list[Entry] = field(default_factory=list)
    files: list[Entry] = field(default_factory=list)
    links: list[tuple[bytes, Entry]] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)
    facts: list[Entry] = field(default_factory=list)
    doubtful: list[Entry] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the files that are sent."""
        return sum(entry.size for entry in self.files)

    def __bool__(self) -> bool:
        return bool(self.remove or self.folders or self.files or self.links or self.others or self.facts)


@dataclass(frozen=True)
class Trust:
    """Which copies at the target are true. ``since`` None: none. ``equal``: names whose digests were found equal by now, or not."""

    since: int | None = None
    fine_times: bool = False
    equal: Mapping[bytes, bool] = field(default_factory=dict)

    def of(self, entry: Entry, copy: Entry) -> bool | None:
        """None when only their digests can tell."""
        if self.since is None or (entry.size, entry.modified) != (copy.size, copy.modified):
            return False
        if self.fine_times and entry.nanoseconds != copy.nanoseconds:
            return False
        if entry.changed < self.since - _MARGIN or not entry.size:
            return True
        return self.equal.get(entry.name)


def changes(source: Listing, target: Listing, trust: Trust) -> Changes:
    """What leads from ``target`` to ``source``."""
    fine_times = trust.fine_times
    found = Changes()
    touched: set[bytes] = set()
    gone = _gone(source, target)
    found.remove = sorted(gone, key=lambda name: (-name.count(b"/"), name))
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
        _add_file(found, names, target, gone, trust, touched)
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
    return (
        one.modified == other.modified
        and (one.size == other.size or one.is_folder)
        and one.mode == other.mode
        and one.owner == other.owner
        and (one.nanoseconds == other.nanoseconds or not fine_times)
        and (one.device, one.target) == (other.device, other.target)
    )


def _thing(entry: Entry) -> tuple[int, bytes, tuple[int, int]]:
    return entry.kind, entry.target, entry.device


def _gone(source: Listing, target: Listing) -> set[bytes]:
    """What is not at the source, or is of another kind there; with a folder goes all that is in it."""
    gone: set[bytes] = set()
    for name, entry in target.items():  # a folder stands before what is in it
        here = source.get(name)
        if here is None or (here.mode != entry.mode and here.kind != entry.kind) or (gone and entry.parent in gone):
            gone.add(name)
    return gone


def _add_file(found: Changes, names: list[Entry], target: Listing, gone: set[bytes], trust: Trust, touched: set[bytes]) -> None:
    """One file with all its names."""
    first = names[0]
    copies = [None if entry.name in gone else target.get(entry.name) for entry in names]
    copy = copies[0]
    true: bool | None = False
    if copy is not None and _linked_alike(names, copies, target, gone):
        true = trust.of(first, copy)
    if true is None:
        found.doubtful.append(first)
    elif not true:
        found.files.append(first)
        found.links += [(first.name, entry) for entry in names[1:]]
        touched.update(entry.parent for entry in names)
        if trust.fine_times or not first.fits_header:
            found.facts.append(first)
    elif copy is not None and not same_facts(first, copy, trust.fine_times):
        found.facts.append(first)


def _linked_alike(names: list[Entry], copies: list[Entry | None], target: Listing, gone: set[bytes]) -> bool:
    """Whether the copies are one file with these names and no others."""
    if len(copies) == 1 and copies[0] is not None and not copies[0].group:
        return True
    groups_there = {copy.group if copy else None for copy in copies}
    if len(groups_there) != 1 or None in groups_there:
        return False
    (group,) = groups_there
    if not group:
        return len(names) == 1
    return sum(1 for other in target.values() if other.group == group and other.name not in gone) == len(names)
