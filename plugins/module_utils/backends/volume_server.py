# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A volume of this hypervisor, served by qemu-nbd as long as we live: qcow2, raw and block devices alike.

There is no library that writes qcow2; qemu-nbd is QEMU's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import BackendError
from .nbd import Connection, open_socket

_START_SECONDS = 30.0
# A disk that is copied once has no use for the page cache, and the VMs of this hypervisor have.
_PAST_THE_CACHE = ("--cache", "none", "--aio", "native")
_THROUGH_THE_CACHE = ("--cache", "writeback")


@dataclass(frozen=True)
class Window:
    """A part of a file that holds a whole image, as a tar does; in bytes."""

    offset: int
    size: int


class VolumeServer:
    """Serves the volume at ``path``; several connections may write it at once.

    The server ends with us, however we end: it would keep the volume locked otherwise.

    :param read_only: nothing can be written
    :param window: the image is this part of the file
    """

    def __init__(self, path: str, format: str, *, read_only: bool = False, window: Window | None = None) -> None:
        self.path = path
        self._format = format
        self._read_only = read_only
        self._window = window
        self._folder = tempfile.TemporaryDirectory(prefix="virt8ra-nbd-")
        self._socket = f"{self._folder.name}/socket"
        self._process: subprocess.Popen[bytes] | None = None
        self._kept: Connection | None = None

    def __enter__(self) -> VolumeServer:
        if self._read_only:
            self._start(_THROUGH_THE_CACHE)
            return self
        try:
            self._start(_PAST_THE_CACHE)
        except BackendError:
            # Not every file system can be written past the page cache.
            self._start(_THROUGH_THE_CACHE)
        return self

    def _start(self, caching: tuple[str, ...]) -> None:
        # The kernel ends the server with the process that started it.
        argv = ["setpriv", "--pdeathsig", "KILL", "qemu-nbd", "--socket", self._socket, "--shared", "0", *caching]
        argv += ["--read-only"] if self._read_only else ["--discard", "unmap", "--detect-zeroes", "unmap"]
        argv += self._image()
        try:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except OSError as error:
            raise BackendError(f"qemu-nbd cannot be started ({error})", remedy="run the kvm_host role here") from error
        # The server ends by itself when the last connection does, so one is kept.
        self._kept = self._first_connection(self._process)

    def _image(self) -> list[str]:
        if self._window is None:
            return ["--format", self._format, self.path]
        part: dict[str, Any] = {"driver": "raw", "offset": self._window.offset, "size": self._window.size}
        part["file"] = {"driver": "file", "filename": self.path}
        return [f"json:{json.dumps({'driver': self._format, 'file': part})}"]

    @property
    def uri(self) -> str:
        """By which QEMU's own tools reach it."""
        return f"nbd+unix:///?socket={self._socket}"

    def _first_connection(self, process: subprocess.Popen[bytes]) -> Connection:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                if Path(self._socket).exists():
                    return self.connect()
            except BackendError:
                if time.monotonic() > deadline:
                    raise
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                said = process.communicate()[1] or b""
                reason = " ".join(said.decode(errors="replace").split())
                verb = "read" if self._read_only else "written"
                raise BackendError(
                    f"the volume {self.path} cannot be {verb}: {reason}", remedy="see whether something else uses it"
                )
            time.sleep(0.02)

    def connect(self) -> Connection:
        return open_socket(self._socket, f"volume {self.path}")

    def forget_cache(self) -> None:
        """Have later reads come from the disk itself."""
        with contextlib.suppress(OSError):
            handle = os.open(self.path, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._kept is not None:
            self._kept.close()
        if self._process is not None:
            try:
                # With its last connection gone it writes what it holds and ends.
                self._process.wait(_START_SECONDS if error is None else 2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()
        self._folder.cleanup()
