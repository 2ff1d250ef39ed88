# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests that need the lab; `make lab` sets it up."""

from __future__ import annotations

import pytest

from .lab import ADDRESSES, Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab's hosts, provisioned and answering."""
    lab = Lab()
    for host in ADDRESSES:
        lab.run(host, "virsh list")
    return lab
