# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing a migration to the state that a person asked for, from whatever state it is in."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Callable, Optional

from ..backends.facts import SourceFacts
from ..backends.libvirt import seed_disc, volumes
from ..backends.libvirt.measure import dirty_rates, link_rate
from ..backends.libvirt.migration_end import MigrationEnd
from ..backends.libvirt.migration_facts import find_uuid, source_facts, target_facts, with_company
from ..errors import FederationError, InputError, MigrationBlocked, MigrationFailed
from ..model import Hypervisor, Site
from . import journal as journals
from . import preflight
from .bulk import Bulk, BulkStore, DiskProgress
from .comparison import Comparison
from .cutover import Side
from .estimate import Measured
from .guards import check_guards
from .journal import Journal
from .live import LiveMigration
from .lock import MigrationLock
from .plan import Plan, Request
from .policy import Policy
from .receipt import Receipt, receipt
from .replicated import ReplicatedMigration
from .window import Window

AUTO = "auto"
Result = dict[str, Any]
REPORT_SCHEMA = 1
Connect = Callable[[Optional[str]], Any]  # a URI, or None for the hypervisor where we are
Report = Callable[[str, dict[str, Any]], None]


def _leave(journal: Journal) -> list[str]:
    return [f"the placement policy of the VM does not allow {journal.target}: {journal.override}"] if journal.override else []


def hypervisor_of(site: Site, name: str, option: str) -> Hypervisor:
    """The site's hypervisor of that name; InputError names those that there are."""
    for hypervisor in site.hypervisors:
        if hypervisor.name == name:
            return hypervisor
    known = ", ".join(hypervisor.name for hypervisor in site.hypervisors) or "none"
    raise InputError(f"is not a hypervisor of site {site.name}", option=option, value=name, remedy=f"use one of: {known}")


@dataclass(frozen=True)
class Outcome:
    """What a state brought: ``plan`` where one was made, ``journal`` where there is or was a migration."""

    changed: bool
    journal: Journal | None = None
    plan: Plan | None = None


@dataclass(frozen=True)
class Places:
    """On this hypervisor: the folder of the bulk progress and the locks, and the file in which a person sees the progress."""

    state: str
    progress: str | None = None


class Engine:
    """One VM between two hypervisors. Connections are opened at once, so that an unreachable end is told before anything else."""

    def __init__(
        self,
        name: str,
        request: Request,
        policy: Policy,
        window: Window,
        report: Report,
        connect: Connect,
        places: Places,
    ) -> None:
        if request.source == request.target:
            raise InputError(
                "is the target itself", option="source_hypervisor", value=request.source, remedy="name another source or target"
            )
        begun = time.monotonic()
        self.name = name
        self.places = places
        self.request = request
        self.policy = policy
        target_host = hypervisor_of(request.target_site, request.target, "hypervisor")
        source_host = hypervisor_of(request.source_site, request.source, "source_hypervisor")
        self.target = MigrationEnd(lambda: connect(None), target_host.name)
        self.source = MigrationEnd(lambda: connect(source_host.uri), source_host.name)
        self.source.uuid = self.target.uuid = find_uuid((self.source, self.target), name)
        self.target_host = target_host
        self.store = BulkStore(places.state, self.source.uuid)
        self.lock = MigrationLock(places.state, self.source.uuid, report, places.progress)
        # What the target's record held before an abort or a release took it away.
        self.told: Bulk | None = None
        sides = Side(self.source), Side(self.target)
        self.sides = sides
        self.comparison = Comparison(*sides, source_host, target_host, policy, report)
        self.live = LiveMigration(*sides, policy, self.store, report, begun, self.comparison)
        self.replicated = ReplicatedMigration(*sides, source_host, policy, window, self.store, self.lock, report)

    def journal(self) -> Journal | None:
        """The journal of a migration between just these two, wherever it can be read; the further one wins."""
        read = [Journal.from_dict(end.read_metadata("migration")) for end in (self.target, self.source)]
        ours = [entry for entry in read if entry and (entry.source, entry.target) == (self.request.source, self.request.target)]
        return max(ours, key=lambda entry: (entry.epoch, journals.PHASES.index(entry.phase)), default=None)

    def plan(self, *, measure: bool = False) -> Plan:
        """In the mode that was asked for, or the best one; ``measure`` for times in its estimate."""
        if self.source.find() is None:
            remedy = f"name the hypervisor where it is now; it was found at {self.request.target}"
            raise InputError(f"does not have VM {self.name}", option="source_hypervisor", value=self.request.source, remedy=remedy)
        source = source_facts(self.source, self.request.source_site)
        target = target_facts(self.target, self.source, source)
        if source.vm.placement is not None:
            sites = self.request.target_site, self.request.source_site
            target = with_company(target, source.vm, (self.target, self.source), sites)
        measured = self._measured(source) if measure or self.request.mode == AUTO else Measured()
        if self.request.mode == AUTO:
            return preflight.plan_best(self.request, source, target, measured, self.policy.downtime_budget)
        return preflight.plan(self.request, source, target, measured)

    def _measured(self, source: SourceFacts) -> Measured:
        rate = link_rate(self.source, source.disks)
        return Measured(rate, *dirty_rates(self.source, source.disks)) if source.state == "running" else Measured(rate)

    def is_completed(self, journal: Journal) -> bool:
        """The target runs it, or has it off if it was off before, and no other copy runs."""
        state = self.target.observe().state
        here = state == "running" if journal.running else state in ("running", "stopped")
        return here and self.source.observe().state not in ("running", "paused")

    def reach(self, state: str, *, check: bool) -> Result:
        """A module's result: ``changed, plan, migration, diff``."""
        if state == "planned":
            return self._told(state, Outcome(False, self.journal(), self.plan(measure=True)))
        if state == "synced" and self.request.mode not in ("warm", "auto"):
            remedy = "use mode warm, or ask for state: completed"
            raise InputError("has no rounds before its cutover", option="mode", value=self.request.mode, remedy=remedy)
        work = {"synced": self.sync, "completed": self.complete, "aborted": self.abort, "released": self.release}[state]
        if check:
            return self._told(state, work(check=True))
        before = self.journal() if state in ("aborted", "released") else None
        if before is not None:
            self.told = self.store.load(before.id)
        if before is not None and state == "aborted":
            self._interrupt(before)
        with self.lock.held(0):
            self._tidy()
            try:
                outcome = work(check=False)
            except FederationError as error:
                self._attach_report(state, error)
                raise
        if state == "aborted" and before is not None and before.phase in journals.UNDER_WAY and not outcome.changed:
            outcome = Outcome(True, before.moved_to(journals.ABORTED))
        return self._told(state, outcome)

    def _tidy(self) -> None:
        """A comparison of disks that was cut off leaves a copy held at the source, which is neither off nor to be resumed."""
        journal = self.journal()
        if journal is not None and journal.mode == "live" and journal.phase == journals.COMPLETED:
            self.comparison.tidy(journal)

    def _interrupt(self, journal: Journal) -> None:
        """Have a run that is at work leave it, so that it can be taken back."""
        self.lock.ask_to_stop()
        if journal.mode == "live" and journal.phase == journals.COPYING and self.source.observe().busy:
            self.source.abort_job()

    def _told(self, state: str, outcome: Outcome) -> Result:
        told: Result = {"changed": outcome.changed, "diff": {"before": {}, "after": {}}}
        if outcome.plan is not None:
            told["plan"] = outcome.plan.to_dict()
        journal = outcome.journal
        if journal is not None:
            facts = journal.to_dict()
            told["migration"] = {"vm": self.name, **facts.pop("figures"), **facts}
            told["report"] = self._report(state, journal)
        if outcome.changed:
            told["diff"] = self._difference(state)
        return told

    def _attach_report(self, state: str, error: FederationError) -> None:
        """To what failed, as far as both ends can still be read."""
        with contextlib.suppress(FederationError):
            journal = self.journal()
            if journal is not None:
                error.details["report"] = {**self._report(state, journal), "error": error.sentence()}

    def _report(self, state: str, journal: Journal) -> Result:
        """The migration as ``report.html`` shows it: the journal, and what the target's own record still holds."""
        bulk = self.store.load(journal.id) or self.told or Bulk(journal.id, self.name, journal.source, journal.target)
        source_site, target_site = self.request.source_site, self.request.target_site
        ended = bulk.events[-1]["ended"] if bulk.events else None
        return {
            "schema": REPORT_SCHEMA,
            "vm": self.name,
            "uuid": self.source.uuid,
            "id": journal.id,
            "mode": journal.mode,
            "mode_reason": journal.reason,
            "state": state,
            "phase": journal.phase,
            "source": journal.source,
            "target": journal.target,
            "source_site": source_site.name,
            "target_site": target_site.name,
            "source_country": source_site.country,
            "target_country": target_site.country,
            "epoch": journal.epoch,
            "started": journal.started,
            "ended": None if ended is None else datetime.fromtimestamp(ended, timezone.utc).isoformat(timespec="seconds"),
            "events": bulk.events,
            "rounds": bulk.rounds,
            "disks": {name: self._disk_report(disk, bulk.disks.get(name)) for name, disk in journal.disks.items()},
            "figures": journal.figures,
            "warnings": [*bulk.warnings, *_leave(journal)],
            "takeovers": max(0, bulk.runs - 1),
        }

    @staticmethod
    def _disk_report(disk: dict[str, Any], progress: DiskProgress | None) -> Result:
        known = progress or DiskProgress()
        keys = ("capacity", "source_format", "format", "source_path", "path")
        return {**{key: disk[key] for key in keys}, "extents": known.extents, "verified_bytes": known.verified}

    def _difference(self, state: str) -> dict[str, Result]:
        source, target = self.request.source, self.request.target
        sides: dict[str, tuple[Result, Result]] = {
            "synced": ({"copied_to": None}, {"copied_to": target}),
            "completed": ({"owner": source}, {"owner": target}),
            "aborted": ({"migration": f"{source} to {target}"}, {"migration": None}),
            "released": ({"copies": [source, target]}, {"copies": [target]}),
        }
        before, after = sides[state]
        return {"before": {"vm": self.name, **before}, "after": {"vm": self.name, **after}}

    def sync(self, *, check: bool) -> Outcome:
        """One round of a warm migration, or rounds until its window opens."""
        journal = self._under_way("warm")
        if journal is not None and journal.phase in journals.CAME_OVER:
            return Outcome(False, journal)
        plan = None
        if journal is None:
            plan = self._unblocked("warm", measure=check)
            if check:
                return Outcome(True, None, plan)
            journal = self.replicated.begin(plan, self._facts())
        elif check:
            return Outcome(True, journal)
        return Outcome(True, self.replicated.sync(journal, self._facts()), plan)

    def complete(self, *, check: bool) -> Outcome:
        """MigrationBlocked with a sentence for each blocker."""
        journal = self._under_way(self.request.mode)
        if journal is None and self._is_off_after(self.journal()):
            return self._started_again(check=check)
        if journal is not None and (check or journal.phase in journals.CAME_OVER):
            return Outcome(journal.phase not in journals.CAME_OVER, journal)
        if journal is not None:
            journal = self._gone_on(journal)
        if journal is not None:
            return Outcome(True, journal)
        plan = self._unblocked(self.request.mode, measure=check)
        if check:
            return Outcome(True, None, plan)
        if plan.mode == "live":
            return Outcome(True, self.live.run(plan, self._facts(), self.target_host), plan)
        return Outcome(True, self.replicated.complete(self.replicated.begin(plan, self._facts()), self._facts()), plan)

    def _is_off_after(self, journal: Journal | None) -> bool:
        """Whether the VM came over, and its new host went down since."""
        if journal is None or journal.phase != journals.COMPLETED or not journal.running:
            return False
        entry = self.sides[1].registry.entry(self.target.uuid)
        ours = entry is not None and entry.owner.hypervisor == journal.target
        return ours and self.target.observe().state in ("stopped", "crashed") and self.source.observe().state == "stopped"

    def _started_again(self, *, check: bool) -> Outcome:
        if not check:
            self.sides[1].power.start()
        return Outcome(True, self.journal())

    def _gone_on(self, journal: Journal) -> Journal | None:
        """Finish what an earlier run began; None when that had to be taken back and a new one may begin."""
        return self.live.settle(journal) if journal.mode == "live" else self.replicated.complete(journal, self._facts())

    def _facts(self) -> SourceFacts:
        return source_facts(self.source, self.request.source_site)

    def _under_way(self, mode: str) -> Journal | None:
        """The journal to go on with, or of a move that came over and stands; None where a new one begins."""
        journal = self.journal()
        if journal is None or journal.phase == journals.ABORTED:
            return None
        if journal.phase in journals.CAME_OVER:
            return journal if self.is_completed(journal) else None
        if mode not in ("auto", journal.mode):
            remedy = f"go on with mode {journal.mode}, or take it back with state: aborted"
            raise InputError(
                f"does not go with the {journal.mode} migration that is under way", option="mode", value=mode, remedy=remedy
            )
        return journal

    def _unblocked(self, mode: str, *, measure: bool) -> Plan:
        self.request = replace(self.request, mode=mode)
        plan = self.plan(measure=measure)
        if plan.blockers:
            sentences = ". ".join(blocker.message for blocker in plan.blockers)
            raise MigrationBlocked(f"VM {self.name} cannot go from {plan.source} to {plan.target}: {sentences}")
        check_guards(self.sides)
        return plan

    def abort(self, *, check: bool) -> Outcome:
        """Take an unfinished migration back; nothing to do where none is under way."""
        journal = self.journal()
        if journal is None or journal.phase == journals.ABORTED:
            return Outcome(False)
        if journal.phase in journals.CAME_OVER:
            raise MigrationFailed(
                f"the migration of VM {self.name} to {journal.target} is completed already",
                option="state",
                value="aborted",
                remedy="release it and migrate the VM back",
            )
        if not check:
            if journal.mode == "live":
                self.live.abort(journal)
            else:
                self.replicated.abort(journal, self._facts())
        return Outcome(True, journal.moved_to(journals.ABORTED))

    def release(self, *, check: bool) -> Outcome:
        """Delete the source copy and its volumes, once the VM is at the target and the journal says completed."""
        journal = self.journal()
        if self.source.observe().state == "absent":
            return Outcome(False, journal)
        if (
            journal is None
            or journal.phase != journals.COMPLETED
            or not self.is_completed(journal)
            or not self._seen_to_work(journal)
        ):
            raise MigrationFailed(
                f"VM {self.name} is not seen to run at {self.request.target} after a completed migration",
                option="state",
                value="released",
                remedy="complete the migration first; the source copy is kept",
            )
        if journal.figures.get("differing_extents"):
            raise MigrationFailed(
                f"the disks of VM {self.name} at {journal.target} were found to differ from those of {journal.source}",
                option="state",
                value="released",
                remedy="look after both disks; the source copy is kept, and a person has to remove it",
            )
        released = journal.moved_to(journals.RELEASED)
        if not check:
            erased = self._erase(journal)
            released = journal.moved_to(journals.RELEASED, figures={**journal.figures, "receipt": erased.to_dict()})
            self.target.write_metadata("migration", released.to_dict())
            self.store.remove()
        return Outcome(True, released)

    def _seen_to_work(self, journal: Journal) -> bool:
        return not journal.running or self.live.verified()

    def _erase(self, journal: Journal) -> Receipt:
        disks = [str(disk["source_path"]) for disk in journal.disks.values()]
        # A disc that anybody may have put in stays; that of cloud-init is the VM's own, and holds secrets.
        disks += seed_disc.paths_in(self.source.xml(persistent=True))
        # The volumes first: a run that dies in between finds the VM's definition there still, and goes on.
        for path in disks:
            volumes.erase_volume(self.source.connection, path)
        self.source.remove()
        self.sides[0].registry.let_disks_go(self.source.uuid)
        site = self.request.source_site
        place = {"hypervisor": journal.source, "site": site.name, "country": site.country}
        erased = receipt(self.name, self.source.uuid, journal.id, place, disks)
        erased.keep(self.places.state)
        return erased
