# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes as people write them."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.sizes import parse_size, show_size


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (512, 512),
        ("512", 512),
        ("512B", 512),
        ("1KiB", 1024),
        (" 64 MiB ", 64 * 2**20),
        ("1.5GiB", 3 * 2**29),
        ("2TiB", 2**41),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_sizes_are_read_exactly(written, size):
    assert parse_size(written, "size") == size


@pytest.mark.parametrize(
    "written", ["", "big", "10GB", "10gib", "-1", "0", 0, -5, "1.3B", True, None, 1.5, ["1"], "1 2", "1e3", "٣"]
)
def test_what_is_no_size_is_refused_with_option_value_and_remedy(written):
    with pytest.raises(InputError) as caught:
        parse_size(written, "disks[0].size")
    assert caught.value.option == "disks[0].size"
    assert caught.value.value == written
    assert "512MiB" in str(caught.value)


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (5 * 2**50, "5120.0 TiB")]
)
def test_sizes_are_shown_in_the_largest_unit_that_fits(size, shown):
    assert show_size(size) == shown
