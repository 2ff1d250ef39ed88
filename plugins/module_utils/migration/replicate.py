# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rounds of copying: all of the disks once, and then only what was written since, each extent compared after.

What is still to copy is on the target's disk before a byte of it is sent, so that a round that was cut off goes on where it was:
the next one copies what is left and what was written since.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .. import extents
from ..backends.facts import DiskFacts
from ..backends.libvirt.backup import Export, PullBackup
from ..backends.nbd import open_export
from ..backends.volume_server import VolumeServer
from ..errors import BackendError, FederationError, MigrationFailed
from ..extents import Ranges
from .bulk import Bulk, BulkStore, Copied, DiskProgress
from .copying import Copier, Copying, DiskJob
from .verify import Verifier

Report = Callable[[str, dict[str, Any]], None]
FULL, DELTA, LAST = "full", "delta", "last"


@dataclass(frozen=True)
class TargetDisk:
    """Where a disk goes: the volume's path and format at the target."""

    path: str
    format: str


class Replication:
    """The rounds of one migration.

    :param disks: the source's disks, in the VM's order; ``targets`` by their names
    :param stopped: tells whether a person asked this run to stop
    """

    def __init__(
        self,
        backup: PullBackup,
        store: BulkStore,
        bulk: Bulk,
        disks: Sequence[DiskFacts],
        targets: dict[str, TargetDisk],
        report: Report,
        stopped: Callable[[], bool],
    ) -> None:
        self.backup = backup
        self.store = store
        self.bulk = bulk
        self.disks = disks
        self.targets = targets
        self.report = report
        self.stopped = stopped

    @property
    def can_mark(self) -> bool:
        """Whether checkpoints can be had: raw disks hold no bitmaps."""
        return all(disk.format == "qcow2" for disk in self.disks)

    def round(self, how: Copying, *, last: bool = False) -> dict[str, Any]:
        """One round; its record, as the report shows it. The VM must be active at the source, and in the last round held paused."""
        self.backup.end()
        since, reason = self._since()
        checkpoint = "" if last or not self.can_mark else self.backup.next_checkpoint()
        began = time.time()
        try:
            export, since, reason = self._begin(since, reason, checkpoint)
            record = {
                "round": len(self.bulk.rounds),
                "kind": FULL if not since else LAST if last else DELTA,
                "reason": reason,
                "began": began,
            }
            self.report(_phase(record), {})
            record.update(self._carry_out(export, since, checkpoint, how, record))
        finally:
            # A source that does not answer keeps its job until the next run ends it.
            with contextlib.suppress(FederationError):
                self.backup.end()
        self.bulk.rounds.append({**record, "seconds": round(time.time() - began, 3)})
        self.store.save(self.bulk)
        if checkpoint:
            self.backup.delete_checkpoints(but=self.bulk.base)
        return self.bulk.rounds[-1]

    def _since(self) -> tuple[str, str]:
        """The checkpoint to count from, or an empty string and why everything must be copied."""
        base = self.bulk.base
        if not base:
            return "", "the first round" if not self.bulk.rounds else "there is no checkpoint to count from"
        fault = self.backup.fault(base)
        return ("", f"checkpoint {base} is broken ({fault})") if fault else (base, "")

    def _begin(self, since: str, reason: str, checkpoint: str) -> tuple[Export, str, str]:
        if since:
            try:
                return self.backup.begin(self.disks, since=since, checkpoint=checkpoint), since, reason
            except BackendError as error:
                reason = f"checkpoint {since} is broken ({error.what})"
        if self.bulk.base:
            self.bulk.warnings.append(f"{reason}; everything is copied again")
            self.bulk.base = ""
            self.backup.delete_checkpoints()
        return self.backup.begin(self.disks, checkpoint=checkpoint), "", reason

    def _carry_out(self, export: Export, since: str, checkpoint: str, how: Copying, record: dict[str, Any]) -> dict[str, Any]:
        with contextlib.ExitStack() as stack:
            servers = {
                disk.name: stack.enter_context(VolumeServer(self.targets[disk.name].path, self.targets[disk.name].format))
                for disk in self.disks
            }
            data = self._look(export, since, checkpoint)
            self._event(_phase(record))
            figures = self._copy(export, servers, data, how, record)
            self._event("verify", bytes=figures["bytes"])
            self.report("verifying", {})
            figures["verify_seconds"] = self._verify(servers, how, figures["extent_bytes"])
        for disk in self.bulk.disks.values():
            disk.pending = []
        self.end_event()
        return figures

    def _look(self, export: Export, since: str, checkpoint: str) -> dict[str, Ranges]:
        """What is to be copied is put down first; what of each disk holds data is returned."""
        data: dict[str, Ranges] = {}
        for disk in self.disks:
            with contextlib.closing(open_export(export.address, export.port, disk.name, bitmap=export.bitmap)) as connection:
                data[disk.name] = extents.merged(connection.data())
                known = self.bulk.disks.setdefault(disk.name, DiskProgress())
                if since:
                    known.pending = extents.merged([*known.pending, *connection.dirty(export.bitmap)])
                else:
                    known.pending = [(0, connection.size)]
        self.bulk.base = checkpoint or self.bulk.base
        first = self.bulk.fresh
        self.bulk.fresh = False
        self.store.save(self.bulk)
        self.bulk.fresh = first
        return data

    def _copy(
        self, export: Export, servers: dict[str, VolumeServer], data: dict[str, Ranges], how: Copying, record: dict[str, Any]
    ) -> dict[str, Any]:
        jobs = [self._job(disk.name, export, servers[disk.name], data[disk.name]) for disk in self.disks]
        self.bulk.fresh = False
        dirty = sum(extents.size(disk.pending) for disk in self.bulk.disks.values())
        phase, known = _phase(record), {"round": record["round"]}
        if record["kind"] != FULL and self.bulk.rounds:
            known["dirty_bytes_per_second"] = round(dirty / max(0.1, record["began"] - self.bulk.rounds[-1]["began"]))
        copier = Copier(jobs, how, self.store.record, lambda progress: self.report(phase, {**known, **progress}), self.stopped)
        begun = time.monotonic()
        copier.run()
        seconds = time.monotonic() - begun
        rate = copier.sent_bytes / seconds if seconds > 0 else 0.0
        # A few bytes tell nothing about a link.
        if copier.sent_bytes >= 4 * 2**20 or not self.bulk.rate:
            self.bulk.rate = rate
        return {
            "dirty_bytes": dirty,
            "bytes": copier.sent_bytes,
            "bytes_per_second": int(rate),
            "copy_seconds": round(seconds, 3),
            "extents": copier.extents,
            "zero_bytes": copier.zero_bytes,
            "extent_bytes": copier.sent_bytes,
        }

    def _job(self, name: str, export: Export, server: VolumeServer, data: Ranges) -> DiskJob:
        pending = self.bulk.disks[name].pending
        return DiskJob(
            name=name,
            data=extents.common(pending, data),
            zero=[] if self.bulk.fresh else extents.subtracted(pending, data),
            open_reader=lambda: open_export(export.address, export.port, name),
            open_writer=server.connect,
        )

    def _verify(self, servers: dict[str, VolumeServer], how: Copying, total: int) -> float:
        """Seconds it took; MigrationFailed when the target's disk holds anything else than what was read."""
        begun = time.monotonic()
        held: dict[str, Ranges] = {}
        for name, server in servers.items():
            server.forget_cache()
            with contextlib.closing(server.connect()) as connection:
                held[name] = extents.merged(connection.data())
        verifier = Verifier({name: server.connect for name, server in servers.items()}, held, how.connections)
        bad = verifier.differing(self.store.copied(), total, lambda progress: self.report("verifying", progress))
        if bad:
            self._copy_again(bad)
        for name, disk in self.bulk.disks.items():
            disk.verified += verifier.verified_bytes[name]
            disk.extents += verifier.extents[name]
        return round(time.monotonic() - begun, 3)

    def _copy_again(self, bad: list[Copied]) -> None:
        for name, disk in self.bulk.disks.items():
            disk.pending = extents.merged((one.offset, one.length) for one in bad if one.disk == name)
        self.store.save(self.bulk)
        first = bad[0]
        raise MigrationFailed(
            f"{len(bad)} extent(s) at the target do not hold what was read at the source, the first on {first.disk} at {first.offset}",
            remedy="look after the target's disk, then run it again: they are copied anew",
        )

    def predicted(self) -> tuple[float, float]:
        """Bytes that a last round would copy now, and bytes/s that it would have, both as measured in the rounds before."""
        rounds = [entry for entry in self.bulk.rounds if entry["kind"] != LAST]
        if not rounds:
            return 0.0, self.bulk.rate
        latest = rounds[-1]
        if len(rounds) == 1:
            return 0.0, self.bulk.rate
        apart = max(0.1, latest["began"] - rounds[-2]["began"])
        dirty_rate = latest["dirty_bytes"] / apart
        return dirty_rate * max(latest["seconds"], time.time() - latest["began"]), self.bulk.rate

    def _event(self, phase: str, **more: Any) -> None:
        self.end_event()
        self.bulk.events.append({"phase": phase, "began": time.time(), "ended": None, **more})

    def begin_event(self, phase: str, **more: Any) -> None:
        """A new phase of the report's timeline; the one before it ends."""
        self._event(phase, **more)
        self.report(phase, {})

    def end_event(self) -> None:
        if self.bulk.events and self.bulk.events[-1]["ended"] is None:
            self.bulk.events[-1]["ended"] = time.time()


def _phase(record: dict[str, Any]) -> str:
    if record["kind"] == LAST:
        return "last delta"
    return "seed" if record["kind"] == FULL else f"round {record['round']}"
