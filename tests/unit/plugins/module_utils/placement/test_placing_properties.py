# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties of placement: no hard rule is broken, the order of the question means nothing, and what can be placed is placed."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_world import GIB, Rules, ask, facts, site, status, vm

COUNTRIES = ("ES", "DE", "FR")
PROVIDERS = ("Arsys", "IONOS")
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
LEVEL = st.sampled_from(("hypervisor", "site", "provider"))
GROUP = st.sampled_from(("a", "b"))


@st.composite
def policies(draw, sites):
    rules = {}
    if draw(st.booleans()):
        rules["groups"] = draw(st.lists(GROUP, max_size=1))
    kind = draw(st.sampled_from(("", "anti_affinity", "keep_together", "affinity")))
    if kind:
        rules[kind] = [{"group": draw(GROUP), "level": draw(LEVEL)}]
    if draw(st.integers(0, 3)) == 0:
        rules["forbidden_providers"] = [draw(st.sampled_from(PROVIDERS))]
    if draw(st.integers(0, 3)) == 0:
        rules["round_trips"] = [{"site": draw(st.sampled_from(sites))["name"], "max_ms": draw(st.sampled_from((5, 12, 30)))}]
    rules["weights"] = draw(st.sampled_from(({}, {"pack": 1}, {"spread": 1, "price": 2}, {"provider_diversity": 1, "energy": 1})))
    return rules


@st.composite
def worlds(draw):
    """Up to three sites of up to two hypervisors, and up to four VMs that nearly fill them."""
    sites, known = [], {}
    for number in range(draw(st.integers(1, 3))):
        names = [f"h{number}{one}" for one in range(draw(st.integers(1, 2)))]
        place = {"latitude": draw(st.sampled_from((40.0, 47.0, 52.0))), "longitude": draw(st.sampled_from((-2.0, 8.0)))}
        provider = draw(st.sampled_from(PROVIDERS))
        price = draw(st.sampled_from((None, 0.01, 0.05)))
        sites.append(site(f"s{number}", names, draw(st.sampled_from(COUNTRIES)), provider, cpu_price=price, energy=price, **place))
        for name in names:
            known[name] = facts(cpus=draw(st.integers(1, 3)), memory=draw(st.integers(1, 6)), disk=draw(st.integers(5, 40)))
    vms = []
    for number in range(draw(st.integers(1, 4))):
        countries = draw(st.lists(st.sampled_from(COUNTRIES), max_size=2, unique=True))
        size = {"cpus": draw(st.integers(1, 6)), "memory": draw(st.integers(1, 3)), "disk": draw(st.integers(0, 20))}
        vms.append(vm(f"v{number}", **size, allowed_countries=countries, placement=draw(policies(sites))))
    return sites, known, vms


@QUIET
@given(worlds())
def test_no_hard_rule_is_broken_and_what_can_be_placed_is_placed(world):
    rules = Rules(*world)
    answer = ask(*world)
    if answer.found:
        assert set(answer.assignment()) == set(rules.vms)
        assert not rules.broken(answer.assignment())
    else:
        assert not rules.can_be_kept()


@QUIET
@given(worlds(), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_the_question_means_nothing(world, random, spare):
    sites, known, vms = world
    one = ask(sites, known, vms, spare=spare)
    shuffled = [{**place, "hypervisors": random.sample(place["hypervisors"], len(place["hypervisors"]))} for place in sites]
    random.shuffle(shuffled)
    names = random.sample(sorted(known), len(known))
    other = ask(shuffled, {name: known[name] for name in names}, random.sample(vms, len(vms)), spare=spare)
    assert other.assignment() == one.assignment()
    assert other.rankings() == one.rankings()
    assert other.exclusions() == one.exclusions()
    assert (other.changes(), other.sentence()) == (one.changes(), one.sentence())


@QUIET
@given(worlds())
def test_with_a_spare_any_site_can_be_lost(world):
    """Each loss is asked anew, as a placement of what was lost at the other sites."""
    sites, known, vms = world
    answer = ask(sites, known, vms, spare=True)
    if not answer.found:
        return
    where = answer.assignment()
    assert not Rules(*world).broken(where)
    specs = {one["name"]: one for one in vms}
    for lost in sites:
        gone = {one["name"] for one in lost["hypervisors"]}
        if not gone & set(where.values()):
            continue
        left = {
            name: _filled(known[name], [specs[one] for one, at in where.items() if at == name])
            for name in known
            if name not in gone
        }
        present = {name: [status(specs[one]) for one, at in where.items() if at == name] for name in left}
        refugees = [specs[one] for one, at in where.items() if at in gone]
        assert ask(sites, left, refugees, present=present).found


def _filled(known, there):
    capacity = {**known["capacity"]}
    capacity["cpus_used"] += sum(one["cpus"] for one in there)
    capacity["memory_used"] += sum(one["memory"] for one in there)
    pool = {**known["pools"][0]}
    pool["free"] -= sum(disk["size"] for one in there for disk in one["disks"])
    return {**known, "capacity": capacity, "pools": [pool]}


@QUIET
@given(worlds())
def test_scores_are_parts_of_one_and_every_place_is_ranked_or_excluded(world):
    sites, _known, _vms = world
    answer = ask(*world)
    for name, ranked in answer.rankings().items():
        excluded = {hypervisor for one in answer.exclusions()[name] for hypervisor in one.hypervisors}
        offered = {one.hypervisor for one in ranked}
        assert offered | excluded == {one["name"] for place in sites for one in place["hypervisors"]}
        assert not offered & excluded
        for one in ranked:
            assert one.score == pytest.approx(sum(one.parts.values()), abs=1e-3)
            assert -1e-9 <= one.score <= 1 + 1e-9


def test_memory_is_what_counts_in_these_worlds():
    """The worlds above are of a size at which both things happen; a check of the checks."""
    sites, known = [site("s0", ["h0"])], {"h0": facts(memory=2)}
    assert ask(sites, known, [vm("v0", memory=2)]).found
    tight = [vm("v0", memory=2), vm("v1")]
    assert not ask(sites, known, tight).found
    assert not Rules(sites, known, tight).can_be_kept()
    assert tight[0]["memory"] == 2 * GIB
