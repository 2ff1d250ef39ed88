# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def test_bytes_take_their_time() -> None:
    clock = Clock()
    pace = Pace(1000, lambda: None, clock, clock.sleep)
    for _piece in range(3):
        pace.spend(700)
    assert clock.now == pytest.approx(102.1) and max(clock.naps) <= 0.5
    clock.now += 60  # nothing is saved up
    pace.spend(1000)
    assert clock.now == pytest.approx(163.1)


def test_no_limit() -> None:
    clock = Clock()
    Pace(0, lambda: None, clock, clock.sleep).spend(2**40)
    assert not clock.naps


def test_a_run_that_must_not_go_on_does_not_wait() -> None:
    clock = Clock()

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Pace(1, check, clock, clock.sleep).spend(1000)
    assert len(clock.naps) == 1
