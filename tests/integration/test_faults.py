# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The short form of the fault matrix; `make faults` carries all of it out."""

from __future__ import annotations

import pytest

from tests.faults.case import carry_out
from tests.faults.matrix import every, short


@pytest.mark.parametrize("plan", short(), ids=str)
def test_a_fault_is_survived(lab, plan):
    result = carry_out(lab, plan)
    assert result["survived"], result["why"]


def test_the_matrix_covers_every_mode_and_is_large_enough():
    assert len(every()) >= 60
    assert {plan.mode for plan in every()} == {"live", "warm", "cold"}
