# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.outcome import (
    COMMIT,
    CONFLICT,
    ROLL_BACK,
    SETTLED,
    WAIT,
    decide,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Observed

RUNNING = Observed("running")
MIGRATED = Observed("stopped", migrated=True)
ARRIVED = Observed("paused", arrived=True)
INCOMING = Observed("paused")
ABSENT = Observed("absent")


@pytest.mark.parametrize(
    ("source", "target", "decision"),
    [
        (MIGRATED, ARRIVED, COMMIT),
        (MIGRATED, INCOMING, COMMIT),
        (Observed("stopped"), ARRIVED, COMMIT),
        (Observed("stopped"), INCOMING, CONFLICT),
        (Observed("crashed"), ARRIVED, CONFLICT),
        (MIGRATED, RUNNING, SETTLED),
        (ABSENT, RUNNING, SETTLED),
        (RUNNING, ARRIVED, ROLL_BACK),
        (RUNNING, ABSENT, ROLL_BACK),
        (Observed("paused"), ARRIVED, ROLL_BACK),
        (Observed("paused"), ABSENT, ROLL_BACK),
        (Observed("crashed"), ABSENT, ROLL_BACK),
        (RUNNING, RUNNING, CONFLICT),
        (Observed("running", busy=True), INCOMING, WAIT),
        (Observed("unreachable"), ARRIVED, WAIT),
        (RUNNING, Observed("unreachable"), WAIT),
    ],
)
def test_the_table(source, target, decision):
    assert decide(source, target) == decision


def test_no_state_resumes_the_target_while_the_source_may_run():
    states = ["running", "paused", "stopped", "crashed", "absent", "unreachable"]
    for source, target in itertools.product(states, states):
        for flags in itertools.product([True, False], repeat=3):
            decision = decide(Observed(source, migrated=flags[0], busy=flags[1]), Observed(target, arrived=flags[2]))
            if decision == COMMIT:
                assert source == "stopped"
                assert target == "paused"
            if decision == ROLL_BACK:
                assert target != "running", "a running copy would be destroyed"


@pytest.mark.parametrize(
    ("source", "target", "decision"),
    [
        ("stopped", "running", "settled"),
        ("stopped", "paused", "commit"),
        ("stopped", "stopped", "restart"),
        ("stopped", "crashed", "restart"),
        ("absent", "stopped", "restart"),
        ("running", "running", "conflict"),
        ("running", "stopped", "conflict"),
        ("stopped", "absent", "conflict"),
        ("unreachable", "stopped", "wait"),
    ],
)
def test_once_the_target_resumed_its_copy_that_copy_counts(source, target, decision):
    assert decide(Observed(source), Observed(target), resumed=True) == decision
