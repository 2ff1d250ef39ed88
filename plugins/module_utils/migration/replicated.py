# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Warm and cold migrations: one engine. Warm copies while the VM runs, in rounds; cold has no earlier rounds."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timezone
from typing import Any, Callable

from ..backends.facts import SourceFacts
from ..backends.libvirt import volumes
from ..backends.libvirt.backup import PullBackup
from ..errors import FederationError, MigrationFailed
from ..model import Hypervisor, Owner
from . import journal as journals
from .bulk import Bulk, BulkStore
from .cutover import Cutover, Cutting, Side
from .destination import destination_xml, moved_spec
from .journal import Journal
from .lock import MigrationLock
from .placement_rules import with_leave
from .plan import Plan
from .policy import Policy
from .replicate import Replication, TargetDisk
from .sidecars import carry_media, carry_state, remove_media
from .target_volumes import make_volumes
from .window import Window

Report = Callable[[str, dict[str, Any]], None]
_TICK = 1.0
_SMALL = 1.0  # seconds of last delta that are good enough where no budget was given


class ReplicatedMigration:
    """Both ends and how to go about it. ``facts`` are read anew for each run; the journal says what earlier runs chose."""

    def __init__(
        self,
        source: Side,
        target: Side,
        source_host: Hypervisor,
        policy: Policy,
        window: Window,
        store: BulkStore,
        lock: MigrationLock,
        report: Report,
    ) -> None:
        self.source = source
        self.target = target
        self.source_host = source_host
        self.policy = policy
        self.window = window
        self.store = store
        self.lock = lock
        self.report = report

    def begin(self, plan: Plan, facts: SourceFacts) -> Journal:
        """The journal is at the source before anything is made at the target."""
        journal = Journal(
            id=uuid.uuid4().hex,
            mode=plan.mode,
            reason=plan.reason,
            override=plan.override,
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
            autostart=self.source.end.autostart(),
            running=facts.state == "running",
        )
        self.source.end.write_metadata("migration", journal.to_dict())
        self.report("preparing", {})
        made: dict[str, str] = {}
        try:
            make_volumes(self.target.end.connection, journal.disks, made)
            carry_media(self.source.end, facts, journal.media)
        except FederationError:
            for path in made.values():
                volumes.delete_volume(self.target.end.connection, path)
            remove_media(journal.media)
            self.source.end.write_metadata("migration", None)
            raise
        fresh = all(not path.startswith("/dev/") for path in made.values())
        self.store.save(Bulk(journal.id, facts.vm.name, plan.source, plan.target, fresh=fresh))
        return journal

    def _replication(self, journal: Journal, facts: SourceFacts) -> Replication:
        bulk = self.store.load(journal.id)
        if bulk is None:
            # The target forgot: it is copied as a whole again, into volumes that may hold anything.
            bulk = Bulk(journal.id, facts.vm.name, journal.source, journal.target)
            bulk.warnings.append(f"{journal.target} had no record of what was copied; everything is copied again")
            connection = self.target.end.connection
            there = {name: volumes.find_volume(connection, disk["pool"], disk["volume"]) for name, disk in journal.disks.items()}
            make_volumes(connection, {name: disk for name, disk in journal.disks.items() if there[name] is None}, {})
        bulk.runs += 1
        return Replication(
            PullBackup(self.source.end, self.source_host.address, self.policy.backup_ports, journal.id),
            self.store,
            bulk,
            facts.disks,
            {name: TargetDisk(disk["path"], disk["format"]) for name, disk in journal.disks.items()},
            self.report,
            self.lock.asked_to_stop,
        )

    def _cutover(self, journal: Journal, facts: SourceFacts, replication: Replication) -> Cutover:
        how = Cutting(self.policy.stopping(), self.policy.copying(), self.policy.life_timeout)
        return Cutover(
            self.source,
            self.target,
            replication,
            how,
            lambda current: self._define(current, facts),
            lambda: self.window.seconds_left(datetime.now(timezone.utc)),
        )

    def _define(self, journal: Journal, facts: SourceFacts) -> None:
        carry_state(self.source.end, facts)
        xml = destination_xml(
            self.source.end.xml(persistent=True),
            disks=journal.volumes,
            formats={name: disk["format"] for name, disk in journal.disks.items()},
            networks=journal.networks,
            media=journal.media,
            macs=journal.macs,
            owner=Owner(journal.source, journal.epoch - 1).to_dict(),
            journal=journal.to_dict(),
            vm=moved_spec(with_leave(facts.vm, journal.target, journal.override), journal.disks, journal.macs),
        )
        self.target.end.define(xml)

    def sync(self, journal: Journal, facts: SourceFacts) -> Journal:
        """One round, or rounds until the window opens; the journal, synced."""
        replication = self._replication(journal, facts)
        if journal.phase == journals.SWITCHING:
            cutover = self._cutover(journal, facts, replication)
            if cutover.is_committed(journal):
                return cutover.run(journal)
            cutover.take_back(journal)
            journal = journal.moved_to(journals.SYNCED)
        return self._rounds_until_open(journal, replication)

    def _rounds_until_open(self, journal: Journal, replication: Replication) -> Journal:
        while True:
            replication.round(self.policy.copying())
            if journal.phase != journals.SYNCED or journal.stopped_at:
                journal = journal.moved_to(journals.SYNCED, stopped_at=0.0)
                self.source.end.write_metadata("migration", journal.to_dict())
            if not self._wait(min(self.policy.sync_interval, self._until_open())):
                return journal

    def _until_open(self) -> float:
        seconds: float = self.window.seconds_until_open(datetime.now(timezone.utc))
        return seconds

    def _wait(self, seconds: float) -> bool:
        """Whether there was anything to wait for; a person may ask to stop meanwhile."""
        if self._until_open() <= 0:
            return False
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if self.lock.asked_to_stop():
                raise MigrationFailed("the migration was asked to stop", remedy="the VM stays at the source")
            self.report("waiting", {"waiting_for": f"window opens in {self._until_open():.0f} s"})
            time.sleep(min(_TICK, max(0.0, ends - time.monotonic())))
        return True

    def complete(self, journal: Journal, facts: SourceFacts) -> Journal:
        """Warm: rounds until the last delta is small; then, in the window and the budget, the cutover."""
        replication = self._replication(journal, facts)
        cutover = self._cutover(journal, facts, replication)
        running = self.source.end.observe().state == "running"
        if running and journal.mode == "warm" and not cutover.is_committed(journal):
            journal = self._until_small(self._rounds_until_open(journal, replication), replication)
        return cutover.run(journal)

    def _until_small(self, journal: Journal, replication: Replication) -> Journal:
        """More rounds as long as they help and the budget asks for them; MigrationFailed when it cannot be kept."""
        budget = self.policy.downtime_budget
        delta, seconds, previous = 0.0, 0.0, float("inf")
        for _round in range(self.policy.rounds):
            # The first round says nothing about what the guest writes.
            if len(replication.bulk.rounds) > 1:
                delta, rate = replication.predicted()
                seconds = delta / rate if rate else 0.0
                if seconds <= (_SMALL if budget is None else budget):
                    return journal
                if budget is None and delta > previous / 2:
                    return journal
                previous = delta
            replication.round(self.policy.copying())
        if budget is None:
            return journal
        raise MigrationFailed(
            f"the last delta is predicted to take {seconds:.1f} s for {delta / 2**20:.1f} MiB",
            option="downtime_budget",
            value=budget,
            remedy="allow more, give more bandwidth, or wait for a quieter time; the VM runs on and what was copied stays",
        )

    def abort(self, journal: Journal, facts: SourceFacts) -> None:
        """The source as it was before, and nothing left of the migration anywhere. MigrationFailed once it is committed."""
        replication = self._replication(journal, facts)
        cutover = self._cutover(journal, facts, replication)
        if cutover.is_committed(journal):
            raise MigrationFailed(
                f"{journal.target} owns the VM already", remedy="finish with state: completed, then migrate it back"
            )
        cutover.take_back(journal)
        self._delete_marks(journal, replication)
        replication.backup.delete_scratch(facts.disks)
        for path in journal.volumes.values():
            volumes.delete_volume(self.target.end.connection, path)
        remove_media(journal.media)
        self.target.registry.let_disks_go(self.target.end.uuid)
        self.source.end.write_metadata("migration", None)
        self.store.remove()

    def _delete_marks(self, journal: Journal, replication: Replication) -> None:
        """Bitmaps can only be deleted while the VM is active, so one that is off is held for a moment."""
        if not replication.backup.checkpoints():
            return
        off = self.source.end.observe().state in ("stopped", "crashed")
        if off:
            self.source.power.hold()
        try:
            replication.backup.delete_checkpoints()
        finally:
            if off:
                self.source.power.release_held()
