# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Byte ranges of a disk, as sorted lists of (offset, length) that neither touch nor overlap. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

Range = tuple[int, int]
Ranges = list[Range]


def merged(ranges: Iterable[Range]) -> Ranges:
    """Sorted, with what touches or overlaps made one; empty ranges are left out."""
    result: Ranges = []
    for offset, length in sorted(ranges):
        if length <= 0:
            continue
        if result and offset <= result[-1][0] + result[-1][1]:
            last, size = result[-1]
            result[-1] = (last, max(size, offset + length - last))
        else:
            result.append((offset, length))
    return result


def subtracted(ranges: Sequence[Range], gone: Sequence[Range]) -> Ranges:
    """What of ``ranges`` is not in ``gone``; both merged."""
    result: Ranges = []
    index = 0
    for offset, length in ranges:
        left, end = offset, offset + length
        while index < len(gone) and gone[index][0] + gone[index][1] <= left:
            index += 1
        at = index
        while at < len(gone) and gone[at][0] < end:
            if gone[at][0] > left:
                result.append((left, gone[at][0] - left))
            left = max(left, gone[at][0] + gone[at][1])
            at += 1
        if left < end:
            result.append((left, end - left))
    return result


def common(ranges: Sequence[Range], others: Sequence[Range]) -> Ranges:
    """What is in both; both merged."""
    return subtracted(ranges, subtracted(ranges, others))


def size(ranges: Iterable[Range]) -> int:
    """Bytes in all."""
    return sum(length for _offset, length in ranges)


def pieces(ranges: Iterable[Range], longest: int) -> Iterator[Range]:
    """The ranges cut at multiples of ``longest`` bytes, so that the same place is always cut the same way."""
    for offset, length in ranges:
        at, end = offset, offset + length
        while at < end:
            stop = min(end, at - at % longest + longest)
            yield at, stop - at
            at = stop
