# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle as it lies on a disk, folder or tar: what is no plain file inside of it is refused before anything is read from it.

Whoever made a bundle may have meant harm: no link is followed, no name leads outside, and an archive's names are each there once.
"""

from __future__ import annotations

import hashlib
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ..errors import InputError
from . import qcow2
from .manifest import DISK, NAME, File, Manifest, check_path

_LARGEST_MANIFEST = 16 * 2**20
_PIECE = 2**20
_AGAIN = "copy the bundle again, or export the VM again"


@dataclass(frozen=True)
class Place:
    """Where a file's content is: in the file ``path`` of this host, ``size`` bytes from ``offset`` on."""

    path: str
    offset: int
    size: int

    def read(self, at: int, amount: int) -> bytes:
        with Path(self.path).open("rb") as file:
            file.seek(self.offset + at)
            return file.read(min(amount, self.size - at))


@dataclass(frozen=True)
class Bundle:
    """A manifest and where its files are, by their paths in the bundle."""

    manifest: Manifest
    places: dict[str, Place]

    def place(self, file: File) -> Place:
        return self.places[file.path]


def open_bundle(path: str) -> Bundle:
    """The bundle at a path, with everything checked but the digests, which take time (``check_digest``)."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", option="path", value=path, remedy="give a bundle's folder or tar"
        ) from error
    return _checked(_places_in_folder(path) if stat.S_ISDIR(mode) else _places_in_tar(path), path)


def _checked(find: Callable[[str], Place | None], path: str) -> Bundle:
    there = find(NAME)
    if there is None:
        raise InputError(f"holds no {NAME}, so it is no bundle", option="path", value=path, remedy="give a bundle's folder or tar")
    if there.size > _LARGEST_MANIFEST:
        raise InputError(f"the manifest {NAME} has {there.size} bytes, which cannot be meant", remedy=_AGAIN)
    manifest = Manifest.from_text(there.read(0, there.size).decode("utf-8", "replace"))
    places: dict[str, Place] = {}
    for file in manifest.files:
        place = find(file.path)
        if place is None:
            raise InputError(f"the file {file.path} of the bundle is missing", remedy=_AGAIN)
        if place.size != file.size:
            raise InputError(f"the file {file.path} has {place.size} bytes, and the manifest says {file.size}", remedy=_AGAIN)
        if file.kind == DISK:
            _check_image(file, place)
        places[file.path] = place
    return Bundle(manifest, places)


def _check_image(file: File, place: Place) -> None:
    if file.format == "qcow2":
        qcow2.check_header(place.read(0, 512), file.path, file.virtual_size)
    elif place.size != file.virtual_size:
        remedy = "export the VM again"
        raise InputError(f"the file {file.path} has not the {file.virtual_size} bytes of its disk", remedy=remedy)


def _places_in_folder(folder: str) -> Callable[[str], Place | None]:
    def find(path: str) -> Place | None:
        whole, parts = Path(folder), path.split("/")
        for number, part in enumerate(parts, 1):
            whole = whole / part
            try:
                mode = whole.lstat().st_mode
            except OSError:
                return None
            if stat.S_ISLNK(mode):
                raise InputError(f"the file {path} is a symbolic link, which may lead outside of the bundle", remedy=_AGAIN)
            if not (stat.S_ISREG(mode) if number == len(parts) else stat.S_ISDIR(mode)):
                raise InputError(f"the file {path} is no plain file", remedy=_AGAIN)
        return Place(str(whole), 0, whole.stat().st_size)

    return find


def _places_in_tar(path: str) -> Callable[[str], Place | None]:
    """Every member is looked at, so that one of ill will is refused also where the manifest does not name it."""
    found: dict[str, Place] = {}
    size = Path(path).stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = _member_name(member)
                if name and name in found:
                    raise InputError(f"the file {name} is in the archive twice", remedy=_AGAIN)
                if name:
                    if member.offset_data + member.size > size:
                        raise InputError(f"the archive ends within the file {name}", remedy=_AGAIN)
                    found[name] = Place(path, member.offset_data, member.size)
    except (tarfile.TarError, OSError, EOFError) as error:
        remedy = "unpack what packs it, or give the folder of a bundle"
        raise InputError(f"is no plain tar archive ({error})", option="path", value=path, remedy=remedy) from error
    return found.get


def _member_name(member: tarfile.TarInfo) -> str:
    """Its path in the bundle; empty for a folder."""
    name = member.name[2:] if member.name.startswith("./") else member.name
    if member.isdir():
        if name in ("", "."):
            return ""
        check_path(name, "member of the archive")
        return ""
    if name not in (NAME, "SHA256SUMS"):
        check_path(name, "member of the archive")
    if member.issym() or member.islnk():
        raise InputError(f"the file {name} is a link in the archive, which may lead outside of the bundle", remedy=_AGAIN)
    if member.issparse():
        raise InputError(
            f"the file {name} is sparse in the archive, so that it cannot be read in place", remedy="pack it without --sparse"
        )
    if not member.isreg():
        raise InputError(f"the file {name} is no plain file in the archive", remedy=_AGAIN)
    return name


def check_digest(file: File, place: Place, report: Callable[[int], None] = lambda _done: None) -> None:
    """Read all of the file; InputError when a byte of it is another.

    :param report: called now and then with the bytes that were read since
    """
    digest, left, buffer = hashlib.sha256(), place.size, memoryview(bytearray(_PIECE))
    with Path(place.path).open("rb", buffering=0) as handle:
        handle.seek(place.offset)
        while left:
            got = handle.readinto(buffer[: min(left, _PIECE)])
            if not got:
                break
            digest.update(buffer[:got])
            left -= got
            report(got)
    if left or digest.hexdigest() != file.sha256:
        raise InputError(f"the file {file.path} is not as it was exported: its SHA-256 differs from the manifest's", remedy=_AGAIN)
