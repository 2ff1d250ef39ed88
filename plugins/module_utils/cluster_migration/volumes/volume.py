# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One claim's volume: a pass that makes the target as the source is, and the comparison of both."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

from ...crew import work_through_stream
from . import attributes, memory, sending
from .changes import Changes, Trust, changes, groups
from .comparing import differing_facts, digests
from .figures import Figures
from .listing import LIST, Entry, parse, shown
from .pods import Mover
from .shell import Lost, ask
from .sparse import send_sparse

# Digests of files that are small go faster together.
_DIGEST_BYTES = 128 * 1024 * 1024
# More streams into one volume at once only disturb each other, and less for a stream is not worth its commands.
_STREAMS = 4
_SMALLEST_SHARE = 8 * 1024 * 1024
_ABLE = r"""
try=$(mktemp /tmp/try.XXXXXX) || exit 9
touch -d @1.5 "$try" 2>/dev/null && case $(stat -c %y "$try") in *.5*) echo fine-times;; esac
command -v getfattr >/dev/null && command -v setfattr >/dev/null && echo attributes
rm -f "$try"
date +now=%s
"""
Listing = dict[bytes, Entry]


@dataclass(frozen=True)
class Able:
    """What both images can do: times to the nanosecond, extended attributes. ``now``: the clock of the source's node."""

    fine_times: bool
    attributes: bool
    now: int


class Volume:
    """The claim as two pods have it. Lost, from any method: pods or connections went; do it again with new ones.

    :param lanes: commands at once in each pod
    """

    def __init__(self, source: Mover, target: Mover, migration: str, figures: Figures, lanes: int) -> None:
        self.source = source
        self.target = target
        self.migration = migration
        self.figures = figures
        self.lanes = lanes
        self.able = self._ability()

    def _ability(self) -> Able:
        told = [ask(mover, _ABLE).decode("ascii", "replace").split() for mover in (self.source, self.target)]
        now = next((word[4:] for word in told[0] if word.startswith("now=")), "")
        if not now.isdigit():
            raise Lost(f"the mover's pod of claim {self.source.place} does not tell its time")
        fine_times, kept = (all(word in words for words in told) for word in ("fine-times", "attributes"))
        return Able(fine_times, kept, int(now))

    def _list(self, mover: Mover) -> Listing:
        found = parse(ask(mover, LIST))
        if found is None:
            raise Lost(f"the listing of claim {mover.place} is not whole")
        return found

    def bring(self) -> tuple[int, bool]:
        """The bytes that were sent, and whether anything was to be done."""
        place = (self.target.namespace, self.target.claim)
        since = memory.recall(self.target.api, self.migration, *place)
        here, there = self._list(self.source), self._list(self.target)
        if since is None:
            # Whatever is there is no copy of ours.
            sending.remove(self.target, [name for name in there if name.count(b"/") == 1])
            there = {b".": there[b"."]}
            memory.remember(self.target.api, self.migration, *place, self.able.now)
        trust = Trust(self.able.now if since is None else since, self.able.fine_times)
        found = changes(here, there, trust)
        if found.doubtful:
            found = changes(here, there, self._resolved(found.doubtful, trust))
        sent = self._apply(found)
        changed = self._bring_attributes() or bool(found)
        memory.remember(self.target.api, self.migration, *place, self.able.now)
        return sent, changed

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
            sending.send_files(self.source, self.target, batch, self.figures.moved)
            self.figures.done(len(batch))
            with lock:
                total.append(sum(entry.size for entry in batch))

        def sparse(batch: list[Entry]) -> None:
            sent = send_sparse(self.source, self.target, batch, self.figures.moved)
            self.figures.done(len(sent))
            with lock:
                facts.extend(sent)
                total.append(sum(min(entry.size, entry.space) for entry in sent))

        streams = min(self.lanes, _STREAMS)
        for send, files in (
            (plain, [entry for entry in found.files if not entry.sparse]),
            (sparse, [entry for entry in found.files if entry.sparse]),
        ):
            share = max(_SMALLEST_SHARE, min(64 * 2**20, sum(entry.size for entry in files) // (2 * streams)))
            work_through_stream(sending.batches(files, most_bytes=share), _halved(send), workers=streams)
        sending.make_others(self.target, found.others, found.links)
        if self.able.fine_times:
            told = {entry.name for entry in found.facts}
            facts = [entry for entry in facts if entry.name not in told]
        sending.set_facts(self.target, [*facts, *found.facts], fine_times=self.able.fine_times)
        return sum(total)

    def _bring_attributes(self) -> bool:
        """Whether any was to be set or taken away."""
        if not self.able.attributes:
            return False
        here, there = attributes.read(self.source), attributes.read(self.target)
        if here is None or there is None:
            raise Lost(f"the attributes of claim {self.source.place} were not told to their end")
        restore, extra = attributes.differing(here, there)
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
        here, there = self._list(self.source), self._list(self.target)
        differing = set(differing_facts(here, there, fine_times=self.able.fine_times))
        files = [group[0] for group in groups(entry for entry in here.values() if entry.is_file)]
        files = [entry for entry in files if entry.name in there and there[entry.name].is_file]
        size = sum(entry.size for entry in files)
        self.figures.expect(size, len(files))
        differing.update(self._different(files, count=True))
        names = [shown(name) for name in sorted(differing)]
        if self.able.attributes:
            mine, others = attributes.read(self.source), attributes.read(self.target)
            if mine is None or others is None:
                raise Lost(f"the attributes of claim {self.source.place} were not told to their end")
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
