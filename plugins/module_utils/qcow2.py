# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The head of a disk image: is it what it is said to be, how large is its disk, and does it name other files?

It is read here rather than by ``qemu-img info``, which opens what an image names. QEMU's docs/interop/qcow2.txt has the format.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BackendError

# A header and its extensions are in the first cluster, and a cluster has 2 MiB at the most.
HEAD = 2**21
_MAGIC = b"QFI\xfb"
_OLD_LENGTH, _LEAST_LENGTH = 72, 104
_EXTERNAL_DATA = 1 << 2
_DATA_FILE_NAME = 0x44415441
_LONGEST_NAME = 1023
# What libvirt and QEMU would take for another format, and so might follow to other files: (offset, magic, format).
_OTHERS = (
    (0, _MAGIC, "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
)


@dataclass(frozen=True)
class Header:
    """``virtual_size`` in bytes; ``backing_file`` and ``data_file`` as written there, empty for none."""

    version: int
    virtual_size: int
    backing_file: str
    data_file: str


def format_of(head: bytes) -> str:
    """The format that the first bytes claim; ``raw`` where they claim none."""
    return next((name for offset, magic, name in _OTHERS if head[offset : offset + len(magic)] == magic), "raw")


def read_header(head: bytes) -> Header:
    """From the first HEAD bytes of a qcow2 file; BackendError where they are no such header."""
    if head[:4] != _MAGIC or len(head) < _OLD_LENGTH:
        raise BackendError("is no qcow2 image", remedy="look at its format")
    version, backing_offset, backing_length, _cluster_bits, size = struct.unpack_from(">IQIIQ", head, 4)
    if version not in (2, 3):
        raise BackendError(f"is a qcow2 image of version {version}, which nobody knows", remedy="convert it with qemu-img")
    features, length = 0, _OLD_LENGTH
    if version == 3:
        if len(head) < _LEAST_LENGTH:
            raise BackendError("has a qcow2 header that is cut off", remedy="look whether the file is whole")
        (features,) = struct.unpack_from(">Q", head, 72)
        (length,) = struct.unpack_from(">I", head, 100)
    data_file = ""
    for kind, content in _extensions(head, length):
        if kind == _DATA_FILE_NAME:
            data_file = content.decode(errors="replace")
    if features & _EXTERNAL_DATA:
        data_file = data_file or "a file without a name"
    return Header(version, size, _name(head, backing_offset, backing_length), data_file)


def _extensions(head: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, offset)
        if kind == 0:
            return
        if offset + 8 + length > len(head):
            raise BackendError("has a qcow2 header that is cut off", remedy="look whether the file is whole")
        yield kind, head[offset + 8 : offset + 8 + length]
        offset += 8 + (length + 7) // 8 * 8


def _name(head: bytes, offset: int, length: int) -> str:
    if not offset:
        return ""
    if length > _LONGEST_NAME or offset + length > len(head):
        raise BackendError("has a qcow2 header that is cut off", remedy="look whether the file is whole")
    return head[offset : offset + length].decode(errors="replace") or "a file without a name"


def head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def checked_size(path: Path, format: str) -> int:
    """Virtual bytes of an image that stands alone; BackendError for one of another format, or that names other files."""
    head = head_of(path)
    found = format_of(head)
    if found != format:
        raise BackendError(f"is {found} and not {format}", remedy="correct the image's format, or convert it with qemu-img")
    if format == "raw":
        return path.stat().st_size
    header = read_header(head)
    for words, name in (("the backing file", header.backing_file), ("the external data file", header.data_file)):
        if name:
            raise BackendError(f"names {words} {name}", remedy="flatten it with qemu-img convert")
    return header.virtual_size


def backing_chain(path: Path) -> list[Path]:
    """The files below a disk, nearest first; as far as they can be read here. A name that is no file's ends it."""
    below: list[Path] = []
    while True:
        try:
            head = head_of(path)
            name = read_header(head).backing_file if head[:4] == _MAGIC else ""
        except (OSError, BackendError):
            return below
        named = _file_named(name)
        if not named:
            return below
        path = path.parent / named
        if path in below:
            return below
        below.append(path)


def _file_named(name: str) -> str:
    """The file in QEMU's word for it: a path, ``file:PATH`` or ``json:{…}``."""
    if name.startswith("json:"):
        try:
            return _filename(json.loads(name[5:]))
        except ValueError:
            return ""
    if name.startswith("file:"):
        return name[5:]
    return "" if "://" in name else name


def _filename(described: Any) -> str:
    if not isinstance(described, dict):
        return ""
    for key, value in described.items():
        if key.rpartition(".")[2] == "filename" and isinstance(value, str):
            return value
        found = _filename(value)
        if found:
            return found
    return ""
