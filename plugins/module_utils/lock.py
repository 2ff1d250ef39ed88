# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time for each thing that is worked on.

The lock is the kernel's: it goes with the process that holds it, however that dies, so that a lock that is held has a live
owner. What stands in the file only says who.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from .errors import FederationError

Report = Callable[[str, dict[str, Any]], None]
_POLL = 0.25


class RunLock:
    """A lock in a file, of which nothing is left behind.

    :param path: the lock's file; its folder is made
    :param what: what is worked on, as in ``this VM``
    :param report: called with the progress of the run that is at work, and ``waiting_for``, while it is waited for
    :param progress_path: where the holder's own progress is, for those who wait
    """

    fault: type[FederationError] = FederationError
    remedy = "wait for it"

    def __init__(self, path: Path, what: str, report: Report, progress_path: str | None = None) -> None:
        self._path = path
        self._what = what
        self._report = report
        self._progress_path = progress_path

    @contextlib.contextmanager
    def held(self, timeout: float) -> Iterator[bool]:
        """Wait for the lock; gives whether another run was waited for. ``fault`` is raised after ``timeout`` seconds (0: never)."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self.fault(f"{self._path} cannot be made ({error})", remedy="run the kvm_host role on this hypervisor") from error
        try:
            waited = self._wait(handle, timeout)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"pid": os.getpid(), "progress": self._progress_path}).encode(), 0)
            self._taken()
            try:
                yield waited
            finally:
                # No lock is left behind; whoever waits looks whether the file is still the one it opened.
                self._path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def _taken(self) -> None:
        """Called as soon as it is held."""

    def _wait(self, handle: int, timeout: float) -> bool:
        begun = time.monotonic()
        waited = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current(handle):
                    return waited
                fcntl.flock(handle, fcntl.LOCK_UN)
                fresh = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
                os.dup2(fresh, handle, inheritable=False)
                os.close(fresh)
                continue
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            waited = True
            holder = self._holder(handle)
            progress = _progress(holder.get("progress"))
            waiting_for = f"run {holder.get('pid', 0)}, which is at work on {self._what}"
            self._report(progress.pop("phase", "waiting"), {**progress, "waiting_for": waiting_for})
            if timeout and time.monotonic() - begun > timeout:
                raise self.fault(
                    f"another run (process {holder.get('pid', 0)}) is at work on {self._what} since before", remedy=self.remedy
                )
            time.sleep(_POLL)

    def _is_current(self, handle: int) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        held = os.fstat(handle)
        return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)

    @staticmethod
    def _holder(handle: int) -> dict[str, Any]:
        try:
            read: dict[str, Any] = json.loads(os.pread(handle, 4096, 0))
        except (OSError, ValueError):
            return {}
        return read

    def is_held(self) -> bool:
        """Whether a live run holds it now."""
        try:
            handle = os.open(self._path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False


def _progress(path: Any) -> dict[str, Any]:
    """What the other run wrote last, without what is its own."""
    try:
        read: dict[str, Any] = json.loads(Path(str(path)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    read.pop("pid", None)
    return read
