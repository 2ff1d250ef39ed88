# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a hypervisor knows of the images in its library: their digests, and how the files looked when they were read.

The records are in a folder of root's own rather than beside the volumes: a pool may be shared or writable for others, who could
then vouch for an image; and libvirt would list them as volumes. A file whose size, time or inode is no longer that of its
record has to be read again.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .errors import BackendError
from .images import Image, version_key, volume_name
from .lock import Report, RunLock
from .model import Portable

STATE_PATH = "/var/lib/virt8ra"
_SUFFIX = ".json"


@dataclass(frozen=True)
class Record(Portable):
    """An image whose digest was right at ``checked`` (ISO 8601, UTC); sizes in bytes, ``mtime_ns`` and ``inode`` of its file."""

    name: str
    version: str
    format: str
    sha256: str
    size: int
    virtual_size: int
    checked: str
    mtime_ns: int
    inode: int
    origin: str = ""
    os_variant: str = ""
    architecture: str = ""
    firmware: str = ""

    @classmethod
    def of(cls, image: Image, path: Path, virtual_size: int, checked: str, origin: str) -> Record:
        """The record of a file that was just read whole."""
        status = path.stat()
        return cls(
            name=image.name,
            version=image.version,
            format=image.format,
            sha256=image.sha256,
            size=status.st_size,
            virtual_size=virtual_size,
            checked=checked,
            mtime_ns=status.st_mtime_ns,
            inode=status.st_ino,
            origin=origin,
            os_variant=image.os_variant,
            architecture=image.architecture,
            firmware=image.firmware,
        )

    @property
    def volume(self) -> str:
        return volume_name(self.name, self.version, self.format)

    def is_of(self, path: Path) -> bool:
        """Whether the file is the one that was read."""
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns, status.st_ino) == (self.size, self.mtime_ns, self.inode)


class Records:
    """The records of one pool.

    :param state_path: the collection's folder for state, root's own
    """

    def __init__(self, state_path: str, pool: str) -> None:
        self.folder = Path(state_path) / "images" / pool

    def all(self) -> list[Record]:
        """By name, and of each name the newest version first; a record that cannot be read counts as none."""
        try:
            paths = [path for path in self.folder.iterdir() if path.suffix == _SUFFIX and not path.name.startswith(".")]
        except OSError:
            return []
        found = [record for record in map(_read, paths) if record is not None]
        found.sort(key=lambda record: version_key(record.version), reverse=True)
        return sorted(found, key=lambda record: record.name)

    def find(self, volume: str) -> Record | None:
        return _read(self._path(volume))

    def write(self, record: Record) -> None:
        """Whole, or not at all."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, partial = tempfile.mkstemp(dir=self.folder, prefix=".record-")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(record.to_dict(), file)
                    file.flush()
                    os.fsync(file.fileno())
                Path(partial).replace(self._path(record.volume))
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise BackendError(
                f"the record of the image cannot be written ({error})", remedy="run the kvm_host role on this hypervisor"
            ) from error

    def forget(self, volume: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path(volume).unlink()

    def _path(self, volume: str) -> Path:
        return self.folder / f"{volume}{_SUFFIX}"


def image_lock(state_path: str, pool: str, volume: str, report: Report | None = None, progress_path: str | None = None) -> RunLock:
    """Held by whoever brings or removes an image, and while a disk is made that will back on it."""
    return RunLock(Path(state_path) / "images" / pool / f".{volume}.lock", "this image", report or _silent, progress_path)


def _silent(_phase: str, _figures: dict[str, Any]) -> None:
    """For those whose wait nobody watches."""


def _read(path: Path) -> Record | None:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        return Record(**{field.name: data[field.name] for field in fields(Record)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
