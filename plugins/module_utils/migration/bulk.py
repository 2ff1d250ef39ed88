# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bulk progress of a migration: a folder at the target with what is still to copy and what was copied, digests included.

``state.json`` is replaced as a whole; ``copied`` grows by a line for each extent, written only after the disk has it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import MigrationFailed
from ..extents import Ranges, merged, subtracted

VERSION = 1
ZEROES = "zero"
_DIGEST = 64  # hexadecimal digits of a SHA-256
_MERGE_EVERY = 4096


@dataclass(frozen=True)
class Copied:
    """An extent that is on the target's disk; ``digest`` is the SHA-256 of what was read, or ZEROES."""

    disk: str
    offset: int
    length: int
    digest: str


@dataclass
class DiskProgress:
    """``pending``: what is still to copy; ``verified`` in bytes, ``extents`` in number: what was read back."""

    pending: Ranges = field(default_factory=list)
    verified: int = 0
    extents: int = 0


@dataclass
class Bulk:
    """What ``state.json`` holds. ``rate`` in bytes/s of the last round; ``events`` and ``rounds`` as the report shows them.

    ``base`` is the checkpoint since which changes count; empty as long as there is none to rely on. ``fresh``: the volumes are new
    and read as zeroes.

    ``resumed`` is true from just before the VM's copy is let run here: from then on this copy counts, whatever dies.
    """

    id: str
    vm: str
    source: str
    target: str
    base: str = ""
    fresh: bool = False
    disks: dict[str, DiskProgress] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    rate: float = 0.0
    runs: int = 0
    warnings: list[str] = field(default_factory=list)
    resumed: bool = False
    version: int = VERSION

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Bulk:
        read = cls(**{key: data[key] for key in cls.__dataclass_fields__ if key in data})
        read.disks = {
            name: DiskProgress(**{**disk, "pending": [tuple(piece) for piece in disk["pending"]]})
            for name, disk in data.get("disks", {}).items()
        }
        return read


class BulkStore:
    """The folder of one VM's migration, 0700."""

    def __init__(self, state_path: str, uuid: str) -> None:
        self.folder = Path(state_path) / "migrations" / uuid
        self._state = self.folder / "state.json"
        self._copied = self.folder / "copied"

    def load(self, migration: str) -> Bulk | None:
        """What is known of this migration; None when there is nothing, or another one's."""
        bulk = self.load_any()
        return bulk if bulk is not None and bulk.id == migration else None

    def load_any(self) -> Bulk | None:
        """What is known, whichever migration it is of; None when there is nothing."""
        try:
            data = json.loads(self._state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise MigrationFailed(
                f"{self._state} cannot be read ({error})", remedy="abort the migration, then begin anew"
            ) from error
        if data.get("version") != VERSION:
            raise MigrationFailed(f"{self._state} is of version {data.get('version')!r}", remedy="use the version that wrote it")
        bulk = Bulk.from_dict(data)
        for name, ranges in self._done().items():
            if name in bulk.disks:
                bulk.disks[name].pending = subtracted(bulk.disks[name].pending, ranges)
        return bulk

    def save(self, bulk: Bulk) -> None:
        """Replace ``state.json`` and begin ``copied`` anew: ``pending`` must hold all that is not on the disk."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._state.with_suffix(".partial")
        with _opened(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as handle:
            os.write(handle, json.dumps(asdict(bulk)).encode())
            os.fsync(handle)
        partial.replace(self._state)
        # What the old list said is in pending now; after a crash between the two it is only said twice.
        self._copied.unlink(missing_ok=True)
        self._sync_folder()

    def record(self, copied: Iterable[Copied]) -> None:
        """Add extents that the disk has."""
        lines = "".join(f"{one.disk} {one.offset} {one.length} {one.digest}\n" for one in copied)
        if not lines:
            return
        with _opened(self._copied, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as handle:
            os.write(handle, lines.encode())
            os.fsync(handle)

    def copied(self) -> Iterator[Copied]:
        """The extents of the round, as they were recorded; a last line that was cut is left out."""
        if not self._copied.exists():
            return
        with self._copied.open(encoding="utf-8") as lines:
            for line in lines:
                parts = line.rstrip("\n").split(" ")
                if len(parts) == 4 and (parts[3] == ZEROES or len(parts[3]) == _DIGEST) and line.endswith("\n"):
                    yield Copied(parts[0], int(parts[1]), int(parts[2]), parts[3])

    def _done(self) -> dict[str, Ranges]:
        done: dict[str, Ranges] = {}
        for one in self.copied():
            ranges = done.setdefault(one.disk, [])
            ranges.append((one.offset, one.length))
            if len(ranges) % _MERGE_EVERY == 0:
                ranges[:] = merged(ranges)
        return {name: merged(ranges) for name, ranges in done.items()}

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _sync_folder(self) -> None:
        with _opened(self.folder, os.O_RDONLY | os.O_DIRECTORY) as handle:
            os.fsync(handle)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Any:
    handle = os.open(path, flags, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)
