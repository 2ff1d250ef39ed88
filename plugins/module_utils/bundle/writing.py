# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a bundle as a folder or a tar: under a name of its own first, published by one rename when all of it is on the disk.

Everything is for root alone (files 0600, folders 0700): disks and cloud-init discs hold secrets.
"""

from __future__ import annotations

import abc
import contextlib
import errno
import glob
import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import InputError

FOLDER, TAR = "folder", "tar"
SHAPES = (FOLDER, TAR)
_TAR_BLOCK = 512
_ALIGNED = 4096  # what storage asks for of those who go past the page cache
_PARTIAL = ".{name}.partial"
_OLD = ".{name}.old"
_ASIDE = ".packing"


class Sink:
    """One file of the bundle that is being written from front to back; what is skipped reads as zeroes and takes no space.

    What is aligned goes past the page cache where the file system can: a copy less, and the guests' cache is left alone.
    """

    def __init__(self, handle: int, begin: int, name: str) -> None:
        self.handle = handle
        self._begin = begin
        self._name = name
        self._direct = _opened_direct(handle)

    def write(self, at: int, view: memoryview | bytes) -> None:
        left, place = memoryview(view), self._begin + at
        try:
            while left:
                done = self._put(left, place)
                left, place = left[done:], place + done
        except OSError as error:
            raise InputError(
                f"the file {self._name} cannot be written ({error.strerror})", remedy="free some space, then export again"
            ) from error

    def _put(self, view: memoryview, place: int) -> int:
        if self._direct is not None and not place % _ALIGNED and not len(view) % _ALIGNED:
            try:
                return os.pwrite(self._direct, view, place)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # Memory that is not aligned, or a file system that wants more than we know of.
        return os.pwrite(self.handle, view, place)

    def close(self) -> None:
        """The handle that was given stays open."""
        if self._direct is not None:
            os.close(self._direct)

    def let_go(self, at: int, length: int) -> None:
        """Have the kernel begin to write this part to the disk, so that little is left to wait for at the end, and forget what is there."""
        with contextlib.suppress(OSError):
            os.posix_fadvise(self.handle, self._begin + at, length, os.POSIX_FADV_DONTNEED)


def _opened_direct(handle: int) -> int | None:
    try:
        return os.open(f"/proc/self/fd/{handle}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return None


class Writer(abc.ABC):
    """A bundle that is being made beside ``path``."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(_PARTIAL.format(name=self.path.name))
        self._old = self.path.with_name(_OLD.format(name=self.path.name))

    def clear(self) -> None:
        """Take away what an export left that died."""
        for left in (self.partial, self._old, *self.path.parent.glob(f".{glob.escape(self.path.name)}.*{_ASIDE}")):
            _remove(left)

    def aside(self, name: str) -> Path:
        """Where something may be made that is not of the bundle yet."""
        return self.path.with_name(f".{self.path.name}.{name}{_ASIDE}")

    @abc.abstractmethod
    def begin(self) -> None:
        """Make the temporary; InputError where that cannot be."""

    @abc.abstractmethod
    def file(self, name: str, size: int) -> contextlib.AbstractContextManager[Sink]:
        """A file of exactly so many bytes, which is on the disk when the block ends."""

    def publish(self) -> None:
        """One rename; what was there before is gone after it."""
        if self.path.is_dir() and not self.path.is_symlink():
            self.path.rename(self._old)
        self.partial.rename(self.path)
        _sync(self.path.parent)
        _remove(self._old)


class FolderWriter(Writer):
    def begin(self) -> None:
        self.partial.mkdir(mode=0o700)

    @contextlib.contextmanager
    def file(self, name: str, size: int) -> Iterator[Sink]:
        whole = self.partial / name
        whole.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(whole, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(handle, size)
            with contextlib.closing(Sink(handle, 0, name)) as sink:
                yield sink
            os.fsync(handle)
        finally:
            os.close(handle)

    def publish(self) -> None:
        for folder in {self.partial, *(found.parent for found in self.partial.rglob("*"))}:
            _sync(folder)
        super().publish()


class TarWriter(Writer):
    """Members are written in place, one after the other; a tar of sparse files is a sparse file."""

    def begin(self) -> None:
        os.close(os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        self._end = 0

    @contextlib.contextmanager
    def file(self, name: str, size: int) -> Iterator[Sink]:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        head = member.tobuf(tarfile.PAX_FORMAT)
        begin = self._end + len(head)
        end = begin + size + -size % _TAR_BLOCK
        handle = os.open(self.partial, os.O_RDWR)
        try:
            os.pwrite(handle, head, self._end)
            os.ftruncate(handle, end)
            with contextlib.closing(Sink(handle, begin, name)) as sink:
                yield sink
            os.fsync(handle)
        finally:
            os.close(handle)
        self._end = end

    def publish(self) -> None:
        with self.partial.open("r+b") as file:
            # Two empty blocks end an archive.
            file.truncate(self._end + 2 * _TAR_BLOCK)
            os.fsync(file.fileno())
        super().publish()


def writer(path: str, shape: str) -> Writer:
    return TarWriter(path) if shape == TAR else FolderWriter(path)


def write_whole(bundle: Writer, name: str, content: bytes) -> str:
    """A small file at once; its SHA-256."""
    with bundle.file(name, len(content)) as sink:
        sink.write(0, content)
    return hashlib.sha256(content).hexdigest()


def check_space(path: Path, needed: int) -> None:
    """InputError where the file system has less free than ``needed`` bytes."""
    space = os.statvfs(path)
    free = space.f_bavail * space.f_frsize
    if free < needed:
        raise InputError(
            f"has {free} bytes free, and the bundle may take {needed}",
            option="path",
            value=str(path),
            remedy="free some space there, or give another path",
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sums(digests: Sequence[tuple[str, str]]) -> str:
    """``SHA256SUMS`` as sha256sum reads it."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests)
