# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image read straight from its file: QEMU tells where in the file each part of the disk is.

It saves the way through a server, which is half of the work where the disk is fast. What QEMU tells no place for (compressed parts, those
of a backing file) cannot be read in this way.
"""

from __future__ import annotations

import bisect
import json
import os
import subprocess
from collections.abc import Iterator

from ..errors import BackendError


class ImageFile:
    """A reader over an image that nobody writes meanwhile.

    :param extents: ``(start, length, offset in the file)`` of what holds data, sorted by start
    """

    def __init__(self, path: str, size: int, extents: list[tuple[int, int, int]]) -> None:
        self._path = path
        self.size = size
        self._extents = extents
        self._starts = [start for start, _length, _offset in extents]
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def data(self) -> list[tuple[int, int]]:
        """Ranges that hold data."""
        return [(start, length) for start, length, _offset in self._extents]

    def parts(self, offset: int, view: memoryview) -> Iterator[memoryview]:
        """All of ``view``, filled from ``offset`` on."""
        at, end = offset, offset + len(view)
        while at < end:
            start, length, place = self._extents[bisect.bisect_right(self._starts, at) - 1]
            inside = at - start
            if not 0 <= inside < length:
                raise BackendError(f"{self._path} tells no place for {at}")
            amount = min(end - at, length - inside)
            self._read(view[at - offset : at - offset + amount], place + inside)
            at += amount
        yield view

    def _read(self, view: memoryview, place: int) -> None:
        while view:
            got = os.preadv(self._handle, [view], place)
            if not got:
                # The last cluster of a file may be cut short; what is missing there is zero.
                view[:] = bytes(len(view))
                return
            view, place = view[got:], place + got

    def close(self) -> None:
        os.close(self._handle)


def open_image(path: str, format: str, size: int) -> ImageFile | None:
    """The image, or None where parts of it have no place of their own in its file."""
    try:
        argv = ["qemu-img", "map", "--output=json", "-f", format, path]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        told = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError):
        return None
    return None if told is None else _read(path, size, told)


def _read(path: str, size: int, told: list[dict[str, int]]) -> ImageFile | None:
    extents = []
    for entry in told:
        if not entry.get("data") or entry.get("zero"):
            continue
        if entry.get("depth", 0) != 0 or "offset" not in entry:
            return None
        extents.append((entry["start"], entry["length"], entry["offset"]))
    return ImageFile(path, size, sorted(extents))
