# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disks of a bundle, copied into volumes; every byte of the bundle is checked meanwhile, and every extent read back after.

What is on the volumes is written down as it gets there, so that an import that was cut off goes on where it was.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from .. import extents
from ..backends.libvirt import volumes
from ..backends.libvirt.new_disks import NewDisk
from ..backends.volume_server import VolumeServer, Window
from ..errors import FederationError, InputError, MigrationFailed
from ..extents import Ranges
from ..migration.bulk import Bulk, BulkStore, DiskProgress
from ..migration.copying import Copier, Copying, DiskJob
from ..migration.verify import Verifier
from .manifest import File
from .reading import Bundle, check_digest

Report = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Volume:
    """Where a disk goes."""

    pool: str
    name: str
    format: str
    size: int
    path: str

    @classmethod
    def planned(cls, new: NewDisk, folder: str) -> Volume:
        return cls(new.pool, new.volume, new.disk.format, new.disk.size, f"{folder}/{new.volume}")


class Restoring:
    """One import's copy.

    :param store: where its progress is; ``volumes`` by device
    """

    def __init__(self, bundle: Bundle, store: BulkStore, connection: Any, report: Report, connections: int) -> None:
        self._bundle = bundle
        self._store = store
        self._connection = connection
        self._report = report
        self._connections = connections
        self._fault: list[Exception] = []
        self.copied_bytes = 0

    def begin(self, vm: str, hypervisor: str, targets: Mapping[str, Volume]) -> Bulk:
        """Write down what will be made, then make it; on the second run only what is not there yet."""
        plan = {name: vars(volume) for name, volume in targets.items()}
        bulk = self._store.load(self._bundle.manifest.id)
        if bulk is None:
            bulk = Bulk(self._bundle.manifest.id, vm, "", hypervisor, fresh=True, events=[{"volumes": plan}])
            bulk.disks = {name: DiskProgress(pending=[(0, volume.size)]) for name, volume in targets.items()}
            self._store.save(bulk)
        elif bulk.events[0]["volumes"] != plan:
            raise InputError(
                "was begun with other options, and was cut off",
                option="path",
                value=str(self._store.folder),
                remedy="import it with the same storage and formats as before",
            )
        else:
            bulk.runs += 1
        for name, volume in targets.items():
            if volumes.find_volume(self._connection, volume.pool, volume.name) is None:
                volumes.create_volume(self._connection, volume.pool, volume.name, volume.size, volume.format)
                if bulk.runs and bulk.disks[name].pending != [(0, volume.size)]:
                    raise MigrationFailed(f"the volume {volume.path} went away in the middle of the import", remedy="run it again")
        return bulk

    def run(self, bulk: Bulk, targets: Mapping[str, Volume]) -> None:
        """Copy, check and read back; InputError when the bundle is not as it was exported."""
        checker = threading.Thread(target=self._check_digests, daemon=True)
        checker.start()
        try:
            self._copy(bulk, targets)
        except FederationError:
            # A copy that was stopped for a wrong digest is told by that.
            if not self._fault:
                raise
        finally:
            checker.join()
        if self._fault:
            raise self._fault[0]

    def _check_digests(self) -> None:
        try:
            for file in self._bundle.manifest.files:
                check_digest(file, self._bundle.place(file))
        except Exception as error:
            self._fault.append(error)

    def _copy(self, bulk: Bulk, targets: Mapping[str, Volume]) -> None:
        with contextlib.ExitStack() as stack:
            sources = {name: stack.enter_context(self._source(self._bundle.manifest.disk(name))) for name in targets}
            servers = {name: stack.enter_context(VolumeServer(volume.path, volume.format)) for name, volume in targets.items()}
            data = {name: _data(server) for name, server in sources.items()}
            jobs = [self._job(name, bulk, sources[name], servers[name], data[name]) for name in targets]
            how = Copying(connections=self._connections, stall_timeout=0)
            copier = Copier(jobs, how, self._store.record, lambda seen: self._report("copying", seen), lambda: bool(self._fault))
            copier.run()
            self.copied_bytes = copier.sent_bytes
            if not self._fault:
                self._read_back(servers, sum(extents.size(ranges) for ranges in data.values()))

    def _source(self, file: File) -> VolumeServer:
        place = self._bundle.place(file)
        return VolumeServer(place.path, file.format, read_only=True, window=Window(place.offset, place.size))

    def _job(self, name: str, bulk: Bulk, source: VolumeServer, target: VolumeServer, data: Ranges) -> DiskJob:
        pending = bulk.disks[name].pending
        zero = [] if not bulk.runs else extents.subtracted(pending, data)
        return DiskJob(name, extents.common(pending, data), zero, source.connect, target.connect)

    def _read_back(self, servers: Mapping[str, VolumeServer], total: int) -> None:
        held: dict[str, Ranges] = {}
        for name, server in servers.items():
            server.forget_cache()
            held[name] = _data(server)
        verifier = Verifier({name: server.connect for name, server in servers.items()}, held, self._connections)
        bad = verifier.differing(self._store.copied(), total, lambda seen: self._report("verifying", seen))
        if bad:
            raise MigrationFailed(
                f"{len(bad)} extent(s) of the volumes do not hold what the bundle has, the first on {bad[0].disk} at {bad[0].offset}",
                remedy="look after the pool's disk, then import again",
            )


def _data(server: VolumeServer) -> Ranges:
    with contextlib.closing(server.connect()) as connection:
        return extents.merged(connection.data())
