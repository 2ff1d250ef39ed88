# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.ordering import ordered, stage
from cluster_world import SHOP, shop, thing
from hypothesis import given, settings
from hypothesis import strategies as st

KINDS = [
    ("v1", "Namespace"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("v1", "ResourceQuota"),
    ("v1", "ServiceAccount"),
    ("v1", "Secret"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Service"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
    ("networking.k8s.io/v1", "Ingress"),
    ("shop.example.org/v1", "Order"),
    ("apiregistration.k8s.io/v1", "APIService"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
]


def test_kinds_come_in_the_order_in_which_they_need_each_other():
    stages = [stage({"apiVersion": version, "kind": kind}) for version, kind in KINDS]
    assert stages == sorted(set(stages))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("networking.k8s.io/v1", "NetworkPolicy"), ("apps/v1", "Deployment")),
        (("scheduling.k8s.io/v1", "PriorityClass"), ("apps/v1", "Deployment")),
        (("apps/v1", "Deployment"), ("autoscaling/v2", "HorizontalPodAutoscaler")),
        (("batch/v1", "CronJob"), ("batch/v1", "Job")),
    ],
)
def test_what_guards_workloads_is_there_before_them(first, then):
    assert stage({"apiVersion": first[0], "kind": first[1]}) < stage({"apiVersion": then[0], "kind": then[1]})


def test_a_kind_of_somebody_elses_group_is_a_custom_resource():
    assert stage({"apiVersion": "example.org/v1", "kind": "Namespace"}) == stage({"apiVersion": "example.org/v1", "kind": "Order"})


def keys(items):
    return [(item["kind"], item["metadata"]["name"]) for item in items]


def test_a_chain_of_the_sample_comes_after_its_first_owner():
    names = keys(ordered(shop()))
    chain = [("Order", "first"), ("ConfigMap", "first-plan"), ("Secret", "first-receipt"), ("ConfigMap", "first-copy")]
    assert [name for name in names if name in chain] == chain
    assert names.index(("Region", "shop-rioja")) < names.index(("ConfigMap", "rioja-taxes"))
    assert names[0] == ("Namespace", SHOP)
    assert names[-1][0] == "ValidatingWebhookConfiguration"


@st.composite
def families(draw):
    """Objects of any kinds, some of which own others, in circles too."""
    number = draw(st.integers(1, 8))
    sorts = [draw(st.sampled_from(KINDS)) for _number in range(number)]
    items = []
    for index, (version, kind) in enumerate(sorts):
        owners = [
            {"apiVersion": sorts[other][0], "kind": sorts[other][1], "name": f"x-{other}", "uid": "u"}
            for other in draw(st.sets(st.integers(0, number - 1), max_size=2))
        ]
        items.append(thing(kind, f"x-{index}", version=version, metadata={"ownerReferences": owners} if owners else {}))
    return items


@settings(deadline=None, max_examples=300)
@given(families(), st.randoms())
def test_nothing_comes_before_what_owns_it_and_the_order_is_always_the_same(items, random):
    found = ordered(items)
    shuffled = list(items)
    random.shuffle(shuffled)
    assert ordered(shuffled) == found
    assert sorted(keys(found)) == sorted(keys(items))
    names = [item["metadata"]["name"] for item in found]
    above = {item["metadata"]["name"]: {owner["name"] for owner in item["metadata"].get("ownerReferences", ())} for item in items}
    for name, owners in above.items():
        for owner in owners:
            if not is_above(name, owner, above):
                assert names.index(owner) < names.index(name)


def is_above(name, other, above):
    """Whether ``name`` owns ``other`` by some way: then the two are in a circle, and nobody is first."""
    seen, waiting = set(), [other]
    while waiting:
        one = waiting.pop()
        if one == name:
            return True
        if one not in seen:
            seen.add(one)
            waiting += above[one]
    return False
