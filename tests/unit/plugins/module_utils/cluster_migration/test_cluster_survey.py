# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.outside import Definition
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.request import Request
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.scope import carried
from cluster_world import POD, SHOP, facts, lived_in, owned, shop, surveyed, thing

RBAC = "rbac.authorization.k8s.io/v1"


def definition(plural, kind, group="shop.example.org", scope="Namespaced", versions=("v1",), **spec):
    listed = [{"name": version, "served": True} for version in versions]
    body = {"group": group, "scope": scope, "names": {"kind": kind, "plural": plural}, "versions": listed, **spec}
    return thing("CustomResourceDefinition", f"{plural}.{group}", "", "apiextensions.k8s.io/v1", spec=body)


def role(name, *groups, kind="ClusterRole", labels=None, gathers=None):
    rules = [{"apiGroups": [group], "resources": ["*"], "verbs": ["*"]} for group in groups]
    gathered = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": gathers}]}} if gathers else {}
    namespace = SHOP if kind == "Role" else ""
    return thing(kind, name, namespace, RBAC, rules=rules, metadata={"labels": labels or {}}, **gathered)


def binding(name, to, namespace="", subject=SHOP):
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    subjects = [{"kind": "ServiceAccount", "name": "web", "namespace": subject}]
    return thing(kind, name, namespace, RBAC, roleRef={"kind": "ClusterRole", "name": to}, subjects=subjects)


def goes(survey, item, target=None):
    return carried(item, survey.context(target)) is None


def test_the_sample_goes_along_whole():
    survey = surveyed(*shop())
    totals = survey.totals(survey.context())
    assert sum(totals.objects.values()) == len(shop())
    assert totals.left == {}
    assert totals.objects["ClusterRole"] == 3
    assert totals.objects["Region"] == 1
    assert totals.cleaned["identity"] == len(shop())


def test_the_order_in_which_objects_are_seen_makes_no_difference():
    items = shop()
    first = surveyed(*items)
    random.Random(8).shuffle(items)
    second = surveyed(*items)
    assert second.context() == first.context()
    assert second.totals(second.context()) == first.totals(first.context())
    assert second.uses == first.uses


def test_objects_of_other_namespaces_are_not_counted():
    survey = surveyed(*shop(), thing("ConfigMap", "x", "other"))
    totals = survey.totals(survey.context())
    assert totals.left == {"ConfigMap: its namespace stays": 1}


def test_definitions_go_along_with_their_resources_owners_roles_and_converters():
    used, owning, worked_on = (
        definition("orders", "Order"),
        definition("shops", "Shop", "a.org"),
        definition("cars", "Car", "b.org"),
    )
    service = {"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"service": {"namespace": SHOP, "name": "web"}}}}}
    converted, unused = definition("bikes", "Bike", "c.org", **service), definition("boats", "Boat", "d.org")
    survey = surveyed(
        used,
        owning,
        worked_on,
        converted,
        unused,
        thing("Order", "one", version="shop.example.org/v1"),
        thing("ConfigMap", "x", metadata=owned("Shop", "one", "a.org/v1")),
        role("works", "b.org"),
        binding("works", "works"),
    )
    assert [goes(survey, one) for one in (used, owning, worked_on, converted, unused)] == [True, True, True, True, False]


def test_resources_without_a_namespace_go_along_with_their_group():
    wide = definition("regions", "Region", scope="Cluster")
    region = thing("Region", "rioja", "", "shop.example.org/v1")
    assert not goes(surveyed(wide, region), region)
    survey = surveyed(wide, region, definition("orders", "Order"), thing("Order", "one", version="shop.example.org/v1"))
    assert goes(survey, wide)
    assert goes(survey, region)


def test_what_owns_something_goes_along_and_its_siblings_with_it():
    wide = definition("regions", "Region", scope="Cluster")
    item = thing("ConfigMap", "x", metadata=owned("Region", "rioja", "shop.example.org/v1"))
    survey = surveyed(wide, item)
    assert goes(survey, thing("Region", "rioja", "", "shop.example.org/v1"))


def test_how_a_clusters_network_is_set_up_stays():
    wide, policy = definition("pools", "Pool", "cilium.io", "Cluster"), definition("policies", "Policy", "cilium.io")
    survey = surveyed(wide, policy, thing("Policy", "x", version="cilium.io/v2"))
    assert goes(survey, policy)
    assert not goes(survey, thing("Pool", "x", "", "cilium.io/v2"))


def test_roles_go_along_that_are_bound_gathered_gathering_or_about_what_goes_along():
    bound, gathered = role("bound", "", gathers={"in": "bound"}), role("gathered", "apps", labels={"in": "bound"})
    gathering = role("gathering", gathers={"in": "bound"})
    about, other = role("about", "shop.example.org"), role("other", "apps")
    built_in = role("view", "", labels={"kubernetes.io/bootstrapping": "rbac-defaults"})
    survey = surveyed(
        bound,
        gathered,
        gathering,
        about,
        other,
        built_in,
        binding("one", "bound", SHOP),
        binding("two", "view", SHOP),
        binding("three", "other", subject="elsewhere"),
        definition("orders", "Order"),
        thing("Order", "one", version="shop.example.org/v1"),
    )
    found = [goes(survey, one) for one in (bound, gathered, gathering, about, other, built_in)]
    assert found == [True, True, True, True, False, False]


def test_priority_classes_go_along_where_pods_use_them_and_the_target_has_none():
    high, idle = (thing("PriorityClass", name, "", "scheduling.k8s.io/v1", value=5) for name in ("high", "idle"))
    pod = thing("Pod", "alone", spec={**POD, "priorityClassName": "high"})
    survey = surveyed(high, idle, pod)
    assert goes(survey, high)
    assert not goes(survey, idle)
    assert not goes(survey, high, facts(priority_classes={"high": 5}))
    # One that an earlier run made is still this migration's.
    assert goes(survey, high, facts(priority_classes={"high": 5}, ours=frozenset({"high"})))
    mapped = surveyed(high, pod, request=Request(priority_classes={"high": "urgent"}))
    assert not goes(mapped, high)
    assert set(mapped.uses["priority class"]) == {"urgent"}


@pytest.mark.parametrize(
    ("there", "stays"),
    [
        ({}, True),
        ({"served": ("v1", "v2")}, True),
        ({"served": ("v2",)}, False),
        ({"kind": "Other"}, False),
        ({"namespaced": False}, False),
        ({"ours": True}, False),
    ],
)
def test_a_definition_that_the_target_has_stays_as_it_is_where_it_will_do(there, stays):
    orders = definition("orders", "Order")
    survey = surveyed(orders, thing("Order", "one", version="shop.example.org/v1"))
    target = facts(definitions={"orders.shop.example.org": replace(Definition.from_object(orders), **there)})
    assert goes(survey, orders, target) is not stays


def test_endpoints_are_judged_when_their_service_was_seen():
    endpoints, service = thing("Endpoints", "web"), thing("Service", "web", spec={"selector": {"app": "web"}})
    for items in ((endpoints, service), (service, endpoints)):
        assert surveyed(*items).totals(surveyed(*items).context()).objects == {"Service": 1}


def test_claims_are_told_with_both_classes():
    spec = {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = thing("PersistentVolumeClaim", "data", spec=spec, status={"phase": "Bound"})
    volume = surveyed(claim, request=Request(storage_classes={"fast": "ssd"})).volumes[0]
    assert (volume.namespace, volume.claim, volume.bytes, volume.bound) == (SHOP, "data", 2**30, True)
    assert (volume.storage_class, volume.target_class) == ("fast", "ssd")


def test_what_is_missing_is_told_with_who_wants_it():
    pod = thing("Pod", "alone", spec={**POD, "volumes": [{"name": "x", "secret": {"secretName": "tls"}}]})
    assert {name: use.whose for name, use in surveyed(pod).missing("Secret").items()} == {"shop/tls": "Pod shop/alone"}
    assert surveyed(pod, thing("Secret", "tls")).missing("Secret") == {}


def test_finished_jobs_need_nothing_any_more():
    job = thing("Job", "x", version="batch/v1", spec={"template": {"spec": POD}})
    done = {**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    assert surveyed(job).amounts[SHOP]["pods"] == 1
    assert surveyed(done).amounts == {}


def test_the_slowest_pod_says_how_long_stopping_may_take():
    slow, resting = ({"replicas": number, "template": {"spec": {**POD, "terminationGracePeriodSeconds": 90}}} for number in (1, 0))
    assert surveyed(thing("Deployment", "x", version="apps/v1", spec=slow)).grace == 90
    assert surveyed(thing("Deployment", "x", version="apps/v1", spec=resting)).grace == 0


def test_thousands_of_objects_are_not_kept():
    """64 KiB in each of 1,000 ConfigMaps and of 200 Endpoints, which are judged at the end only."""
    survey = surveyed()
    body = "x" * 2**16
    tracemalloc.start()
    try:
        for number in range(1000):
            survey.add(lived_in(thing("ConfigMap", f"c-{number}", data={"a": body + str(number)})))
        for number in range(200):
            survey.add(lived_in(thing("Endpoints", f"e-{number}", subsets=[{"note": body + str(number)}])))
        kept, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert survey.totals(survey.context()).objects == {"ConfigMap": 1000, "Endpoints": 200}
    assert kept < 3 * 2**20
