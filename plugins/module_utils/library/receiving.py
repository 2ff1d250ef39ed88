# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image on its way into the pool: counted and hashed while it is written to a temporary volume. Holes stay holes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Union

from ..errors import BackendError
from ..images import Image
from ..sizes import show_size

PIECE = 2**20
# Bytes, or the length of a hole.
Piece = Union[bytes, int]
_ZEROS = bytes(PIECE)
_REPORT_SECONDS = 0.5
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Offer:
    """What a source sends; ``length`` are the bytes that it promises, ``about`` what it seems to have (0: it does not say)."""

    pieces: Iterable[Piece]
    length: int = 0
    about: int = 0


class LocalError(BackendError):
    """A fault of this hypervisor or of the image itself, which no other source would mend."""


@dataclass
class Meter:
    """Tells how far a transfer came, twice a second."""

    report: Callable[[str, dict[str, Any]], None]
    phase: str
    total: int
    source: str = ""
    begun: float = 0.0
    told: float = 0.0

    def __post_init__(self) -> None:
        self.begun = time.monotonic()

    def at(self, done: int) -> None:
        now = time.monotonic()
        if now - self.told < _REPORT_SECONDS:
            return
        self.told = now
        seconds = max(now - self.begun, 0.001)
        figures: dict[str, Any] = {"bytes": done, "bytes_per_second": done / seconds, "seconds": seconds, "source": self.source}
        if self.total:
            figures.update(total_bytes=self.total, eta_seconds=max(0, self.total - done) / max(done / seconds, 1))
        self.report(self.phase, figures)


def receive(offer: Offer, partial: Path, image: Image, room: int, meter: Meter) -> None:
    """Write the pieces to ``partial``; it is the image when this returns, else BackendError (LocalError) says why not.

    :param room: bytes that may be written here
    """
    length = offer.length
    for promised, by in ((length, "its source"), (image.size, "its size in the library")):
        if promised > room:
            what = f"has {show_size(promised)} by {by}, and the pool has {show_size(room)} free"
            raise LocalError(f"the image {image.reference} {what}", remedy="free some space there")
    if length and image.size and length != image.size:
        raise BackendError(f"offers {length} bytes and not {image.size}")
    expected = length or image.size
    digest, done = hashlib.sha256(), 0
    try:
        with partial.open("wb", buffering=0) as file:
            partial.chmod(0o600)
            for piece in offer.pieces:
                done += piece if isinstance(piece, int) else len(piece)
                if expected and done > expected:
                    raise BackendError(f"sends more than the {expected} bytes that were promised")
                if done > room:
                    what = f"is larger than the {show_size(room)} that the pool has free"
                    raise LocalError(f"the image {image.reference} {what}", remedy="free some space there")
                _put(file, piece, digest)
                meter.at(done)
            file.truncate(done)
            os.fsync(file.fileno())
    except OSError as error:
        raise LocalError(f"{partial} cannot be written ({error.strerror})", remedy="look at the pool's file system") from error
    if expected and done < expected:
        raise BackendError(f"ended after {done} of {expected} bytes")
    if digest.hexdigest() != image.sha256:
        raise BackendError(f"has the digest {_short(digest.hexdigest())} and not {_short(image.sha256)}")


def _put(file: Any, piece: Piece, digest: Any) -> None:
    if isinstance(piece, int):
        file.seek(piece, os.SEEK_CUR)
        while piece > 0:
            digest.update(_ZEROS[:piece])
            piece -= min(piece, PIECE)
        return
    digest.update(piece)
    if len(piece) <= PIECE and piece == _ZEROS[: len(piece)]:
        file.seek(len(piece), os.SEEK_CUR)
        return
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


def digest_of(path: Path, meter: Meter) -> str:
    """SHA-256 of a file here."""
    digest, done = hashlib.sha256(), 0
    for piece in read_file(path):
        digest.update(piece)
        done += len(piece)
        meter.at(done)
    return digest.hexdigest()


def read_file(path: Path) -> Iterator[bytes]:
    """The bytes of a file; BackendError where it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                yield piece
    except OSError as error:
        raise BackendError(f"{path} cannot be read ({error.strerror})") from error


def _short(digest: str) -> str:
    return f"{digest[:_SHOWN_DIGITS]}…"
