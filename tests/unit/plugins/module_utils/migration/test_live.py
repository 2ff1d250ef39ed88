# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source whose QEMU hears nobody any more: told, and with leave its power is cut."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import MigrationFailed
from ansible_collections.virt8ra.federation.plugins.module_utils.migration import live
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.policy import Policy
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Observed

STUCK = Observed("running", busy=True, stuck=True)


class End:
    def __init__(self, name, *observed):
        self.hypervisor = name
        self.observed = list(observed)
        self.cut_at = None
        self.connection = None
        self.end = self
        self.power = self

    def observe(self):
        return self.observed.pop(0) if len(self.observed) > 1 else self.observed[0]

    def cut(self):
        self.cut_at = True
        self.observed = [Observed("stopped")]


def decided(source, target, *, force_off, monkeypatch):
    monkeypatch.setattr(live, "SETTLE_SECONDS", -1)
    monkeypatch.setattr(live.time, "sleep", lambda _seconds: None)
    policy = Policy(force_off=bool(force_off))
    migration = live.LiveMigration(source, target, policy, SimpleNamespace(), lambda _phase, _figures: None, 0.0, SimpleNamespace())
    return migration._await_decision()


def test_a_source_that_stands_still_is_told(monkeypatch):
    source, target = End("es-1", STUCK), End("de-1", Observed("absent"))
    with pytest.raises(MigrationFailed, match=r"stands still at es-1: .* run it again with force_off: true"):
        decided(source, target, force_off=False, monkeypatch=monkeypatch)
    assert source.cut_at is None


def test_its_power_is_cut_with_leave(monkeypatch):
    source, target = End("es-1", STUCK), End("de-1", Observed("absent"))
    assert decided(source, target, force_off=True, monkeypatch=monkeypatch) == live.ROLL_BACK
    assert source.cut_at


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Observed("running", busy=True), Observed("absent")),
        (STUCK, Observed("unreachable")),
        (STUCK, Observed("paused")),
        (Observed("unreachable"), Observed("absent")),
    ],
)
def test_only_where_the_target_is_known_to_be_gone_and_the_source_to_be_stuck(source, target, monkeypatch):
    ends = End("es-1", source), End("de-1", target)
    assert decided(*ends, force_off=True, monkeypatch=monkeypatch) == live.WAIT
    assert ends[0].cut_at is None
