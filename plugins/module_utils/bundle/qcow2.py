# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layout of a qcow2 image whose data is known beforehand, so that it can be written, and its digest taken, from front to back. Pure.

    header | refcount table | refcount blocks | L1 table | L2 tables | data clusters, in the disk's order

Format: version 3, clusters of 64 KiB, refcounts of 16 bits, no snapshots (QEMU's docs/interop/qcow2.txt). The same disk always makes the
same file.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence

from ..errors import InputError
from ..extents import Range, Ranges, merged

CLUSTER = 65536
_BITS = 16
_MAGIC = 0x514649FB
_PER_TABLE = CLUSTER // 8  # entries of an L1, L2 or refcount table in a cluster
_PER_BLOCK = CLUSTER // 2  # refcounts in a cluster
_ONCE = 1 << 63  # the refcount is exactly one
_HEADER = ">IIQIIQIIQQIIQQQQII"
_HEADER_LENGTH = 104
# Incompatible features that an image in a bundle may have: dirty (1) and corrupt (2) may not, nor an external data file (4).
_COMPRESSION_TYPE = 1 << 3


class Layout:
    """Where everything goes.

    :param size: the disk's, in bytes
    :param data: what of it holds data; the rest reads as zeroes
    """

    def __init__(self, size: int, data: Sequence[Range]) -> None:
        self.virtual_size = size
        self.data = _whole_clusters(size, data)
        self._tables = sorted(set(self._table_numbers()))
        self._entries = -(-size // (CLUSTER * _PER_TABLE))
        self._l1_clusters = max(1, -(-self._entries // _PER_TABLE))
        self._data_clusters = sum(length for _offset, length in self.data) // CLUSTER
        self._size_refcounts()

    def _table_numbers(self) -> Iterator[int]:
        for offset, length in self.data:
            first, last = offset // CLUSTER // _PER_TABLE, (offset + length - 1) // CLUSTER // _PER_TABLE
            yield from range(first, last + 1)

    def _size_refcounts(self) -> None:
        """Refcounts count their own clusters too, so that the number is looked for from below."""
        fixed = 1 + self._l1_clusters + len(self._tables) + self._data_clusters
        blocks = table = 1
        while True:
            total = fixed + blocks + table
            more_blocks = -(-total // _PER_BLOCK)
            more_table = -(-more_blocks // _PER_TABLE)
            if (more_blocks, more_table) == (blocks, table):
                break
            blocks, table = more_blocks, more_table
        self._blocks, self._table_clusters, self._total = blocks, table, total

    @property
    def file_size(self) -> int:
        return self._total * CLUSTER

    @property
    def head_size(self) -> int:
        """Bytes before the first data cluster."""
        return (self._total - self._data_clusters) * CLUSTER

    def head(self) -> Iterator[bytes]:
        """All that comes before the data, in pieces of whole clusters."""
        table_at = 1
        blocks_at = table_at + self._table_clusters
        l1_at = blocks_at + self._blocks
        l2_at = l1_at + self._l1_clusters
        data_at = l2_at + len(self._tables)
        yield _padded(self._header(table_at, l1_at))
        yield _padded(_big(blocks_at * CLUSTER + number * CLUSTER for number in range(self._blocks)), self._table_clusters)
        for number in range(self._blocks):
            counted = min(_PER_BLOCK, self._total - number * _PER_BLOCK)
            yield _padded(b"\0\1" * counted)
        places = {table: (l2_at + index) * CLUSTER | _ONCE for index, table in enumerate(self._tables)}
        yield _padded(_big(places.get(number, 0) for number in range(self._entries)), self._l1_clusters)
        yield from self._l2_tables(data_at)

    def _header(self, table_at: int, l1_at: int) -> bytes:
        return struct.pack(
            _HEADER,
            *(_MAGIC, 3, 0, 0, _BITS, self.virtual_size, 0, self._entries, l1_at * CLUSTER),
            *(table_at * CLUSTER, self._table_clusters, 0, 0, 0, 0, 0, 4, _HEADER_LENGTH),
        )

    def _l2_tables(self, at: int) -> Iterator[bytes]:
        """Data clusters lie in the file in the disk's order, one after the other."""
        table = array("Q", bytes(CLUSTER))
        current = self._tables[0] if self._tables else 0
        for offset, length in self.data:
            first, left = offset // CLUSTER, length // CLUSTER
            while left:
                number, inside = divmod(first, _PER_TABLE)
                if number != current:
                    yield _bytes(table)
                    table, current = array("Q", bytes(CLUSTER)), number
                amount = min(left, _PER_TABLE - inside)
                places = range(at * CLUSTER | _ONCE, (at + amount) * CLUSTER | _ONCE, CLUSTER)
                table[inside : inside + amount] = array("Q", places)
                first, left, at = first + amount, left - amount, at + amount
        if self._tables:
            yield _bytes(table)


def _whole_clusters(size: int, data: Sequence[Range]) -> Ranges:
    """The ranges, grown to whole clusters; the last one may reach over the disk's end."""
    grown = ((offset - offset % CLUSTER, offset + length) for offset, length in data if length > 0)
    return merged((start, -(-min(end, size) // CLUSTER) * CLUSTER - start) for start, end in grown if start < size)


def _big(numbers: Iterator[int]) -> bytes:
    return _bytes(array("Q", numbers))


def _bytes(numbers: array[int]) -> bytes:
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


def _padded(content: bytes, clusters: int = 1) -> bytes:
    return content + bytes(clusters * CLUSTER - len(content))


def check_header(head: bytes, name: str, virtual_size: int) -> None:
    """Refuse an image that is not whole in itself, or has another size than the manifest says.

    :param head: the first 512 bytes of the file
    """
    remedy = "export the VM again, or flatten the image with qemu-img convert"
    if len(head) < _HEADER_LENGTH or struct.unpack(">I", head[:4])[0] != _MAGIC:
        raise InputError(f"the file {name} is not a qcow2 image, though the manifest says so", remedy=remedy)
    fields = struct.unpack(_HEADER, head[:_HEADER_LENGTH])
    version, backing, size, crypt, incompatible = fields[1], fields[2], fields[5], fields[6], fields[13]
    # magic 0, version 1, backing 2, size of its name 3, bits 4, size 5, crypt 6, L1 7 8, refcounts 9 10, snapshots 11 12, features 13
    if version not in (2, 3):
        raise InputError(f"the file {name} is qcow2 of version {version}", remedy=remedy)
    if backing:
        raise InputError(f"the file {name} stands on another file outside of the bundle", remedy=remedy)
    if crypt:
        raise InputError(f"the file {name} is encrypted", remedy="export the VM without encryption of its images")
    if version == 3 and incompatible & ~_COMPRESSION_TYPE:
        raise InputError(f"the file {name} keeps its data in another file, or was not closed", remedy=remedy)
    if size != virtual_size:
        raise InputError(
            f"the file {name} holds a disk of {size} bytes, and the manifest says {virtual_size}", remedy="export the VM again"
        )
