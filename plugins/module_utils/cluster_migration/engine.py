# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing the migration of a cluster's workloads to the state that a person asked for, from whatever state it is in."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable

from ..backends.cluster import ClusterApi, Object, Resource
from ..errors import FederationError, InputError, MigrationBlocked, MigrationFailed
from . import journal as journals
from . import rights
from .carrying import Carrying, is_migrations_own
from .collecting import listable, stream
from .course import Course
from .cutover import Cutover, Ends
from .hooks import run_hooks
from .journal import Journal
from .lease import Lease
from .parts import Parts, Plan, Preparation, Report
from .policy import Policy
from .quiesce import Quiesce
from .release import Release
from .removing import Removal
from .store import MIGRATION, NAMESPACE, NAMESPACES, JournalStore, label_of, make_namespace, remove_namespace
from .target_rest import TargetRest
from .telling import difference, report_of, summary

Result = dict[str, Any]
_GONE_SECONDS = 300.0


@dataclass(frozen=True)
class Outcome:
    """What a state brought: ``plan`` where one was made, ``journal`` where there is or was a migration."""

    changed: bool
    journal: Journal | None = None
    plan: Plan | None = None


class Engine:
    """The workloads of the chosen namespaces between two clusters.

    :param name: of the migration; it finds the journal again
    :raises InputError: when both are the same cluster
    """

    def __init__(self, name: str, source: ClusterApi, target: ClusterApi, parts: Parts, policy: Policy, report: Report) -> None:
        self.name = name
        self.source = source
        self.target = target
        self.parts = parts
        self.policy = policy
        self.report = report
        self.uids = source.uid(), target.uid()
        if self.uids[0] == self.uids[1]:
            raise InputError(
                "is the same cluster as the source",
                option="target_context",
                value=target.name,
                remedy="name another source or target",
            )
        self.store = JournalStore(source, target, name)
        self.lease = Lease(source, NAMESPACE, f"virt8ra-migration-{label_of(name)}", report)
        self._course: Course | None = None
        self._carrying: Carrying | None = None

    # Results

    def reach(self, state: str, *, check: bool) -> Result:
        """A module's result: ``changed, plan, migration, report, diff``."""
        if state == "planned":
            journal = self.store.read()
            return self._told(state, Outcome(False, journal, None if _came_over(journal) else self._planned(journal)[0]))
        work = {"synced": self.sync, "completed": self.complete, "aborted": self.abort, "released": self.release}[state]
        if check:
            return self._told(state, work(check=True))
        try:
            outcome = work(check=False)
        except FederationError as error:
            self._attach_report(state, error)
            raise
        return self._told(state, outcome)

    def _told(self, state: str, outcome: Outcome) -> Result:
        told: Result = {"changed": outcome.changed, "diff": {"before": {}, "after": {}}}
        if outcome.plan is not None:
            told["plan"] = outcome.plan.to_dict()
        if outcome.journal is not None:
            told["migration"] = summary(outcome.journal)
            told["report"] = report_of(state, outcome.journal)
        if outcome.changed:
            told["diff"] = difference(state, self.name, self.source.name, self.target.name)
        return told

    def _attach_report(self, state: str, error: FederationError) -> None:
        """To what failed, as far as both ends can still be read."""
        with contextlib.suppress(FederationError):
            if self._course is not None:
                self._course.end()
                self._course.change()
            journal = self.store.read()
            if journal is not None:
                error.details["report"] = {**report_of(state, journal), "error": error.sentence()}

    # The plan

    def _planned(self, journal: Journal | None) -> tuple[Plan, Preparation]:
        """What would be done; for a migration under way with what its first run chose."""
        preparation = self.parts.prepare(list(journal.namespaces) if journal and journal.phase in journals.UNDER_WAY else None)
        resources = self._resources(preparation)
        self.report("reading", {})
        preparation.read(self._read(resources, preparation))
        carrying = self._new_carrying(journal.id if journal else "", preparation, lambda: None)
        carrying.look(resources, preparation.namespaces)
        conflicts = [] if self.policy.force else self._conflicts(carrying, preparation, resources)
        carried = [resource for resource in resources if preparation.objects.get(resource.kind)]
        lacking = rights.missing(self.source, self.target, carried, preparation.namespaces, workers=self.policy.connections)
        return preparation.plan([*conflicts, *lacking]), preparation

    def _resources(self, preparation: Preparation) -> tuple[Resource, ...]:
        return listable(self.source.resources(), preparation.excluded())

    def _read(self, resources: Sequence[Resource], preparation: Preparation) -> Iterator[Object]:
        found = stream(self.source, resources, preparation.namespaces)
        return (item for item in found if not is_migrations_own(item))

    def _conflicts(self, carrying: Carrying, preparation: Preparation, resources: Sequence[Resource]) -> list[str]:
        """Only kinds of which the target has something that is not ours can be in conflict."""
        theirs = {key.rsplit("/", 3)[1] for key, there in carrying.there.items() if not there.ours}
        kinds = [resource for resource in resources if resource.kind in theirs]
        items = (preparation.clean(item) for item in self._read(kinds, preparation))
        return carrying.conflicts(item for item in items if item is not None)

    def _new_carrying(self, migration_id: str, preparation: Preparation, check: Callable[[], None]) -> Carrying:
        return Carrying(
            self.source,
            self.target,
            migration_id,
            clean=preparation.clean,
            stage=preparation.stage,
            workers=self.policy.connections,
            report=self.report,
            check=check,
        )

    # States

    def sync(self, *, check: bool) -> Outcome:
        """Objects and data brought in step while the application runs."""
        journal = self._live(self.store.read())
        if journal is not None and journal.phase in journals.CAME_OVER:
            return Outcome(False, journal)
        if journal is not None and journal.phase == journals.SWITCHING:
            raise MigrationFailed(
                f"the cutover of migration {self.name} was cut off ({journal.step})",
                option="state",
                value="synced",
                remedy="finish it with state: completed, or take it back with state: aborted",
            )
        plan, preparation = self._unblocked(journal)
        if check:
            return Outcome(True, journal, plan)
        with self._at_work(journal, plan, preparation) as course:
            changed = self._round(course, preparation) or journal is None or journal.phase != journals.SYNCED
            # Until the next round nothing of ours keeps a node from being drained.
            self.parts.volumes(course, self.lease.check, self.report).tidy()
            return Outcome(changed, course.journal, plan)

    def complete(self, *, check: bool) -> Outcome:
        """MigrationBlocked with a sentence for each blocker."""
        journal = self._live(self.store.read())
        if journal is not None and journal.phase in journals.CAME_OVER:
            return Outcome(False, journal)
        plan, preparation = self._unblocked(journal)
        if check:
            return Outcome(True, journal, plan)
        with self._at_work(journal, plan, preparation) as course:
            if course.journal.phase in journals.CAME_OVER:
                return Outcome(False, course.journal)
            if course.journal.phase != journals.SWITCHING:
                self._round(course, preparation)
            self._cutover(course, preparation).run()
            course.change()
            return Outcome(True, course.journal, plan)

    def abort(self, *, check: bool) -> Outcome:
        """Take an unfinished migration back; nothing to do where none is under way."""
        journal = self.store.read()
        if journal is None or journal.phase == journals.ABORTED:
            return Outcome(False, journal)
        self._must_not_be_over(journal)
        if check:
            return Outcome(True, journal)
        self.lease.ask_to_stop()
        with self.lease.held():
            read = self.store.read()
            if read is None or read.phase == journals.ABORTED:
                return Outcome(False, read)
            # The run at work may have come to its end before it saw that it was asked to stop.
            self._must_not_be_over(read)
            course = self._course = Course(self.store, read, self.report)
            self._hooks("before_abort", read)
            preparation = self.parts.prepare(list(read.namespaces))
            if read.phase == journals.SWITCHING:
                self._cutover(course, preparation).take_back()
            self._remove_from_target(course, preparation)
            course.change(warnings=[*course.journal.warnings, *self._hooks("after_abort", read)])
            self.store.forget_target()
            aborted = course.journal
        return Outcome(True, aborted)

    def _must_not_be_over(self, journal: Journal) -> None:
        if journal.phase in journals.CAME_OVER:
            raise MigrationFailed(
                f"migration {self.name} to {journal.target} is completed already",
                option="state",
                value="aborted",
                remedy="release it and migrate back",
            )

    def _remove_from_target(self, course: Course, preparation: Preparation) -> None:
        course.begin("aborted")
        journal = course.journal
        self.parts.volumes(course, self.lease.check, self.report).tidy()
        removal = Removal(self.target, preparation.stage, self.report, self.lease.check, _GONE_SECONDS)

        def is_ours(item: Object) -> bool:
            return (item["metadata"].get("annotations") or {}).get(MIGRATION) == journal.id

        removal.remove(journal.namespaces, is_ours, strip=True)
        removal.remove_namespaces(dict.fromkeys(journal.made, ""))
        course.warn(*removal.removed.left)
        course.end()
        course.enter(journals.ABORTED)

    def release(self, *, check: bool) -> Outcome:
        """Delete at the source what has moved, once the journal says completed and the target is seen to have it."""
        journal = self.store.read()
        if journal is not None and journal.phase == journals.RELEASED:
            return Outcome(False, journal)
        if journal is None or journal.phase != journals.COMPLETED:
            raise MigrationFailed(
                f"migration {self.name} is not completed",
                option="state",
                value="released",
                remedy="complete the migration first; the source is kept",
            )
        if check:
            return Outcome(True, journal)
        with self.lease.held():
            read = self.store.read()
            if read is None or read.phase != journals.COMPLETED:
                return Outcome(False, read)
            course = self._course = Course(self.store, read, self.report)
            self._hooks("before_release", read)
            preparation = self.parts.prepare(list(read.namespaces))
            resources = self._resources(preparation)
            preparation.read(self._read(resources, preparation))
            carrying = self._new_carrying(read.id, preparation, self.lease.check)
            carrying.look(resources, preparation.namespaces)
            source = self._source_rest(read)
            removal = Removal(self.source, preparation.stage, self.report, self.lease.check, _GONE_SECONDS)
            Release(course, source, carrying, removal, preparation.clean).run()
            course.change(warnings=[*course.journal.warnings, *self._hooks("after_release", read)])
            return Outcome(True, course.journal)

    # Work

    def _live(self, journal: Journal | None) -> Journal | None:
        """The journal to go on with, or of a move that came over and stands; None where a new one begins."""
        if journal is None or journal.phase == journals.ABORTED:
            return None
        if journal.phase == journals.RELEASED and self._is_there_anew(journal):
            return None
        return journal

    def _is_there_anew(self, journal: Journal) -> bool:
        """Whether somebody made one of the namespaces again since they were released, so that this is another move."""
        for name, uid in journal.namespaces.items():
            there = self.source.get(NAMESPACES, name)
            if there is not None and there["metadata"].get("uid") != uid:
                return True
        return False

    def _unblocked(self, journal: Journal | None) -> tuple[Plan, Preparation]:
        """MigrationBlocked with a sentence for each blocker; a cutover that was begun is not held up by new ones."""
        plan, preparation = self._planned(journal)
        if plan.blockers and (journal is None or journal.phase != journals.SWITCHING):
            sentences = ". ".join(str(blocker.message) for blocker in plan.blockers)
            raise MigrationBlocked(f"migration {self.name} cannot go from {self.source.name} to {self.target.name}: {sentences}")
        return plan, preparation

    @contextlib.contextmanager
    def _at_work(self, journal: Journal | None, plan: Plan, preparation: Preparation) -> Any:
        """The course of the run at work, under the lock; what another run did meanwhile is read once it is held."""
        make_namespace(self.source)
        try:
            with self.lease.held():
                read = self._live(self.store.read())
                if read is None:
                    read = self.store.begin(self._first(plan, preparation))
                course = self._course = Course(self.store, read, self.report)
                if journal is not None:
                    course.keep(runs=read.runs + 1)
                yield course
        except BaseException:
            if self._course is None:
                remove_namespace(self.source)
            raise

    def _first(self, plan: Plan, preparation: Preparation) -> Journal:
        namespaces, made = {}, []
        for name in preparation.namespaces:
            there = self.source.get(NAMESPACES, name)
            if there is not None:
                namespaces[name] = str(there["metadata"].get("uid", ""))
                if self.target.get(NAMESPACES, name) is None:
                    made.append(name)
        return Journal(
            id=uuid.uuid4().hex[:12],
            name=self.name,
            method="workloads",
            source=self.source.name,
            target=self.target.name,
            source_uid=self.uids[0],
            target_uid=self.uids[1],
            phase=journals.COPYING,
            reason=self.policy.reason,
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            namespaces=namespaces,
            made=made,
            mapping=dict(preparation.mapping),
            objects=dict(preparation.objects),
            warnings=list(plan.warnings),
        )

    def _ready_carrying(self, course: Course, preparation: Preparation) -> Carrying:
        """With what the target has now; an object of somebody else that came since the plan is refused here."""
        if self._carrying is None:
            resources = self._resources(preparation)
            carrying = self._new_carrying(course.journal.id, preparation, self.lease.check)
            carrying.look(resources, preparation.namespaces)
            found = self._conflicts(carrying, preparation, resources)
            if found and not self.policy.force and course.journal.phase != journals.SWITCHING:
                raise MigrationBlocked(f"migration {self.name} cannot go on: {'. '.join(found)}")
            self._carrying = carrying
        return self._carrying

    def _round(self, course: Course, preparation: Preparation) -> bool:
        """Whether anything had changed at the source."""
        carrying = self._ready_carrying(course, preparation)
        again = course.journal.phase == journals.SYNCED
        if not again:
            self._hooks("before_sync", course.journal)
        course.begin("copying objects")
        carried = carrying.carry(self._resources(preparation), preparation.namespaces, late=False)
        course.begin("round" if again else "seed")
        volumes = self.parts.volumes(course, self.lease.check, self.report)
        size = volumes.delta() if again else volumes.seed()
        course.end(bytes=size)
        figures = {**course.journal.figures, "bytes": int(course.journal.figures.get("bytes", 0)) + size}
        if not again:
            course.warn(*self._hooks("after_sync", course.journal))
        if not again or carried.applied or size:
            course.enter(journals.SYNCED, objects=dict(preparation.objects), figures=figures)
        return bool(carried.applied or size)

    def _source_rest(self, journal: Journal) -> Quiesce:
        return Quiesce(self.source, tuple(journal.namespaces), journal.id, self.report, self.lease.check)

    def _cutover(self, course: Course, preparation: Preparation) -> Cutover:
        journal = course.journal
        ends = Ends(
            self._source_rest(journal),
            TargetRest(self.target, tuple(journal.namespaces), journal.id, self.report, self.lease.check, journal.made),
            self._ready_carrying(course, preparation),
            self.parts.volumes(course, self.lease.check, self.report),
            self._resources(preparation),
            lambda: Removal(self.target, preparation.stage, self.report, self.lease.check, _GONE_SECONDS),
        )
        return Cutover(ends, course, self.policy, self._facts(journal), self.report, self.lease.check, self.lease.check_now)

    def _hooks(self, when: str, journal: Journal) -> list[str]:
        self.lease.check_now()
        told = run_hooks(self.policy.hooks, when, self._facts(journal))
        self.lease.check_now()
        return told

    @staticmethod
    def _facts(journal: Journal) -> dict[str, str]:
        """What a hook finds in its environment."""
        return {
            "migration": journal.name,
            "migration_id": journal.id,
            "source": journal.source,
            "target": journal.target,
            "namespaces": " ".join(journal.namespaces),
        }


def _came_over(journal: Journal | None) -> bool:
    return journal is not None and journal.phase in journals.CAME_OVER
