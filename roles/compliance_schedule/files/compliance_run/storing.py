# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written and removed: whole files or none, one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from . import keeping


class BusyError(Exception):
    """Another run holds the lock; the sentence says since when."""


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds the lock; BusyError where another process does. The kernel frees it when its holder dies, however that happens.

    Ansible's own processes do not inherit it, so one that outlives a run holds up nobody.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 100, 0).decode("utf-8", "replace").strip()
            raise BusyError(f"a run is under way ({holder or 'it has just begun'}); wait for its end") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(
            descriptor, f"process {os.getpid()} since {datetime.now().astimezone().isoformat(timespec='seconds')}\n".encode(), 0
        )
        yield
    finally:
        os.close(descriptor)


def write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all: readers see the old file or the new one. OSError where that cannot be."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(mode)
        Path(partial).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(partial).unlink()
        raise


def rotate(folder: Path, now: datetime, keep: int, days: int) -> list[str]:
    """Removes the folders of old runs, and names them."""
    names = [entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()] if folder.is_dir() else []
    gone = keeping.to_remove(names, now, keep, days)
    for one in gone:
        shutil.rmtree(folder / one)
    return gone
