# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disks of a live migration, read at both ends and compared, while the guest runs on.

QEMU mirrors the disks of a live migration by itself, so nobody has digests of what was read. Before the VM that arrived is let run, a
pull-mode backup freezes a view of its disks at the target. The source's kept copy has not changed since; it is held paused, as in a
cutover, and served in the same way. Both are read and compared. The guest notices the moment in which its disks are frozen.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

from ..backends.facts import DiskFacts
from ..backends.libvirt.backup import Export, PullBackup
from ..backends.nbd import open_export
from ..errors import FederationError
from ..extents import merged, pieces, size
from ..model import Hypervisor, Owner
from .copying import PIECE, Throttle
from .cutover import Side
from .journal import Journal
from .policy import Policy

Report = Callable[[str, dict[str, Any]], None]
_MIB = 2**20


@dataclass(frozen=True)
class Frozen:
    """The target's disks as they arrived; ``export`` is None where ``reason`` kept them from being frozen."""

    export: Export | None = None
    reason: str = ""


class Comparison:
    """Both ends, and the hypervisors by whose addresses they serve their disks."""

    def __init__(
        self, source: Side, target: Side, source_host: Hypervisor, target_host: Hypervisor, policy: Policy, report: Report
    ) -> None:
        self._source = source
        self._target = target
        self._hosts = source_host, target_host
        self._policy = policy
        self._report = report
        self._throttle = Throttle(policy.bandwidth * _MIB)

    def _backups(self, journal: Journal) -> tuple[PullBackup, PullBackup]:
        ends = self._source.end, self._target.end
        source, target = (
            PullBackup(end, host.address, self._policy.backup_ports, journal.id) for end, host in zip(ends, self._hosts)
        )
        return source, target

    def freeze(self, journal: Journal) -> Frozen:
        """A view of the arrived VM's disks, which stays as it is. The VM must be paused still."""
        try:
            return Frozen(self._backups(journal)[1].begin(_target_disks(journal)))
        except FederationError as error:
            return Frozen(reason=error.what)

    def run(self, journal: Journal, frozen: Frozen) -> dict[str, Any]:
        """``{compared_bytes, compared_extents, differing_extents, not_compared}``: the last says why they could not be, or is empty."""
        seen: dict[str, Any] = {"compared_bytes": 0, "compared_extents": 0, "differing_extents": 0, "not_compared": frozen.reason}
        if frozen.export is None:
            return seen
        try:
            held = self._hold(journal)
            for name, _disk in journal.disks.items():
                self._compare(name, held, frozen.export, seen)
        except FederationError as error:
            seen["not_compared"] = error.what
        finally:
            self.end(journal)
        return seen

    def _hold(self, journal: Journal) -> Export:
        """The kept copy, started paused by a permit for this one start, and served."""
        uuid = self._source.end.uuid
        self._source.registry.permit(uuid, journal.id)
        try:
            self._source.power.hold()
        finally:
            self._source.registry.revoke(uuid)
        return self._backups(journal)[0].begin(_source_disks(journal))

    def _compare(self, name: str, held: Export, arrived: Export, seen: dict[str, Any]) -> None:
        views = (contextlib.closing(open_export(export.address, export.port, name)) for export in (held, arrived))
        with next(views) as source, next(views) as target:
            ranges = merged([*source.data(), *target.data()])
            total, buffers = size(ranges), [memoryview(bytearray(PIECE)) for _end in range(2)]
            for offset, length in pieces(ranges, PIECE):
                self._throttle.take(length)
                read = [end.parts(offset, buffer[:length]) for end, buffer in zip((source, target), buffers)]
                digests = [_digest(parts) for parts in read]
                seen["compared_bytes"] += length
                seen["compared_extents"] += 1
                seen["differing_extents"] += digests[0] != digests[1]
                self._report("comparing", {"bytes": seen["compared_bytes"], "total_bytes": max(total, seen["compared_bytes"])})

    def tidy(self, journal: Journal) -> None:
        """End what a comparison left that was cut off: the target owns the VM, so the held copy at the source is nobody's."""
        entry = self._source.registry.entry(self._source.end.uuid)
        there = Journal.from_dict(self._target.end.read_metadata("migration"))
        # The VM may be on its way from the target to elsewhere, by a backup of that migration.
        is_latest = there is not None and there.id == journal.id
        if is_latest and entry is not None and entry.owner == Owner(journal.target, journal.epoch):
            self.end(journal)

    def end(self, journal: Journal) -> None:
        """Nothing is served any more and the source's copy is off again, whoever began; an end that does not answer is left to the next run."""
        source, target = self._backups(journal)
        kept, arrived = _source_disks(journal), _target_disks(journal)
        for work in (
            source.end,
            self._source.power.release_held,
            target.end,
            lambda: source.delete_scratch(kept),
            lambda: target.delete_scratch(arrived),
        ):
            with contextlib.suppress(FederationError):
                work()


def _source_disks(journal: Journal) -> list[DiskFacts]:
    return [
        DiskFacts(name, disk["source_path"], disk["source_format"], disk["capacity"], 0) for name, disk in journal.disks.items()
    ]


def _target_disks(journal: Journal) -> list[DiskFacts]:
    return [DiskFacts(name, disk["path"], disk["format"], disk["capacity"], 0) for name, disk in journal.disks.items()]


def _digest(parts: Iterator[memoryview]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
