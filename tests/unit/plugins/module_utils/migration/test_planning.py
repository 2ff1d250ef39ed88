# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Windows, estimates, and the mode that auto takes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.estimate import (
    Estimate,
    Measured,
    estimate_cold,
    estimate_live,
    estimate_warm,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.modes import Candidate, choose
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.policy import Policy
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.window import Window

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
MIB = 2**20


@pytest.mark.parametrize(
    ("not_before", "not_after", "sentence"),
    [
        ("soon", None, "not_before='soon': is not a moment"),
        ("2026-11-24T13:00:00", None, "has no time zone"),
        (None, "2026-11-24T11:00:00+00:00", "is in the past"),
        ("2026-11-25T00:00:00Z", "2026-11-24T23:00:00Z", "is not after not_before"),
    ],
)
def test_a_window_that_cannot_be_meant(not_before, not_after, sentence):
    with pytest.raises(InputError, match=sentence):
        Window.from_options(not_before, not_after, NOW)


def test_a_window_opens_and_closes():
    window = Window.from_options("2026-11-24T14:00:00+01:00", "2026-11-24T14:00:00Z", NOW)
    assert (window.seconds_until_open(NOW), window.seconds_left(NOW)) == (3600, 7200)
    assert (window.seconds_until_open(NOW + timedelta(hours=1.5)), window.seconds_left(NOW + timedelta(hours=3))) == (0, 0)
    always = Window.from_options(None, None, NOW)
    assert (always.seconds_until_open(NOW), always.seconds_left(NOW)) == (0, None)


def test_what_is_dirtied_is_sent_again():
    calm = estimate_live(1000 * MIB, 1000 * MIB, Measured(rate=100 * MIB), 0.3)
    busy = estimate_live(1000 * MIB, 1000 * MIB, Measured(rate=100 * MIB, memory_dirty_rate=50 * MIB), 0.3)
    assert (calm.seconds, busy.seconds) == (20, 40)
    assert busy.bytes == 2 * calm.bytes
    assert not estimate_live(MIB, MIB, Measured(100, memory_dirty_rate=100), 0.3).converges
    assert not estimate_warm(MIB, Measured(100, disk_dirty_rate=200)).converges


def test_without_a_rate_there_is_no_time():
    for made in (estimate_live(MIB, MIB, Measured(), 0.3), estimate_warm(MIB, Measured()), estimate_cold(MIB, Measured())):
        assert (made.seconds, made.downtime_seconds) == (None, None)


def test_cold_is_off_all_the_time_and_warm_is_not():
    measured = Measured(rate=10 * MIB, disk_dirty_rate=MIB)
    warm, cold = estimate_warm(10000 * MIB, measured), estimate_cold(10000 * MIB, measured)
    assert cold.downtime_seconds == cold.seconds
    assert warm.downtime_seconds < cold.downtime_seconds / 10


def candidates(live_blockers=(), warm_blockers=(), live_downtime=0.4, *, converges=True):
    return [
        Candidate("live", live_blockers, Estimate(1, 1.0, live_downtime, converges)),
        Candidate("warm", warm_blockers, Estimate(1, 1.0, 40.0, converges=True)),
        Candidate("cold", (), Estimate(1, 1.0, 400.0, converges=True)),
    ]


def test_auto_takes_the_first_that_fits_and_says_why_not_the_others():
    assert choose(candidates(), None).mode == "live"
    blocked = choose(candidates(["the CPU does not fit"]), None)
    assert (blocked.mode, blocked.reason) == ("warm", "not live: the CPU does not fit; warm fits")
    assert choose(candidates(converges=False), None).mode == "warm"
    tight = choose(candidates(live_downtime=70.0), 60)
    assert (tight.mode, "over the budget of 60 s" in tight.reason) == ("warm", True)
    assert choose(candidates(["no"], ["no"]), None).mode == "cold"
    assert "is what is left" in choose(candidates(["no"], ["no"]), 1).reason


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"downtime_budget": 0}, "downtime_budget=0: leaves no time"),
        ({"life_timeout": -1}, "life_timeout=-1: is negative"),
        ({"rounds": 0}, "rounds=0: is less than one"),
        ({"shutdown_mode": "shout"}, "shutdown_mode='shout'"),
        ({"backup_ports": [80, 90]}, "is not a range of ports"),
    ],
)
def test_a_policy_that_cannot_be_meant(options, sentence):
    with pytest.raises(InputError, match=sentence):
        Policy.from_options(options)
