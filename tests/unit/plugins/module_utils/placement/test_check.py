# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy at one place, as a migration asks for it."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site, Vm
from ansible_collections.virt8ra.federation.plugins.module_utils.placement.check import broken_rules
from ansible_collections.virt8ra.federation.plugins.module_utils.placement.places import Present
from small_world import TODAY, facts, site, vm

RIOJA = site("rioja", ["kvm1"], latitude=42.46, longitude=-2.45)
BADEN = site("baden", ["kvm2"], "DE", "IONOS", latitude=49.01, longitude=8.40)
SITES = (Site.from_dict(RIOJA), Site.from_dict(BADEN))
APART = {"anti_affinity": [{"group": "db", "level": "site"}]}


def sentences(policy, known=None, **more):
    one = Vm.from_dict(vm("db-1", placement=policy, allowed_countries=more.pop("countries", [])))
    return [breach.sentence for breach in broken_rules(one, SITES[1], "kvm2", known, TODAY, sites=SITES, **more)]


def test_nothing_is_broken_without_a_policy_and_room_is_not_looked_at():
    assert sentences({}) == []
    assert sentences({}, facts(memory=1, memory_used=1)) == []


@pytest.mark.parametrize(
    ("policy", "more", "sentence"),
    [
        ({}, {"countries": ["ES"]}, "VM db-1 may run in ES only, and site baden is in DE"),
        ({"forbidden_providers": ["IONOS"]}, {}, "VM db-1 may not run at IONOS, the provider of site baden"),
        ({"certifications": ["ISO 27001"]}, {}, "VM db-1 needs ISO 27001, which site baden does not attest today"),
        ({"cpu_features": ["amx"]}, {"known": facts()}, "a guest at kvm2 cannot have the CPU features amx, which VM db-1 needs"),
        (
            {"round_trips": [{"site": "rioja", "max_ms": 20}]},
            {"latencies": [{"source": "kvm1", "target": "kvm2", "median_ms": 25}]},
            "it is 25.0 ms from kvm2 to rioja, and VM db-1 allows 20 ms",
        ),
        (
            APART,
            {"present": {"kvm2": [Present(Vm.from_dict(vm("db-2", placement=APART)), "kvm2", running=True, movable=True)]}},
            "db-2 of the group db is at site baden, and VM db-1 is to be apart from it",
        ),
    ],
)
def test_each_broken_rule_is_a_sentence(policy, more, sentence):
    assert sentences(policy, **more) == [sentence]


def test_an_override_is_leave_for_that_hypervisor_only():
    policy = {"forbidden_providers": ["IONOS"], "override": {"hypervisor": "kvm2", "reason": "until spring"}}
    assert sentences(policy) == []
    assert sentences({**policy, "override": {"hypervisor": "kvm1", "reason": "until spring"}})


def test_a_limit_that_was_not_measured_excludes_only_what_the_distance_does():
    assert sentences({"round_trips": [{"site": "rioja", "max_ms": 12}]}) == []
    assert len(sentences({"round_trips": [{"site": "rioja", "max_ms": 11}]})) == 1
