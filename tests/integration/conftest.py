# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests that need the lab; `make lab` sets it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .k3s_lab import K3sLab
from .lab import ADDRESSES, Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab's hosts, provisioned and answering."""
    lab = Lab()
    for host in ADDRESSES:
        lab.run(host, "virsh list")
    return lab


@pytest.fixture(scope="module")
def k3s_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[K3sLab]:
    """Empty hosts for clusters, which are gone after the module, whatever happens in it."""
    with K3sLab(tmp_path_factory.mktemp("k3s")) as lab:
        yield lab
