# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The placement policy: it comes back as it went, and rules that cannot be meant are refused in one sentence."""

from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.desired_vm import desired_vm
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site, Vm
from ansible_collections.virt8ra.federation.plugins.module_utils.rules import PlacementRules

VM = {"name": "web-1", "cpus": 1, "memory": "256MiB"}
RULES = {
    "forbidden_countries": ["US"],
    "allowed_providers": ["Arsys", "IONOS"],
    "certifications": ["ISO 27001"],
    "cpu_features": ["avx2"],
    "devices": [{"kind": "gpu", "vendor": "NVIDIA", "count": 2}],
    "groups": ["shop"],
    "anti_affinity": [{"group": "web", "level": "site"}],
    "affinity": [{"group": "db", "level": "provider"}],
    "round_trips": [{"site": "rioja", "max_ms": 10}, {"point": "office", "latitude": 42.5, "longitude": -2, "max_ms": 20.5}],
    "weights": {"round_trip": 2, "pack": 0.5},
    "override": {"hypervisor": "kvm1", "reason": "until the new site is there"},
}
ISO = {"claim": "ISO 27001", "value": "certificate 4711"}
TODAY = datetime.date(2026, 11, 24)


def test_rules_come_back_from_json_as_they_went():
    vm = Vm.from_dict({**VM, "placement": RULES})
    assert Vm.from_dict(json.loads(json.dumps(vm.to_dict()))) == vm
    assert vm.rules.labels == ("shop", "web"), "affinity goes to a group, and does not join it"
    assert set(vm.to_dict()["placement"]) == set(RULES), "what says nothing is not written"


@pytest.mark.parametrize("nothing", [{}, {"placement": None}, {"placement": {}}, {"placement": {"groups": None, "weights": {}}}])
def test_a_vm_without_rules_is_as_it_was(nothing):
    vm = Vm.from_dict({**VM, **nothing})
    assert vm == Vm.from_dict(VM)
    assert "placement" not in vm.to_dict()


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"forbidden_countries": ["UK"]}, "placement.forbidden_countries='UK': is not a country; use a two-letter ISO 3166-1 code"),
        (
            {"forbidden_countries": ["DE"]},
            "placement.forbidden_countries='DE': is in allowed_countries too; take it out of one of them",
        ),
        (
            {"allowed_providers": ["Arsys"], "forbidden_providers": ["Arsys"]},
            "placement.forbidden_providers='Arsys': is in allowed_providers too; take it out of one of them",
        ),
        (
            {"anti_affinity": [{"group": "db", "level": "site"}], "affinity": [{"group": "db"}]},
            "placement.affinity='db': is to be together at level hypervisor, and placement.anti_affinity keeps it apart at level site; drop",
        ),
        (
            {"anti_affinity": [{"group": "db"}], "keep_together": [{"group": "db"}]},
            "placement.keep_together='db': is to be together at level hypervisor",
        ),
        ({"weights": {"price": -1}}, "placement.weights.price=-1: is a negative weight; use 0 or more"),
        ({"weights": {"price": True}}, "placement.weights.price=True: is not a number in range"),
        ({"weights": {"cost": 1}}, "placement.weights.cost: is not a known key"),
        ({"weights": {"spread": 1, "pack": 1}}, "placement.weights: has both spread and pack, which undo each other; give weight"),
        ({"weights": {"distance": 1}}, "placement.weights.distance=1.0: has nothing to be near to; add round_trips"),
        ({"round_trips": [{"max_ms": 3}]}, "placement.round_trips[0]: goes to no place, or to several; give exactly one of"),
        ({"round_trips": [{"site": "a", "vm": "b"}]}, "placement.round_trips[0]: goes to no place, or to several"),
        ({"round_trips": [{"point": "a", "latitude": 1}]}, "placement.round_trips[0]: has half of its coordinates; give both"),
        (
            {"round_trips": [{"site": "a", "latitude": 1, "longitude": 1}]},
            "has coordinates, and a has its own; give coordinates to",
        ),
        ({"round_trips": [{"site": "a", "max_ms": 0}]}, "placement.round_trips[0].max_ms=0: is not a number in range"),
        ({"round_trips": [{"site": "a"}, {"site": "a"}]}, "placement.round_trips[1]='a': goes where an earlier one goes; keep one"),
        ({"round_trips": [{"vm": "web-1", "max_ms": 1}]}, "placement.round_trips[0]='web-1': is the VM itself; name another VM"),
        ({"affinity": [{"group": "a"}, {"group": "a", "level": "site"}]}, "placement.affinity='a': is there twice"),
        (
            {"affinity": [{"group": "a", "level": "rack"}]},
            "placement.affinity[0].level='rack': is not one of the choices; use one of",
        ),
        ({"devices": [{"kind": "gpu", "count": 0}]}, "placement.devices[0].count=0: is not a whole number in range"),
        ({"override": {"hypervisor": "kvm1", "reason": " "}}, "placement.override.reason: is empty; say in a sentence"),
        ({"colour": "red"}, "placement.colour: is not a known key"),
        ("anywhere", "placement='anywhere': is not a mapping; write keys and values"),
    ],
)
def test_rules_that_cannot_be_meant(rules, sentence):
    with pytest.raises(InputError) as caught:
        Vm.from_dict({**VM, "allowed_countries": ["ES", "DE"], "placement": rules})
    assert str(caught.value).startswith(sentence) or sentence in str(caught.value)
    assert caught.value.remedy


def test_apart_on_hosts_and_together_at_a_site_is_no_contradiction():
    both = {"anti_affinity": [{"group": "db", "level": "hypervisor"}], "keep_together": [{"group": "db", "level": "site"}]}
    assert PlacementRules.from_dict(both).labels == ("db",)


def test_a_policy_that_cannot_be_read_is_not_lost():
    """It may come from a newer version; a VM must not become free to go anywhere by that."""
    read = PlacementRules.from_metadata({"moons": ["Io"]})
    assert "moons" in read.unreadable
    assert PlacementRules.from_metadata(read.to_dict()) == read
    assert PlacementRules.from_metadata("x").unreadable
    assert PlacementRules.from_metadata(None) is None
    assert PlacementRules.from_metadata({}) is None


def test_what_is_written_must_not_contradict_what_is_there():
    current = Vm.from_dict({**VM, "allowed_countries": ["ES"]})
    with pytest.raises(InputError, match="is in allowed_countries too"):
        desired_vm({"placement": {"forbidden_countries": ["ES"]}}, current)
    assert desired_vm({"placement": {}}, desired_vm({"placement": RULES}, current)) == current


@pytest.mark.parametrize(
    ("attestation", "holds"),
    [
        (ISO, True),
        ({"claim": "ISO 27001"}, True),
        ({**ISO, "issued": "2026-11-24", "expires": "2026-11-24"}, True),
        ({**ISO, "expires": "2026-11-23"}, False),
        ({**ISO, "issued": "2026-11-25"}, False),
        ({**ISO, "value": False}, False),
        ({"value": "ISO 27001"}, False),
    ],
)
def test_a_certification_is_an_attestation_that_holds_today(attestation, holds):
    site = Site.from_dict({"name": "rioja", "provider": "Arsys", "country": "ES", "attestations": [attestation]})
    assert site.certifications(TODAY) == ({"ISO 27001"} if holds else set())
    assert Site.from_dict(site.to_dict()) == site
