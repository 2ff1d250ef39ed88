# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One claim's volume: a pass that makes the target as the source is, and the comparison of both."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Callable

from ...crew import work_through_stream
from . import attributes, memory, sending
from .changes import Changes, Listing, Trust, changes, groups, same_facts
from .comparing import differing_facts, digests
from .figures import Figures
from .listing import Entry, shown
from .pace import Pace
from .pods import Mover
from .shell import Lost
from .sparse import send_sparse
from .survey import Survey, both, some

# Digests of files that are small go faster together.
_DIGEST_BYTES = 128 * 1024 * 1024
# More streams into one volume at once only disturb each other, and less for a stream is not worth its commands.
_STREAMS = 3
_LEAST_SHARE, _MOST_SHARE = 8 * 1024 * 1024, 64 * 1024 * 1024
# So many names are looked at again by themselves; more are listed with all.
_FEW = 5000


class Volume:
    """The claim as two pods have it. Lost, from any method: pods or connections went; do it again with new ones.

    :param lanes: commands at once in each pod
    """

    def __init__(self, source: Mover, target: Mover, migration: str, figures: Figures, lanes: int, pace: Pace) -> None:
        self.source = source
        self.target = target
        self.migration = migration
        self.figures = figures
        self.lanes = lanes
        self.pace = pace
        # What both images can do: times to the nanosecond, and extended attributes; known after a survey.
        self.fine_times = self.keeps_attributes = False

    def _survey(self) -> tuple[Survey, Survey]:
        here, there = both(self.source, self.target)
        self.fine_times = here.fine_times and there.fine_times
        self.keeps_attributes = here.attributes is not None and there.attributes is not None
        return here, there

    def bring(self, *, at_rest: bool = False) -> tuple[int, bool]:
        """The bytes that were sent, and whether another pass has to tell that both ends are the same.

        :param at_rest: nothing writes at the source: what was done is looked at, so that few changes need no other pass
        """
        place = (self.target.namespace, self.target.claim)
        since = memory.recall(self.target.api, self.migration, *place)
        source, target = self._survey()
        here, there = source.listing, target.listing
        if since is None:
            # Whatever is there is no copy of ours.
            sending.remove(self.target, [name for name in there if name.count(b"/") == 1])
            there = {b".": there[b"."]}
            memory.remember(self.target.api, self.migration, *place, source.now)
        trust = Trust(source.now if since is None else since, self.fine_times)
        found = changes(here, there, trust)
        if found.doubtful:
            found = changes(here, there, self._resolved(found.doubtful, trust))
        sent = self._apply(found)
        written = self._bring_attributes(source, target)
        changed = bool(found or written) and not (at_rest and self._settled(found, here, source if written else None))
        memory.remember(self.target.api, self.migration, *place, source.now)
        return sent, changed

    def _settled(self, found: Changes, here: Listing, kept: Survey | None) -> bool:
        """Whether all that was to be done at the target is as the source was listed.

        :param kept: whose attributes were written
        """
        if kept is not None and attributes.read(self.target) != kept.attributes:
            return False
        done = [*found.folders, *found.files, *(entry for _first, entry in found.links), *found.others, *found.facts]
        names = {*(entry.name for entry in done), *found.remove}
        if len(names) > _FEW:
            return False
        there = some(self.target, sorted(names))
        for name in names:
            entry, copy = here.get(name), there.get(name)
            if entry is None or copy is None:
                if entry is not copy:
                    return False
            elif not same_facts(entry, copy, self.fine_times) or bool(entry.group) != bool(copy.group):
                return False
        return all(there[first].group == there[entry.name].group for first, entry in found.links)

    def _moved(self, size: int) -> None:
        self.figures.moved(size)
        self.pace.spend(size)

    def _resolved(self, doubtful: Sequence[Entry], trust: Trust) -> Trust:
        differing = set(self._different(doubtful, count=False))
        return Trust(trust.since, trust.fine_times, {entry.name: entry.name not in differing for entry in doubtful})

    def _apply(self, found: Changes) -> int:
        """In the one order in which nothing spoils what was done before."""
        sending.remove(self.target, found.remove)
        sending.make_folders(self.target, found.folders)
        self.figures.expect(found.size, len(found.files))
        facts: list[Entry] = []
        total: list[int] = []
        lock = threading.Lock()

        def plain(batch: list[Entry]) -> None:
            sending.send_files(self.source, self.target, batch, self._moved)
            self.figures.done(len(batch))
            with lock:
                total.append(sum(entry.size for entry in batch))

        def sparse(batch: list[Entry]) -> None:
            sent = send_sparse(self.source, self.target, batch, self._moved)
            self.figures.done(len(sent))
            with lock:
                facts.extend(sent)
                total.append(sum(min(entry.size, entry.space) for entry in sent))

        streams = min(self.lanes, _STREAMS)
        for send, files in (
            (plain, [entry for entry in found.files if not entry.sparse]),
            (sparse, [entry for entry in found.files if entry.sparse]),
        ):
            batches = sending.shares(files, streams, least=_LEAST_SHARE, most=_MOST_SHARE)
            work_through_stream(batches, _halved(send), workers=streams)
        sending.make_others(self.target, found.others, found.links)
        if self.fine_times:
            told = {entry.name for entry in found.facts}
            facts = [entry for entry in facts if entry.name not in told]
        sending.set_facts(self.target, [*facts, *found.facts], fine_times=self.fine_times)
        return sum(total)

    def _bring_attributes(self, source: Survey, target: Survey) -> bool:
        """Whether any was to be set or taken away. Where neither end had any, no new file has any."""
        if not self.keeps_attributes or not (source.attributes or target.attributes):
            return False
        there = attributes.read(self.target)
        if there is None:
            raise Lost(f"the attributes of claim {self.target.place} were not told to their end")
        restore, extra = attributes.differing(source.attributes or {}, there)
        attributes.write(self.target, restore, extra)
        return bool(restore or extra)

    def _different(self, files: Sequence[Entry], *, count: bool) -> list[bytes]:
        """Names whose digests are not equal, or cannot be had."""
        found: list[bytes] = []

        def one(batch: list[Entry]) -> None:
            names = [entry.name for entry in batch]
            here, there = digests(self.source, names), digests(self.target, names)
            found.extend(name for name in names if here.get(name) is None or here.get(name) != there.get(name))
            if count:
                self.figures.moved(sum(entry.size for entry in batch))
                self.figures.done(len(batch))

        work_through_stream(sending.batches(files, most_bytes=_DIGEST_BYTES), one, workers=self.lanes)
        return found

    def compare(self) -> tuple[int, list[str]]:
        """Bytes that were read at each end, and what differs, as a message shows it."""
        source, target = self._survey()
        here, there = source.listing, target.listing
        differing = set(differing_facts(here, there, fine_times=self.fine_times))
        files = [group[0] for group in groups(entry for entry in here.values() if entry.is_file)]
        files = [entry for entry in files if entry.name in there and there[entry.name].is_file]
        size = sum(entry.size for entry in files)
        self.figures.expect(size, len(files))
        differing.update(self._different(files, count=True))
        names = [shown(name) for name in sorted(differing)]
        if self.keeps_attributes:
            mine, others = source.attributes or {}, target.attributes or {}
            files_of = {file for file in {*mine, *others} if mine.get(file, {}) != others.get(file, {})}
            names += [f"{file.decode('utf-8', 'backslashreplace')} (attributes)" for file in sorted(files_of)]
        return size, names


def _halved(send: Callable[[list[Entry]], None]) -> Callable[[list[Entry]], None]:
    """A file that becomes shorter under the reader takes those behind it along. Alone it is left to the next pass."""

    def one(batch: list[Entry]) -> None:
        try:
            send(batch)
        except sending.Shorter:
            half = len(batch) // 2
            for part in (batch[:half], batch[half:]) if half else ():
                one(part)

    return one
