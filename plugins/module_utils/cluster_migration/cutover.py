# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cutover of a cluster's workloads: put to rest, last delta, compared, started, seen to live; or all of it taken back.

Before each step the journal says at both ends what is about to be true, and no step begins before the one that must precede it
was read from the ends. So a run that dies anywhere leaves a state from which any other can go on, or go back, and at no time
do two copies run: the source is fenced before the target starts, and the target is at rest before the source gets its own back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, Protocol

from ..backends.cluster import Resource
from ..errors import FederationError, MigrationFailed, UnreachableError
from . import journal as journals
from . import resting
from .carrying import LAST, Carrying
from .course import Course
from .hooks import run_hooks
from .lease import LockLost
from .policy import Policy
from .probes import see_life
from .quiesce import Quiesce
from .removing import Removal
from .resting import Memory, key_of, shown
from .store import MIGRATION
from .target_rest import TargetRest

_LOOK = 0.3
_NAMED = 5


class Volumes(Protocol):
    """The data of the claims."""

    def delta(self) -> int:
        """Only what changed; gives the bytes."""

    def compare(self) -> None:
        """MigrationFailed names the first files that differ."""

    def tidy(self) -> None:
        """Nothing of ours mounts a claim any more."""


@dataclass(frozen=True)
class Ends:
    """All that a cutover works on."""

    source: Quiesce
    target: TargetRest
    carrying: Carrying
    volumes: Volumes
    resources: Sequence[Resource]
    removal: Callable[[], Removal]


class Cutover:
    """From an application at the source to the same application at the target.

    :param check: called before every change; raises LockLost when this run may not go on
    :param check_now: the same, called between two steps, where it may take a request
    """

    def __init__(
        self,
        ends: Ends,
        course: Course,
        policy: Policy,
        facts: dict[str, str],
        report: Callable[[str, dict[str, Any]], None],
        check: Callable[[], None],
        check_now: Callable[[], None],
    ) -> None:
        self.ends = ends
        self.course = course
        self.policy = policy
        self.facts = facts
        self.report = report
        self.check = check
        self.check_now = check_now

    @property
    def state(self) -> str:
        return self.course.journal.state

    def run(self) -> None:
        """The journal is completed when this returns; when it raises, everything was taken back, or the message says what was not."""
        if self.state in (journals.TAKING_BACK, journals.RESTORING):
            self.take_back()
        try:
            if self.state != journals.STARTING:
                self._stop()
                self._bring_up_to_date()
            self._start()
        except LockLost:
            raise
        except FederationError as error:
            raise self._taken_back(error) from error
        self.course.warn(*self._hooks("after_cutover"))

    def _hooks(self, when: str) -> list[str]:
        self.check_now()
        told = run_hooks(self.policy.hooks, when, self.facts)
        self.check_now()
        return told

    # Forward

    def _stop(self) -> None:
        if self.state == journals.SYNCED:
            self._hooks("before_cutover")
            self.course.begin("stopping")
            self.course.enter(journals.STOPPING, stopped_at=time.time(), at_rest={})
        else:
            self.course.begin("stopping")
        source = self.ends.source
        source.rest(self._remember, jobs=self.policy.jobs, seconds=self.policy.quiesce_timeout)
        at_rest = source.unfinished_jobs(self.course.journal.at_rest)
        source.verify(at_rest)
        if self.state == journals.STOPPING:
            self.course.enter(journals.STOPPED, journals.SOURCE_RESTS, at_rest=at_rest)
        self._hooks("after_quiesce")

    def _remember(self, found: Any) -> dict[str, Memory]:
        """The first memory of each thing is the true one: a later look sees it at rest."""
        known = {**found, **self.course.journal.at_rest}
        if known != self.course.journal.at_rest:
            self.course.change(at_rest=known)
        return known

    def _bring_up_to_date(self) -> None:
        self.course.begin("last delta")
        size = self.ends.volumes.delta()
        self.course.end(bytes=size)
        if self.policy.verify_digests:
            self.course.begin("verify")
            self.ends.volumes.compare()
        self._hooks("after_delta")
        self.course.begin("copying objects")
        namespaces = tuple(self.course.journal.namespaces)
        self.ends.carrying.carry(self.ends.resources, namespaces, late=False)
        self.ends.volumes.tidy()
        self._hooks("before_start")
        self.ends.source.fence()
        self.ends.source.verify(self.course.journal.at_rest)
        self.course.enter(journals.STARTING, journals.SOURCE_RESTS)

    def _start(self) -> None:
        journal = self.course.journal
        self.ends.source.fence()
        self.ends.source.verify(journal.at_rest)
        self.course.begin("start")
        carrying, namespaces = self.ends.carrying, tuple(journal.namespaces)
        carrying.carry(self.ends.resources, namespaces, late=True, skip={*resting.RESTED, *LAST})
        carrying.start(journal.at_rest, self.ends.source.bare.kept())
        self._await_ready()
        carrying.carry_last(self.ends.resources, journal.at_rest)
        self._hooks("after_start")
        seen = "all that ran is ready"
        if self.policy.probes:
            self.course.begin("sign of life")
            seen = f"{seen}; {see_life(self.policy.probes, self.check)}"
        # Read once more, at the end: it is what the commit says.
        self.ends.source.verify(journal.at_rest)
        self._must_be_ready()
        self.course.end()
        down = time.time() - journal.stopped_at
        figures = {**self.course.journal.figures, "downtime_ms": round(1000 * down), "sign_of_life": seen, "verified": True}
        self.course.enter(journals.COMPLETED, journals.TARGET_WORKS, figures=figures)

    def _late(self) -> list[str]:
        """What at the target is not ready as it was at the source."""
        late = []
        found = {}
        for resource in (*resting.SCALED, resting.DAEMON_SETS, resting.PODS):
            for item in self.ends.target.each(resource):
                found[key_of(item)] = item
        for key, memory in self.course.journal.at_rest.items():
            kind = resting.parts_of(key)[1]
            if kind not in {resource.kind for resource in (*resting.SCALED, resting.DAEMON_SETS, resting.PODS)}:
                continue
            if kind == "Pod" and not memory["ready"]:
                continue
            # What is not carried as it is there in another form is not waited for.
            if (key in found and not resting.is_ready(found[key], memory)) or (
                key not in found and key in self.ends.carrying.there
            ):
                late.append(shown(key))
        return late

    def _must_be_ready(self) -> None:
        late = self._late()
        if late:
            raise MigrationFailed(f"at {self.ends.target.api.name}, {_named(late)} is ready no more")

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self.policy.ready_timeout
        while True:
            self.check()
            late = self._late()
            if not late:
                return
            if time.monotonic() > deadline:
                raise MigrationFailed(
                    f"at {self.ends.target.api.name}, {_named(late)} was not ready in {self.policy.ready_timeout} seconds",
                    remedy="look at its pods' events there, or set a longer ready_timeout",
                )
            self.report("start", {"waiting_for": _named(late)})
            time.sleep(_LOOK)

    # Back

    def _taken_back(self, error: FederationError) -> FederationError:
        """The failure, with what became of the migration."""
        journal = self.course.journal
        if journal.state not in journals.STEPS:
            return error
        try:
            self.take_back()
        except LockLost as lost:
            return lost
        except FederationError as fault:
            told = MigrationFailed(
                f"{error.what}; it could not be taken back yet: {fault.what}",
                remedy="run the migration again to finish it, or with state: aborted to take it back",
            )
        else:
            told = MigrationFailed(f"{error.what}; {journal.source} runs as before", option=error.option, remedy=error.remedy)
        told.details = error.details
        return told

    def take_back(self) -> None:
        """The source as it was, after the target was put to rest; the journal says synced again."""
        self.course.begin("rolled back")
        if self.state == journals.STARTING:
            self.course.enter(journals.TAKING_BACK)
        if self.state == journals.TAKING_BACK:
            self._rest_target()
            self.course.enter(journals.RESTORING, journals.TARGET_RESTS)
        unwritten = self._say_restoring()
        late = self.ends.source.restore(self.course.journal.at_rest, seconds=self.policy.ready_timeout)
        if late:
            self.course.warn(f"{_named(late)} was not ready again when {self.course.journal.source} had got everything back")
        self.course.end()
        if unwritten is not None:
            raise unwritten
        self.course.enter(journals.SYNCED, journals.SOURCE_WORKS, at_rest={}, stopped_at=0.0)

    def _say_restoring(self) -> UnreachableError | None:
        """The journal; where the target is away, the source need not wait for it: nothing was started there, nor will be before a rest."""
        if self.state == journals.RESTORING:
            return None
        try:
            self.course.enter(journals.RESTORING)
        except UnreachableError as error:
            return error
        return None

    def _rest_target(self) -> None:
        """Webhooks first, as they could refuse all else; then custom resources, whose operators would start things again."""
        removal = self.ends.removal()
        late = {resource.kind for resource in self.ends.resources if self.ends.carrying.is_late(resource)}
        ours = self.course.journal.id

        def is_late(item: dict[str, Any]) -> bool:
            return item["kind"] in late and (item["metadata"].get("annotations") or {}).get(MIGRATION) == ours

        removal.remove(self.course.journal.namespaces, is_late, strip=True)
        target = self.ends.target
        target.rest(dict, jobs="suspend", seconds=self.policy.quiesce_timeout)
        left = target.running()
        if left:
            raise MigrationFailed(f"at {target.api.name}, {_named(left)} still runs", remedy="look at these pods")


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
