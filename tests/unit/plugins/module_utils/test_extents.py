# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Byte ranges compared with plain sets of bytes."""

from __future__ import annotations

from ansible_collections.virt8ra.federation.plugins.module_utils import extents
from hypothesis import given
from hypothesis import strategies as st

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=8)


def as_bytes(ranges):
    return {byte for offset, length in ranges for byte in range(offset, offset + length)}


@given(RANGES)
def test_merged_holds_the_same_bytes_in_ranges_that_do_not_touch(ranges):
    merged = extents.merged(ranges)
    assert as_bytes(merged) == as_bytes(ranges)
    assert all(first[0] + first[1] < second[0] for first, second in zip(merged, merged[1:], strict=False))
    assert extents.size(merged) == len(as_bytes(ranges))


@given(RANGES, RANGES)
def test_subtracted_and_common(ranges, others):
    one, other = extents.merged(ranges), extents.merged(others)
    assert as_bytes(extents.subtracted(one, other)) == as_bytes(one) - as_bytes(other)
    assert as_bytes(extents.common(one, other)) == as_bytes(one) & as_bytes(other)


@given(RANGES, st.integers(1, 7))
def test_pieces_are_short_and_cut_at_the_same_places(ranges, longest):
    merged = extents.merged(ranges)
    cut = list(extents.pieces(merged, longest))
    assert as_bytes(cut) == as_bytes(merged)
    assert all(0 < length <= longest and offset // longest == (offset + length - 1) // longest for offset, length in cut)
