# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cutover of a warm or cold migration: stop, last delta, commit, start, sign of life; or all of it taken back.

The commit is one step: the epoch after the source's is claimed in the source's registry, where only one migration can win it.
Before it, everything goes back to the source. After it, the target's copy counts; it goes back only as long as its guest
has written nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

from ..backends.libvirt.migration_end import MigrationEnd
from ..backends.libvirt.power import Power, Stopping
from ..backends.libvirt.registry import Registry
from ..errors import FederationError, MigrationFailed
from ..model import Observed, Owner
from . import journal as journals
from .copying import Copying
from .journal import Journal
from .replicate import Replication

_LOOK = 0.2
_RECALL_SECONDS = 20.0


@dataclass(frozen=True)
class Cutting:
    """How: the guest's stop, the last copy, and how long to wait for a sign of life (seconds; 0: not)."""

    stopping: Stopping
    copying: Copying
    life_timeout: float = 120


@dataclass(frozen=True)
class Side:
    """One end: what it shows, who it says owns the VM, and its switch."""

    end: MigrationEnd

    @property
    def registry(self) -> Registry:
        """On the connection of now: a daemon may have been restarted."""
        return Registry(self.end.connection, self.end.hypervisor)

    @property
    def power(self) -> Power:
        return Power(self.end)


class Cutover:
    """From a VM at the source to the same VM at the target.

    :param define_target: defines the VM at the target, from the source's persistent XML, owned by the source still
    :param seconds_left: until the window closes; None without an end
    """

    def __init__(
        self,
        source: Side,
        target: Side,
        replication: Replication,
        how: Cutting,
        define_target: Callable[[Journal], None],
        seconds_left: Callable[[], float | None],
    ) -> None:
        self.source = source
        self.target = target
        self.replication = replication
        self.how = how
        self.define_target = define_target
        self.seconds_left = seconds_left

    def is_committed(self, journal: Journal) -> bool:
        """Whether the target's copy counts already, as the source's registry says."""
        entry = self.source.registry.entry(self.source.end.uuid)
        return entry is not None and entry.owner == Owner(journal.target, journal.epoch)

    def run(self, journal: Journal) -> Journal:
        """The journal, completed; a failure before the commit has taken everything back when it is raised."""
        self._finish_giving_back(journal)
        if not self.is_committed(journal):
            try:
                journal = self._switch(journal)
                self._commit(journal)
            except FederationError as error:
                raise self._taken_back(journal, error) from error
        return self._finish(journal)

    def _switch(self, journal: Journal) -> Journal:
        """Stop the guest and copy what is left."""
        uuid = self.source.end.uuid
        observed = self.source.end.observe()
        if journal.phase != journals.SWITCHING:
            journal = journal.moved_to(journals.SWITCHING, running=self._was_running(journal, observed), stopped_at=time.time())
            self.source.end.write_metadata("migration", journal.to_dict())
        self.source.registry.fence(uuid, journal.id, journal.target)
        if observed.state == "running":
            self.replication.begin_event("stopping")
            self.source.power.stop(self.how.stopping)
        self.source.registry.permit(uuid, journal.id)
        try:
            self.source.power.hold()
        finally:
            self.source.registry.revoke(uuid)
        self._must_be_held(journal)
        self.replication.round(self._in_time(), last=bool(self.replication.bulk.base))
        self.replication.begin_event("switch")
        self.define_target(journal)
        return journal

    @staticmethod
    def _was_running(journal: Journal, observed: Observed) -> bool:
        """It runs, or it would if its QEMU had not died or an earlier try had not asked its guest to shut down."""
        return observed.state == "running" or observed.died or (journal.running and journal.stopped_at > 0)

    def _in_time(self) -> Copying:
        left = self.seconds_left()
        if left is None:
            return self.how.copying
        if left <= 0:
            raise MigrationFailed("the window closed before the last delta", option="not_after", remedy="choose a longer window")
        timeout = min(left, self.how.copying.timeout or left)
        how = self.how.copying
        return Copying(how.connections, how.bandwidth, how.stall_timeout, timeout)

    def _must_be_held(self, journal: Journal) -> None:
        """A person may have started or resumed it; what it wrote then is not at the target."""
        if self.source.end.observe().state != "paused" or self.source.power.has_written():
            raise MigrationFailed(f"the VM was let run at {journal.source} during its cutover", remedy="run it again")

    def _commit(self, journal: Journal) -> None:
        left = self.seconds_left()
        if left is not None and left <= 0:
            raise MigrationFailed("the window closed during the cutover", option="not_after", remedy="choose a longer window")
        self._must_be_held(journal)
        disks = [disk.path for disk in self.replication.disks]
        self.source.registry.claim(self.source.end.uuid, Owner(journal.target, journal.epoch), disks, resume=True)

    def _finish(self, journal: Journal) -> Journal:
        """After the commit: the source's held VM ends, the target's starts and shows that it lives."""
        owner = Owner(journal.target, journal.epoch)
        self.replication.backup.delete_checkpoints()
        self.source.power.release_held()
        self.source.end.set_autostart(False)
        if self.target.end.find() is None:
            self.define_target(journal)
        self.target.registry.claim(self.target.end.uuid, owner, list(journal.volumes.values()), resume=True)
        self.target.end.write_metadata("owner", owner.to_dict())
        if journal.running:
            self.replication.begin_event("start")
            try:
                self.target.power.start()
                life = self._await_life()
            except FederationError as error:
                raise self._given_back(journal, error) from error
        else:
            life = "the VM was off and stays off"
        return self._completed(journal, life)

    def _await_life(self) -> str:
        """What the guest did; MigrationFailed when it did nothing in time."""
        self.replication.begin_event("sign of life")
        deadline = time.monotonic() + self.how.life_timeout
        while True:
            state = self.target.end.observe().state
            if state == "running" and (not self.how.life_timeout or (life := self.target.power.sign_of_life())):
                return life if self.how.life_timeout else "not waited for"
            if state not in ("running", "paused") or time.monotonic() > deadline:
                raise MigrationFailed(
                    f"the guest gave no sign of life within {self.how.life_timeout:g} s at {self.target.end.hypervisor} (it reads {state})",
                    option="life_timeout",
                    value=self.how.life_timeout,
                    remedy="look at its console there, or allow it more time",
                )
            time.sleep(_LOOK)

    def _completed(self, journal: Journal, life: str) -> Journal:
        ended = time.time()
        figures = {
            "total_ms": round((ended - journals.begun(journal)) * 1000),
            "downtime_ms": round((ended - journal.stopped_at) * 1000) if journal.running else 0,
            "bytes": sum(entry["bytes"] for entry in self.replication.bulk.rounds),
            "rounds": len(self.replication.bulk.rounds),
            "verified": all(not disk.pending for disk in self.replication.bulk.disks.values()),
            "sign_of_life": life,
        }
        self.replication.end_event()
        self.replication.store.save(self.replication.bulk)
        done = journal.moved_to(journals.COMPLETED, figures=figures)
        owner = Owner(journal.target, journal.epoch).to_dict()
        self.source.end.write_metadata("owner", owner)
        self.target.end.write_metadata("owner", owner)
        self.target.end.set_autostart(journal.autostart)
        self.source.registry.unfence(self.source.end.uuid)
        # Last, for a run that finds it completed does nothing more.
        for side in (self.source, self.target):
            side.end.write_metadata("migration", done.to_dict())
        return done

    def take_back(self, journal: Journal) -> None:
        """Before the commit: the source as it was, running if it ran; what was copied stays for the next try."""
        self.replication.begin_event("rolled back")
        self.replication.backup.end()
        self.target.end.remove()
        observed = self.source.end.observe()
        if observed.state == "running" and journal.stopped_at:
            # Its guest was asked to shut down, which cannot be recalled: where it does, it is powered on again.
            self.source.power.wait_until_off(min(_RECALL_SECONDS, self.how.stopping.timeout))
            observed = self.source.end.observe()
        if observed.state == "paused" and journal.phase == journals.SWITCHING:
            self.source.power.release_held()
        if journal.phase == journals.SWITCHING:
            self.source.registry.drop_unfilled(self.source.end.uuid)
        self.source.registry.revoke(self.source.end.uuid)
        self.source.registry.unfence(self.source.end.uuid)
        if journal.running and (journal.phase == journals.SWITCHING or journal.stopped_at or observed.died):
            self.source.power.start()
        if journal.phase == journals.SWITCHING:
            self.source.end.write_metadata("migration", journal.moved_to(journals.SYNCED).to_dict())
        self.replication.end_event()
        self.replication.store.save(self.replication.bulk)

    def _taken_back(self, journal: Journal, error: FederationError) -> MigrationFailed:
        try:
            self.take_back(self._latest(journal))
        except FederationError as another:
            return MigrationFailed(
                f"the cutover failed ({error.what}) and could not be taken back yet ({another.what})",
                remedy="run it again, or with state: aborted; no copy runs that should not",
            )
        state = self.source.end.observe().state
        return MigrationFailed(
            f"the cutover failed ({error.what}) and was taken back; the VM is {state} at {journal.source}", remedy=error.remedy
        )

    def _latest(self, journal: Journal) -> Journal:
        read = Journal.from_dict(self.source.end.read_metadata("migration"))
        return read if read is not None and read.id == journal.id else journal

    def _given_back(self, journal: Journal, error: FederationError) -> MigrationFailed:
        """After the commit, while the target's guest has written nothing: the next epoch is the source's again."""
        state = self.target.end.observe().state
        if state == "unreachable" or (state in ("running", "paused") and self.target.power.has_written()):
            return MigrationFailed(
                f"{error.what}, but it wrote to its disk there", remedy="look at it at the target; it stays there"
            )
        self.target.end.remove()
        # The target gives it away first: between the two claims neither may start it.
        owner = Owner(journal.source, journal.epoch + 1)
        self.target.registry.claim(self.target.end.uuid, owner, list(journal.volumes.values()), resume=True)
        self._take_over_again(journal, owner)
        return MigrationFailed(f"{error.what}; the VM was given back to {journal.source} and runs there", remedy=error.remedy)

    def _take_over_again(self, journal: Journal, owner: Owner) -> None:
        paths = [disk.path for disk in self.replication.disks]
        self.source.registry.claim(self.source.end.uuid, owner, paths, resume=True)
        self.source.end.write_metadata("owner", owner.to_dict())
        # Its guest ran at the target, so what the target holds is not relied upon any more.
        self.replication.bulk.base = ""
        self.replication.store.save(self.replication.bulk)
        self.take_back(journal.moved_to(journals.SWITCHING, epoch=owner.epoch + 1))

    def _finish_giving_back(self, journal: Journal) -> None:
        """Where a run died after the target gave the VM away and before the journal says so."""
        given = Owner(journal.source, journal.epoch + 1)
        here = self.source.registry.entry(self.source.end.uuid)
        there = self.target.registry.entry(self.target.end.uuid)
        begun = there is not None and there.owner == given and self.is_committed(journal)
        if begun or (here is not None and here.owner == given):
            self._take_over_again(journal, given)
            raise MigrationFailed(f"the VM was given back to {journal.source} and runs there", remedy="migrate it again")
