# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The live migration of one VM as a transaction: it arrives paused and is resumed only when both ends say that it came over."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Callable

from ..backends.facts import SourceFacts
from ..backends.libvirt import volumes
from ..backends.libvirt.migration_end import LiveOptions
from ..backends.libvirt.snapshots import Snapshots
from ..errors import FederationError, MigrationFailed
from ..model import Hypervisor, Owner, Portable
from . import journal as journals
from .bulk import Bulk, BulkStore
from .comparison import Comparison, Frozen
from .cutover import Side
from .destination import destination_xml, moved_spec
from .journal import Journal
from .outcome import COMMIT, RESTART, ROLL_BACK, SETTLED, WAIT, decide
from .placement_rules import with_leave
from .plan import Plan
from .policy import Policy
from .sidecars import carry_media, remove_media
from .target_volumes import make_volumes
from .watch import Watchdog

SETTLE_SECONDS = 120.0


@dataclass(frozen=True)
class Figures(Portable):
    """Measured, never estimated. ``downtime_ms``: libvirt's own figure plus the pause until the resume."""

    total_ms: int
    downtime_ms: int
    resume_ms: int
    bytes: int
    verified: bool


class LiveMigration:
    """Both ends and how to go about it.

    :param report: called with a phase and its figures, about twice a second
    :param begun: the moment (monotonic) from which the total time counts
    """

    def __init__(
        self,
        source: Side,
        target: Side,
        policy: Policy,
        store: BulkStore,
        report: Callable[[str, dict[str, Any]], None],
        begun: float,
        comparison: Comparison,
    ) -> None:
        self.source = source.end
        self.target = target.end
        self.source_side = source
        self.target_side = target
        self.snapshots = Snapshots(self.source)
        self.store = store
        self.policy = policy
        self.report = report
        self.begun = begun
        self.comparison = comparison
        self.frozen = Frozen(reason="nobody asked for it")
        self.bulk = Bulk("", "", "", "")
        self.suspended_at: float | None = None

    def run(self, plan: Plan, facts: SourceFacts, target: Hypervisor) -> Journal:
        """Carry the plan out; the returned journal is completed. MigrationFailed says where the VM runs instead."""
        journal = self._begin(plan, facts)
        made: dict[str, str] = {}
        try:
            self.report("preparing", {})
            make_volumes(self.target.connection, plan.disks, made)
            carry_media(self.source, facts, plan.media)
            # libvirt does not migrate a VM that has any.
            self.snapshots.put_aside()
            options = self._options(plan, facts, journal, target)
        except FederationError:
            # Only what was made here goes: a volume that stood in the way is somebody else's.
            self.roll_back(replace(journal, volumes=made))
            raise
        self._event("copying")
        # The arriving copy is the source's still, so the target's guard lets it in once.
        self.target_side.registry.permit(self.target.uuid, journal.id)
        error, returned = self._move(options, facts.vm.memory)
        return self._conclude(journal, error, returned)

    def _begin(self, plan: Plan, facts: SourceFacts) -> Journal:
        journal = Journal(
            id=uuid.uuid4().hex,
            mode="live",
            source=plan.source,
            target=plan.target,
            phase=journals.COPYING,
            epoch=facts.epoch + 1,
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            volumes={name: disk["path"] for name, disk in plan.disks.items()},
            disks=plan.disks,
            networks=list(plan.networks),
            media=plan.media,
            macs=list(plan.macs),
            reason=plan.reason,
            override=plan.override,
            autostart=self.source.autostart(),
        )
        self.source.write_metadata("migration", journal.to_dict())
        self.bulk = Bulk(journal.id, facts.vm.name, plan.source, plan.target, runs=1)
        self.store.save(self.bulk)
        # From here on the source's copy runs on or is gone: nobody may start it anew but a roll-back.
        self.source_side.registry.fence(self.source.uuid, journal.id, journal.target)
        # A source host that restarts must not start a copy beside the one that went over.
        self.source.set_autostart(False)
        return journal

    def _options(self, plan: Plan, facts: SourceFacts, journal: Journal, target: Hypervisor) -> LiveOptions:
        # Until the commit the source owns it, so that nobody resumes the arrived copy but the commit itself.
        owner = Owner(plan.source, facts.epoch).to_dict()
        spec = moved_spec(with_leave(facts.vm, plan.target, plan.override), plan.disks)
        formats = {name: disk["format"] for name, disk in plan.disks.items()}

        def translated(xml: str) -> str:
            return destination_xml(
                xml,
                disks=journal.volumes,
                formats=formats,
                networks=list(plan.networks),
                media=plan.media,
                owner=owner,
                journal=journal.to_dict(),
                vm=spec,
            )

        return LiveOptions(
            uri=target.uri,
            migrate_uri=f"tcp://[{target.address}]" if ":" in target.address else f"tcp://{target.address}",
            tls_destination=target.name,
            domain_xml=translated(self.source.xml()),
            persistent_xml=translated(self.source.xml(persistent=True)),
            disks=tuple(plan.disks),
            bandwidth=max(1, self.policy.bandwidth // max(1, len(plan.disks))) if self.policy.bandwidth else 0,
            auto_converge=self.policy.auto_converge,
        )

    def _move(self, options: LiveOptions, memory: int) -> tuple[FederationError | None, float]:
        """What libvirt's call said, and the moment (monotonic) at which it returned."""
        outcome: dict[str, Any] = {}

        def call() -> None:
            try:
                self.source.migrate(options)
            except FederationError as error:
                outcome["error"] = error
            outcome["returned"] = time.monotonic()

        thread = threading.Thread(target=call, daemon=True, name="migrate")
        thread.start()
        watchdog = Watchdog(self.source, self.policy, memory, self.report)
        watchdog.watch(thread)
        self.suspended_at = watchdog.suspended_at
        error = outcome.get("error")
        if watchdog.aborted and (error is not None or thread.is_alive()):
            error = MigrationFailed(
                watchdog.aborted, remedy="allow it more time, bandwidth or downtime; the VM runs on at the source"
            )
        return error, outcome.get("returned", time.monotonic())

    def _conclude(self, journal: Journal, error: FederationError | None, returned: float) -> Journal:
        """Judged from both ends; what libvirt's call said only explains a failure."""
        if decide(self.source.observe(), self.target.observe(), resumed=False) == COMMIT:
            self._resume(journal)
            return self._committed(journal, time.monotonic() - returned)
        settled = self.settle(journal)
        if settled is None:
            raise error or MigrationFailed(
                f"the VM did not come over and runs on at {journal.source}", remedy="run it again; nothing was lost"
            )
        return settled

    def _resume(self, journal: Journal) -> None:
        """The commit. It is on the target's disk before the copy runs: should this host go down now, this copy counts."""
        self.bulk.resumed = True
        self._event("resume")
        self.store.save(self.bulk)
        if self.policy.verify_disks:
            self.frozen = self.comparison.freeze(journal)
        self.target.resume()
        self._event("settling")
        self.report("resume", {})

    def _event(self, phase: str) -> None:
        self._end_event()
        self.bulk.events.append({"phase": phase, "began": time.time(), "ended": None})

    def _end_event(self) -> None:
        if self.bulk.events and self.bulk.events[-1]["ended"] is None:
            self.bulk.events[-1]["ended"] = time.time()

    def _committed(self, journal: Journal, gap: float) -> Journal:
        total = time.monotonic() - self.begun
        sent, arrived = self.source.job(completed=True), self.target.job(completed=True)
        # Each end sees its own part of the pause; the longer one is the honest one.
        downtime = max(int(statistics.get("downtime", 0)) for statistics in (sent, arrived)) + round(gap * 1000)
        if self.suspended_at is not None:
            downtime = max(downtime, round((time.monotonic() - self.suspended_at) * 1000))
        figures = Figures(
            total_ms=round(total * 1000),
            downtime_ms=downtime,
            resume_ms=round(gap * 1000),
            bytes=int((sent or arrived).get("data_processed", 0)),
            verified=self.verified(),
        )
        done = journal.moved_to(journals.COMPLETED, figures=figures.to_dict())
        self._flip_owner(done)
        if self.policy.verify_disks:
            done = self._compared(done)
        self.report("completed", figures.to_dict())
        return done

    def _compared(self, journal: Journal) -> Journal:
        """The journal with what was found; MigrationFailed, with the guest running on at the target, where the disks differ."""
        self._event("comparing")
        seen = self.comparison.run(journal, self.frozen)
        verified = journal.figures["verified"] and not seen["not_compared"] and not seen["differing_extents"]
        figures = {**journal.figures, **seen, "verified": verified}
        done = journal.moved_to(journals.COMPLETED, figures=figures)
        for end in (self.source, self.target):
            end.write_metadata("migration", done.to_dict())
        self._end_event()
        self.store.save(self.bulk)
        if seen["differing_extents"]:
            raise MigrationFailed(
                f"{seen['differing_extents']} extent(s) of the disks at {journal.target} are not those of {journal.source}",
                remedy="look after both disks; the VM runs at the target, and the source's copy is kept and is not released",
            )
        return done

    def verified(self) -> bool:
        """Read from both ends: only the target runs, nothing is left to copy, and the guest's processor time grows."""
        if self.target.observe().state != "running" or self.source.observe().state == "running" or self.target.has_block_jobs():
            return False
        before = self.target.cpu_time()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.target.cpu_time() > before:
                return True
            time.sleep(0.1)
        return False

    def _flip_owner(self, journal: Journal) -> None:
        owner = Owner(journal.target, journal.epoch)
        kept = [disk["source_path"] for disk in journal.disks.values()]
        self.source_side.registry.claim(self.source.uuid, owner, kept, resume=True)
        self.target_side.registry.claim(self.target.uuid, owner, list(journal.volumes.values()), resume=True)
        for end in (self.target, self.source):
            end.write_metadata("owner", owner.to_dict())
        self.target.set_autostart(journal.autostart)
        self.source_side.registry.unfence(self.source.uuid)
        self.target_side.registry.revoke(self.target.uuid)
        self.snapshots.put_back()
        # Last, for a run that finds it completed does nothing more.
        for end in (self.source, self.target):
            end.write_metadata("migration", journal.to_dict())
        self._end_event()
        self.store.save(self.bulk)

    def settle(self, journal: Journal) -> Journal | None:
        """Bring an unfinished migration to its end, whoever began it and whatever died: None when it was taken back.

        :raises MigrationFailed: an end does not answer, or a person must decide
        """
        self._take_up(journal)
        decision = self._await_decision()
        if decision == COMMIT:
            self._resume(journal)
            return self._committed(journal, 0.0)
        if decision == RESTART:
            # It had come over and may have written here; what the source has is older.
            self.target_side.registry.claim(
                self.target.uuid, Owner(journal.target, journal.epoch), list(journal.volumes.values()), resume=True
            )
            self.target.write_metadata("owner", Owner(journal.target, journal.epoch).to_dict())
            self.target_side.power.start()
            decision = SETTLED
        if decision == SETTLED:
            done = journal.moved_to(journals.COMPLETED)
            self._flip_owner(done)
            return done
        if decision == ROLL_BACK:
            self.roll_back(journal)
            return None
        raise self._undecided(journal, "bring both hypervisors back and run this again; nothing was touched")

    def _take_up(self, journal: Journal) -> None:
        known = self.store.load(journal.id)
        self.bulk = known or Bulk(journal.id, journal.source, journal.source, journal.target)
        self.bulk.runs += 1

    def _undecided(self, journal: Journal, remedy: str) -> MigrationFailed:
        source, target = self.source.observe(), self.target.observe()
        return MigrationFailed(f"source {journal.source} reads {source} and target {journal.target} reads {target}", remedy=remedy)

    def _await_decision(self) -> str:
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            source, target = self.source.observe(), self.target.observe()
            decision = decide(source, target, resumed=self.bulk.resumed)
            if decision != WAIT:
                return decision
            if time.monotonic() > deadline:
                if not (source.stuck and target.state == "absent"):
                    return decision
                self._free()
                deadline = time.monotonic() + SETTLE_SECONDS
            self.report("settling", {})
            time.sleep(1)

    def _free(self) -> None:
        """Cut the power of a source whose QEMU waits for what is gone and hears nobody: its guest stands still for good.

        QEMU does so when the target dies while it opens the disk's stream there. Its disks have every write that was acknowledged.
        """
        if not self.policy.force_off:
            raise MigrationFailed(
                f"the VM stands still at {self.source.hypervisor}: its QEMU waits for a target that is gone and answers nothing",
                option="force_off",
                value=False,
                remedy="run it again with force_off: true, which cuts its power and starts it there anew",
            )
        self.report("cutting its power", {})
        self.source_side.power.cut()

    def abort(self, journal: Journal) -> None:
        """Stop the running job, if any, and take everything back. MigrationFailed when it has been committed already."""
        self._take_up(journal)
        if self.source.observe().busy:
            self.source.abort_job()
        decision = self._await_decision()
        if decision == ROLL_BACK:
            self.roll_back(journal)
        elif decision in (COMMIT, SETTLED, RESTART):
            raise MigrationFailed(
                f"all of the VM is at {journal.target} already and its source copy has stopped",
                remedy="finish with state: completed, then migrate it back",
            )
        else:
            raise self._undecided(
                journal, "only a source that can run on can be gone back to; migrate back instead, or bring both ends up"
            )

    def roll_back(self, journal: Journal) -> None:
        """The source runs on; what this migration made at the target goes, and nothing else."""
        self.target.remove()
        for path in journal.volumes.values():
            volumes.delete_volume(self.target.connection, path)
        remove_media(journal.media)
        self.source_side.registry.unfence(self.source.uuid)
        self.target_side.registry.revoke(self.target.uuid)
        state = self.source.observe().state
        if state == "paused":
            self.source.resume()
        elif state in ("stopped", "crashed") and journal.running:
            # Its QEMU died, or all of its memory was lost with the target: its disks have every write.
            self.source_side.power.start()
        self.snapshots.put_back()
        self.source.set_autostart(journal.autostart)
        self.source.write_metadata("migration", None)
        self.store.remove()
        self.report("aborted", {})
