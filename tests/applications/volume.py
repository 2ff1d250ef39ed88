# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is hard to copy in a volume: written, changed as an application would, and read for a comparison. Needs root, for owners.

Names that are no UTF-8 are strings with surrogates, as Python has them for file names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

# Names that break scripts: each is legal in every POSIX file system.
ODD_NAMES = (
    " leading and trailing ",
    "-rf",
    "--",
    "new\nline",
    "new line at the end\n",
    "tab\there",
    "quote'\"`$(touch gone)`",
    "back\\slash\\n",
    "glob*?[a]",
    ".hidden",
    "...",
    "ñandú-ß-日本.txt",
    "not-utf-8-\udcff\udcfe",
    "#comment;&|<>",
    "a=b:c@d%20",
    "long-" + "x" * 250,
)
LARGE = "large.bin"
SPARSE = "sparse.img"
_SECOND = 1_000_000_000


def write_volume_data(folder: Path | str, *, files: int = 200) -> None:
    """Fill it with what is hard to copy, and with ``files`` small files."""
    root = Path(folder)
    _write(root / "plain.txt", b"a line\n", when=1_000_000_000_123_456_789)
    _write(root / "empty", b"")
    _write(root / "secret", b"only its owner reads it\n", mode=0o600, owner=(1000, 1000))
    _write(root / "nobody", b"nobody reads it\n", mode=0o000, owner=(65534, 65534))
    _write(root / "runs-as-owner", b"#!/bin/sh\n", mode=0o4755, owner=(33, 33))
    _write(root / LARGE, b"".join(hashlib.sha512(b"block %d" % number).digest() for number in range(2**16)))
    for name in ODD_NAMES:
        _write(root / name, b"odd: " + os.fsencode(name))
    for name, mode, owner in (("empty-folder", 0o755, (0, 0)), ("sticky", 0o1777, (0, 0)), ("group", 0o2770, (1000, 33))):
        place = root / name
        place.mkdir()
        os.chown(place, *owner)
        place.chmod(mode)
    deep = root.joinpath(*(f"level-{number}" for number in range(20)))
    deep.mkdir(parents=True)
    _write(deep / "bottom", b"down here\n")
    (root / "many").mkdir()
    for number in range(files):
        _write(root / "many" / f"{number:05}", b"%d\n" % number * (number % 97 + 1), owner=(number % 3, number % 5))
    _write_links(root)
    _write_sparse(root / SPARSE)
    with contextlib.suppress(OSError):  # not every file system has them: read_volume() tells what there is
        os.setxattr(root / "plain.txt", "user.shop.origin", "Logroño".encode())
        os.setxattr(root / "empty-folder", "user.shop.kept", b"\x00\xff")
    for place in (root / "empty-folder", root / "many", root / "sticky", root):
        os.utime(place, ns=(1_600_000_000 * _SECOND, 1_600_000_000 * _SECOND))


def _write(path: Path, data: bytes, *, mode: int = 0o644, owner: tuple[int, int] = (0, 0), when: int = 0) -> None:
    path.write_bytes(data)
    os.chown(path, *owner)
    path.chmod(mode)
    moment = when or 1_700_000_000 * _SECOND + len(data) * 1_000_000_007
    os.utime(path, ns=(moment, moment))


def _write_links(root: Path) -> None:
    """Two groups of hard links, across folders, and symbolic links of all kinds."""
    place = root / "links"
    place.mkdir()
    for name in ("links/hard-1", "links/hard-2", "hard-3"):
        os.link(root / "plain.txt", root / name)
    os.link(root / "secret", place / "first of many")
    targets = {
        "relative": "../plain.txt",
        "absolute": "/etc/hostname",
        "dangling": "no/such file",
        "to-folder": "../many",
        "loop": "loop",
        "odd -> name": "new\nline \udcff",
    }
    for name, target in targets.items():
        link = place / name
        link.symlink_to(target)
        os.chown(link, 1000, 1000, follow_symlinks=False)
        os.utime(link, ns=(1_650_000_000 * _SECOND, 1_650_000_000 * _SECOND), follow_symlinks=False)


def _write_sparse(path: Path) -> None:
    """64 MiB with two islands, and a hole at its end."""
    with path.open("wb") as file:
        file.seek(4 * 2**20)
        file.write(b"first island" * 1000)
        file.seek(40 * 2**20)
        file.write(b"second island" * 1000)
        file.truncate(64 * 2**20)
    os.utime(path, ns=(1_690_000_000 * _SECOND, 1_690_000_000 * _SECOND))


def change_volume_data(folder: Path | str) -> None:
    """What an application does between the seed and the last delta, the sly things included; needs 9 small files."""
    root = Path(folder)
    many, links = root / "many", root / "links"
    before = (many / "00003").stat()
    with (many / "00003").open("r+b") as file:  # of the same size and time: only its content and ctime tell
        file.write(b"X")
    os.utime(many / "00003", ns=(before.st_atime_ns, before.st_mtime_ns))
    with (many / "00004").open("ab") as file:
        file.write(b"one more line\n")
    (many / "00005").unlink()
    (many / "00006").rename(many / "renamed")
    (many / "00007").chmod(0o600)
    os.chown(many / "00008", 42, 42)
    (root / "empty").unlink()
    (root / "empty").mkdir()  # a file becomes a folder
    (root / "sticky").rmdir()
    _write(root / "sticky", b"a folder becomes a file\n")
    (links / "relative").unlink()
    (links / "relative").symlink_to("../many/00001")
    (links / "hard-2").unlink()
    _write(links / "hard-2", b"no longer the same file\n")
    _write(root / "new file", b"new\n", owner=(7, 7))


@dataclass(frozen=True)
class Entry:
    """What must be kept of a file. ``same`` names all that are the same file; folders have neither size nor time of their own."""

    mode: str
    owner: tuple[int, int]
    size: int = 0
    time_ns: int = 0
    target: str = ""
    sha256: str = ""
    attributes: tuple[tuple[str, bytes], ...] = ()
    same: tuple[str, ...] = ()


def read_volume(folder: Path | str) -> dict[str, Entry]:
    """All of it, by name."""
    root = Path(folder)
    paths = list(_below(root))
    same: dict[int, list[str]] = {}
    for path in paths:
        same.setdefault(path.lstat().st_ino, []).append(str(path.relative_to(root)))
    return {str(path.relative_to(root)): _entry(path, same) for path in paths}


def _entry(path: Path, same: dict[int, list[str]]) -> Entry:
    status = path.lstat()
    mode, owner, attributes = oct(status.st_mode), (status.st_uid, status.st_gid), _attributes(path)
    if stat.S_ISDIR(status.st_mode):
        return Entry(mode, owner, attributes=attributes)
    return Entry(
        mode,
        owner,
        status.st_size,
        status.st_mtime_ns,
        str(path.readlink()) if stat.S_ISLNK(status.st_mode) else "",
        _digest(path) if stat.S_ISREG(status.st_mode) else "",
        attributes,
        tuple(sorted(same[status.st_ino])),
    )


def differences(wanted: Mapping[str, Entry], found: Mapping[str, Entry]) -> list[str]:
    """What was lost, came or changed, file by file and field by field; empty when they are the same."""
    told = [f"{name!r} is missing" for name in sorted(wanted.keys() - found.keys())]
    told += [f"{name!r} is too much" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        for field in fields(Entry):
            was, now = (getattr(entries[name], field.name) for entries in (wanted, found))
            if was != now:
                told.append(f"{name!r}: {field.name} is {now!r}, was {was!r}")
    return told


def _attributes(path: Path) -> tuple[tuple[str, bytes], ...]:
    """Extended attributes that users may set, where the file system has any."""
    try:
        names = sorted(name for name in os.listxattr(path, follow_symlinks=False) if name.startswith("user."))
    except OSError:
        return ()
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)


def blocks_of(path: Path | str) -> int:
    """Bytes that a file takes on its disk: fewer than its size when it is sparse."""
    return Path(path).stat().st_blocks * 512


def _below(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        for name in sorted([*folders, *files]):
            yield Path(folder) / name


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
