# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data of a migration's claims: a seed while the application runs, then only what changed, then a comparison of all of it.

Every pass lists both ends and does what leads from one to the other. So a pass that was cut off is simply done again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from ...backends.cluster import ClusterApi
from ...crew import work_through_stream
from ...errors import MigrationFailed, UnreachableError
from . import attributes, memory
from .figures import Figures
from .pace import Pace
from .pods import Mover, MoverPods
from .shell import Full, Lost, ask
from .volume import Volume

R = TypeVar("R")
_TRIES = 5
_PASSES = 5
_NAMED = 5


@dataclass(frozen=True)
class VolumePair:
    """A claim that is at both ends, by the same name."""

    namespace: str
    claim: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.claim}"


class VolumeMoves:
    """Of one migration. Pods are made where they are needed and stay until ``tidy()``.

    :param workers: connections to each end at once, over all volumes
    :param report: ``report(phase, figures)``, called now and then from any thread
    :param bandwidth: bytes per second for all copying together; 0 for no limit
    :param check: called between pieces of work from any thread; raises when this run must not go on
    """

    def __init__(
        self,
        source: ClusterApi,
        target: ClusterApi,
        migration: str,
        *,
        image: str,
        workers: int,
        bandwidth: int = 0,
        report: Callable[[str, dict[str, Any]], None],
        check: Callable[[], None],
    ) -> None:
        self.source = source
        self.target = target
        self.migration = migration
        self.workers = workers
        self.report = report
        self.check = check
        self._pace = Pace(bandwidth, check)
        self._sources = MoverPods(source, migration, image, check, read_only=True)
        self._targets = MoverPods(target, migration, image, check, read_only=False)
        # By "namespace/claim": attributes.KEPT, or why they are not.
        self.attributes: dict[str, str] = {}

    def seed(self, pairs: Sequence[VolumePair]) -> int:
        """While the application runs; gives the bytes that were sent. What no second pod may mount waits for the delta."""
        possible = [pair for pair in pairs if not self._exclusive(pair)]
        return self._all("seed", possible, lambda pair, figures, lanes: self._pass(pair, figures, lanes)[0])

    def delta(self, pairs: Sequence[VolumePair], *, at_rest: bool = False) -> int:
        """Only what changed; gives the bytes that were sent.

        :param at_rest: nothing writes any more: it ends when both ends have the same facts, or with MigrationFailed
        """
        return self._all("delta", pairs, lambda pair, figures, lanes: self._delta(pair, figures, lanes, at_rest))

    def compare(self, pairs: Sequence[VolumePair]) -> int:
        """Facts and digests of every file; gives the bytes that were read at each end. Nothing may write at either.

        :raises MigrationFailed: it names the first files that differ; the next delta of that claim then sends all of it again
        """
        return self._all("verify", pairs, self._compare)

    def tidy(self, namespaces: Sequence[str]) -> None:
        """No pod of this migration mounts a claim any more, at either end."""
        self.tidy_source(namespaces)
        self._targets.tidy(tuple(namespaces))

    def tidy_source(self, namespaces: Sequence[str]) -> None:
        """The same at the source only."""
        self._sources.tidy(tuple(namespaces))

    def _all(self, phase: str, pairs: Sequence[VolumePair], work: Callable[[VolumePair, Figures, int], int]) -> int:
        """``work`` for every pair, several at once; the sum of what it gives."""
        figures = Figures(phase, self.report, self.check)
        if not pairs:
            return 0
        at_once = min(self.workers, len(pairs))
        lanes = max(1, self.workers // at_once)
        sums: list[int] = []

        def one(pair: VolumePair) -> None:
            sums.append(work(pair, figures, lanes))

        work_through_stream(pairs, one, workers=at_once)
        figures.tell(now=True)
        return sum(sums)

    def _exclusive(self, pair: VolumePair) -> bool:
        modes = memory.claim_of(self.source, pair.namespace, pair.claim)["spec"].get("accessModes") or ()
        return "ReadWriteOncePod" in modes

    def _volume(self, pair: VolumePair, figures: Figures, lanes: int) -> Volume:
        """With pods that are ready at this moment."""
        memory.claim_of(self.source, pair.namespace, pair.claim)
        ends: list[Mover] = [pods.get(pair.namespace, pair.claim) for pods in (self._sources, self._targets)]
        return Volume(ends[0], ends[1], self.migration, figures, lanes, self._pace)

    def _again(self, pair: VolumePair, work: Callable[[], R]) -> R:
        """``work``, begun anew when a connection or a pod was lost in the middle."""
        why = ""
        for number in range(_TRIES):
            if number:
                self.check()
                time.sleep(0.2 * number)
                self._renew(pair)
            try:
                return work()
            except Lost as error:
                why = str(error)[:200]
            except Full:
                # Some storage makes a volume larger only while no pod mounts it.
                self._targets.drop(pair.namespace, pair.claim)
                raise
        what = f"the mover of claim {pair} was lost {_TRIES} times ({why})"
        raise UnreachableError(what, remedy="start the migration again: it goes on with what is there")

    def _renew(self, pair: VolumePair) -> None:
        """A pod that is ready but does not answer any more is made anew."""
        for pods in (self._sources, self._targets):
            mover = pods.present(pair.namespace, pair.claim)
            if mover is not None:
                try:
                    ask(mover, "true")
                except Lost:
                    pods.drop(pair.namespace, pair.claim)

    def _pass(self, pair: VolumePair, figures: Figures, lanes: int, *, at_rest: bool = False) -> tuple[int, bool]:
        """Bytes sent, and whether another pass is to follow."""

        def once() -> tuple[int, bool]:
            volume = self._volume(pair, figures, lanes)
            done = volume.bring(at_rest=at_rest)
            self.attributes[str(pair)] = attributes.KEPT if volume.keeps_attributes else attributes.UNREADABLE
            return done

        return self._again(pair, once)

    def _delta(self, pair: VolumePair, figures: Figures, lanes: int, at_rest: bool) -> int:
        total = 0
        for _number in range(_PASSES):
            sent, changed = self._pass(pair, figures, lanes, at_rest=at_rest)
            total += sent
            if not changed or not at_rest:
                return total
        what = f"claim {pair} is still not the same at both ends after {_PASSES} passes"
        raise MigrationFailed(what, remedy="look for a pod or a node that still writes to it")

    def _compare(self, pair: VolumePair, figures: Figures, lanes: int) -> int:
        size, differing = self._again(pair, lambda: self._volume(pair, figures, lanes).compare())
        if differing:
            memory.remember(self.target, self.migration, pair.namespace, pair.claim, None)
            more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
            what = f"claim {pair} differs at the target: {', '.join(differing[:_NAMED])}{more}"
            raise MigrationFailed(what, remedy="start the migration again: it copies this claim anew")
        return size
