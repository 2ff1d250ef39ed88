# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disks of a VM, all of them as they were at the same instant, ready to be read; the VM runs on, or cannot be started meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType

from ..backends.facts import DiskFacts, SourceFacts
from ..backends.image_lock import kept_still
from ..backends.image_map import open_image
from ..backends.libvirt.backup import LocalBackup
from ..backends.libvirt.freeze import frozen
from ..backends.libvirt.migration_end import MigrationEnd
from ..backends.nbd import open_socket
from ..backends.volume_server import VolumeServer
from ..errors import InputError
from .imaging import Reader
from .manifest import AGENT_FROZEN, CRASH_CONSISTENT, OFF, Consistency

_RUNS = ("running", "paused")


class DiskSource:
    """A context in which the disks stand still for a reader. ``consistency`` says how they were taken.

    :param uri: libvirt's, by which the guest is thawed should we be killed
    """

    def __init__(self, end: MigrationEnd, facts: SourceFacts, uri: str) -> None:
        self._end = end
        self._facts = facts
        self._uri = uri
        self._stack = contextlib.ExitStack()
        self._socket = ""
        self.consistency = Consistency(OFF)

    def __enter__(self) -> DiskSource:
        try:
            if self._facts.state in _RUNS:
                self._serve()
            else:
                self._hold_still()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _serve(self) -> None:
        backup, disks = LocalBackup(self._end), self._facts.disks
        # Scratch files of an export that was killed; only one export of a VM runs at a time.
        backup.end(disks)
        self._stack.callback(backup.end, disks)
        if self._facts.state == "paused":
            self._socket = backup.begin(disks)
            self.consistency = Consistency(CRASH_CONSISTENT, "the VM was paused, so its guest could not be asked")
            return
        with frozen(self._end.domain(), self._uri) as guest:
            self._socket = backup.begin(disks)
        method = CRASH_CONSISTENT if guest.reason else AGENT_FROZEN
        self.consistency = Consistency(method, guest.reason)

    def _hold_still(self) -> None:
        self._stack.enter_context(kept_still([disk.path for disk in self._facts.disks]))
        state = self._end.observe().state
        if state in _RUNS:
            remedy = "run it again"
            raise InputError(f"was started meanwhile, it is {state}", option="name", value=self._facts.vm.name, remedy=remedy)

    @contextlib.contextmanager
    def reader(self, disk: DiskFacts) -> Iterator[Reader]:
        """The disk, flattened, over whatever files it stands on."""
        if self._socket:
            with contextlib.closing(open_socket(self._socket, f"disk {disk.name}", export=disk.name)) as connection:
                yield connection
            return
        image = open_image(disk.path, disk.format, disk.capacity)
        if image is not None:
            with contextlib.closing(image):
                yield image
            return
        with VolumeServer(disk.path, disk.format, read_only=True) as server, contextlib.closing(server.connect()) as connection:
            yield connection

    @contextlib.contextmanager
    def uri(self, disk: DiskFacts) -> Iterator[str]:
        """By which QEMU's own tools read the disk."""
        if self._socket:
            yield f"nbd+unix:///{disk.name}?socket={self._socket}"
            return
        with VolumeServer(disk.path, disk.format, read_only=True) as server:
            yield server.uri

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()
