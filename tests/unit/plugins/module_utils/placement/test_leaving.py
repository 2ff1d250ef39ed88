# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs that must leave where they are: all of them together, among the hypervisors that are offered, or as many as can."""

from __future__ import annotations

from collections import Counter

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from hypothesis import given
from hypothesis import strategies as st
from small_world import GIB, ask, facts, site, status, vm

MADRID = site("madrid", ["kvm9"])
RIOJA = site("rioja", ["kvm1"])
BADEN = site("baden", ["kvm2"], "DE", "IONOS")
SITES = [MADRID, RIOJA, BADEN]
FACTS = {"kvm9": facts(memory_used=4, cpus_used=4), "kvm1": facts(), "kvm2": facts()}
APART = {"anti_affinity": [{"group": "db", "level": "site"}]}


def leave(vms, staying=(), known=None, **more):
    present = {"kvm9": [status(one) for one in vms], **dict(staying)}
    return ask(SITES, known or FACTS, vms, present=present, leave=[one["name"] for one in vms], partial=True, **more)


def why(answer, name):
    return {entry.rule: entry.sentence for entry in answer.exclusions()[name]}


def test_nobody_stays_though_there_is_room():
    answer = leave([vm("web-1"), vm("web-2")])
    assert answer.found and "kvm9" not in answer.assignment().values()
    assert why(answer, "web-1") == {"leave": "VM web-1 is to leave kvm9"}


def test_only_what_is_offered_is_taken():
    answer = leave([vm("web-1")], among=["kvm2"])
    assert answer.assignment() == {"web-1": "kvm2"}
    assert why(answer, "web-1")["offered"] == "kvm1 is not among the hypervisors that VMs may go to"
    assert not leave([vm("web-1", allowed_countries=["ES"])], among=["kvm2"]).assignment()


def test_who_has_no_place_is_told_why_and_keeps_nobody_else():
    answer = leave([vm("large", memory=9), vm("small")])
    assert set(answer.assignment()) == {"small"} and [need.name for need in answer.missing] == ["large"]
    assert why(answer, "large")["memory"].endswith("has 8.0 GiB of memory left of 8.0 GiB, and VM large needs 9.0 GiB")


def test_those_that_leave_together_keep_apart_from_each_other_and_from_who_stays():
    two = [vm("db-1", placement=APART), vm("db-2", placement=APART)]
    assert sorted(leave(two).assignment().values()) == ["kvm1", "kvm2"]
    there = {"kvm2": [status(vm("db-3", placement=APART))]}
    answer = leave(two, there)
    assert list(answer.assignment().values()) == ["kvm1"] and len(answer.missing) == 1


def test_what_is_kept_together_leaves_together():
    policy = {"keep_together": [{"group": "shop", "level": "site"}]}
    answer = leave([vm("shop-1", placement=policy), vm("shop-2", placement=policy)])
    assert answer.found and len(set(answer.assignment().values())) == 1


def test_a_spec_that_cannot_be_read_is_told_and_keeps_nobody_else():
    question = [vm("web-1"), {"name": "odd", "cpus": "many"}, vm("web-2", placement={"certifications": ["BSI C5"]})]
    answer = ask(SITES, FACTS, question, partial=True)
    assert set(answer.assignment()) == {"web-1"}
    with pytest.raises(InputError, match="cpus"):
        ask(SITES, FACTS, question[:2])
    with pytest.raises(InputError, match="attested by no site"):
        ask(SITES, FACTS, question[2:])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"leave": ["web-9"]}, "leave='web-9': is not a VM to be placed; use one of: web-1"),
        ({"among": ["kvm7"]}, "among='kvm7': is not a hypervisor of any site; use those of the sites: kvm1, kvm2, kvm9"),
    ],
)
def test_names_that_nobody_has_are_refused(more, sentence):
    with pytest.raises(InputError) as refusal:
        ask(SITES, FACTS, [vm("web-1")], **more)
    assert str(refusal.value) == sentence


@given(st.lists(st.integers(1, 6), max_size=10), st.randoms(use_true_random=False))
def test_memory_is_never_given_twice_and_the_order_does_not_matter(sizes, random):
    vms = [vm(f"vm-{number}", memory=size) for number, size in enumerate(sizes)]
    known = {
        "kvm9": facts(memory=64, memory_used=sum(sizes), cpus_used=len(sizes)),
        "kvm1": facts(memory=10),
        "kvm2": facts(memory=7),
    }
    answer = leave(vms, known=known)
    used = Counter()
    for one in vms:
        used[answer.assignment().get(one["name"])] += one["memory"]
    assert used["kvm1"] <= 10 * GIB and used["kvm2"] <= 7 * GIB and not used["kvm9"]
    assert set(answer.assignment()) | {need.name for need in answer.missing} == {one["name"] for one in vms}
    random.shuffle(vms)
    assert leave(vms, known=known).assignment() == answer.assignment()
