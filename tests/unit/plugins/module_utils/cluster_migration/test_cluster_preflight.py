# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.estimate import Measured
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.outside import Definition
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.preflight import plan
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.request import Request
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.survey import Source
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.target_facts import Limit, Node, Quota
from cluster_world import POD, SHOP, facts, owned, shop, surveyed, thing

GIB = 2**30


def claim(name="data", phase="Bound", **spec):
    body = {
        "storageClassName": "local-path",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        **spec,
    }
    return thing("PersistentVolumeClaim", name, spec=body, status={"phase": phase})


def pod(name="alone", **spec):
    return thing("Pod", name, spec={**POD, **spec})


def service(name="web", namespace=SHOP, **spec):
    return thing("Service", name, namespace, spec=spec)


def ingress(**spec):
    return thing("Ingress", "web", version="networking.k8s.io/v1", spec=spec)


def planned(*items, request=None, survey=None, begun=False, found=(), **target):
    request = request or Request()
    survey = survey or surveyed(*items, request=request)
    return plan(request, survey, facts(*items, **target), begun=begun, found=found)


def blockers(*items, **more):
    return [(blocker.check, blocker.message) for blocker in planned(*items, **more).blockers]


def only(*items, **more):
    """The one blocker's sentence."""
    found = blockers(*items, **more)
    assert len(found) == 1, found
    message = found[0][1]
    assert re.fullmatch(r"[^\n]+[^.\n]", message)
    assert ";" in message, "a sentence without a remedy"
    return message


def test_the_sample_has_no_blockers():
    assert blockers(*shop()) == []


def test_both_ends_are_one_cluster():
    assert "the same cluster" in only(pod(), uid="uid-es")


@pytest.mark.parametrize(
    ("version", "blocked"), [((1, 36), False), ((1, 33), False), ((1, 32), True), ((2, 0), False), ((0, 0), False)]
)
def test_a_target_that_is_too_old(version, blocked):
    assert [check for check, _message in blockers(pod(), version=version)] == (["version"] if blocked else [])


def test_an_older_target_is_worth_a_warning():
    assert any("older than 1.36" in text for text in planned(pod(), version=(1, 35)).warnings)
    assert not any("older" in text for text in planned(pod(), version=(1, 36)).warnings)


def test_a_namespace_that_is_being_deleted_at_either_end():
    gone = {**thing("Namespace", SHOP, ""), "status": {"phase": "Terminating"}}
    assert "is being deleted at es" in only(gone)
    assert "still being deleted at de" in only(pod(), namespaces={SHOP: "Terminating"})


def test_a_version_that_the_target_does_not_serve():
    old = thing("Thing", "x", version="old.example.org/v1beta1")
    served = frozenset({("old.example.org/v1", "Thing")})
    assert "serves old.example.org/v1:" in only(old, served=served)
    assert "install what serves it" in only(old, served=frozenset())


ORDERS = thing(
    "CustomResourceDefinition",
    "orders.shop.example.org",
    "",
    "apiextensions.k8s.io/v1",
    spec={
        "group": "shop.example.org",
        "scope": "Namespaced",
        "names": {"kind": "Order", "plural": "orders"},
        "versions": [{"name": "v1", "served": True}],
    },
)
ORDER = thing("Order", "one", version="shop.example.org/v1")


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"kind": "Bill"}, "is of kind Bill there"),
        ({"namespaced": False}, "other scope"),
        ({"served": ("v2",)}, "without version v1"),
    ],
)
def test_a_definition_of_the_same_name_that_will_not_do(there, words):
    other = {ORDERS["metadata"]["name"]: replace(Definition.from_object(ORDERS), **there)}
    assert words in only(ORDERS, ORDER, definitions=other)


def test_a_definition_that_will_do_is_told_and_stays():
    same = {ORDERS["metadata"]["name"]: Definition.from_object(ORDERS)}
    served = frozenset({("shop.example.org/v1", "Order")})
    found = planned(ORDERS, ORDER, definitions=same, served=served)
    assert found.blockers == ()
    assert found.objects == {"Order": 1}
    assert any("already, and they stay as they are" in text for text in found.warnings)


@pytest.mark.parametrize(
    ("item", "what", "option"),
    [
        (claim(storageClassName="fast"), "storage class fast", "storage_classes"),
        (
            thing("StatefulSet", "db", version="apps/v1", spec={"volumeClaimTemplates": [{"spec": {"storageClassName": "fast"}}]}),
            "storage class fast",
            "storage_classes",
        ),
        (ingress(ingressClassName="nginx"), "ingress class nginx", "ingress_classes"),
        (pod(priorityClassName="high"), "priority class high", "priority_classes"),
        (pod(runtimeClassName="gvisor"), "runtime class gvisor", "make it there"),
    ],
)
def test_a_class_that_the_target_does_not_have(item, what, option):
    message = only(item)
    assert what in message
    assert option in message


def test_a_mapped_class_is_looked_for_by_its_new_name():
    request = Request(storage_classes={"fast": "local-path"})
    assert blockers(claim(storageClassName="fast"), request=request) == []
    assert "storage class slow" in only(claim(), request=Request(storage_classes={"local-path": "slow"}))


def test_built_in_priorities_are_everywhere():
    assert blockers(pod(priorityClassName="system-cluster-critical")) == []


def test_a_priority_class_of_another_value():
    high = thing("PriorityClass", "high", "", "scheduling.k8s.io/v1", value=5)
    assert "value 5 at es and 9 at de" in only(high, pod(priorityClassName="high"), priority_classes={"high": 9})
    assert blockers(high, pod(priorityClassName="high"), priority_classes={"high": 5}) == []


def test_an_ingress_class_named_by_an_annotation_is_judged_by_what_it_was_at_the_source():
    old = ingress()
    old["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "nginx"}
    there = thing("IngressClass", "nginx", "", "networking.k8s.io/v1")
    assert "ingress class nginx" in only(old, there)
    found = planned(old)
    assert found.blockers == ()
    assert any("named by an annotation only" in text for text in found.warnings)


def test_a_claim_without_a_class_needs_a_default_one():
    item = thing("PersistentVolumeClaim", "x", spec={"resources": {"requests": {"storage": "1Gi"}}})
    assert blockers(item) == []
    assert "no default one" in only(item, default_storage_class="")


def test_a_raw_block_device_cannot_go():
    assert "raw block device" in only(claim(volumeMode="Block"))


def test_a_claim_that_nodes_share_cannot_go_where_a_volume_is_on_one_node():
    shared = claim(accessModes=["ReadWriteMany"])
    assert "shared by nodes" in only(shared)
    found = planned(shared, storage_classes={"local-path": "nfs.csi.k8s.io"})
    assert found.blockers == ()
    assert any("shared by nodes" in text for text in found.warnings)


def test_a_volume_made_by_hand_needs_another_one():
    by_hand = claim(storageClassName="")
    volume = thing("PersistentVolume", "pv", "", spec={"claimRef": {"namespace": SHOP, "name": "data"}})
    assert "has none free of 1.0 GiB" in only(by_hand, volume)
    assert "has none free" in only(by_hand, volume, free_volumes=(("", GIB - 1), ("other", GIB)))
    assert blockers(by_hand, volume, free_volumes=(("", GIB),)) == []
    # A volume is taken once.
    second = claim("more", storageClassName="")
    other = thing("PersistentVolume", "pv-2", "", spec={"claimRef": {"namespace": SHOP, "name": "more"}})
    assert len(blockers(by_hand, volume, second, other, free_volumes=(("", GIB),))) == 1


@pytest.mark.parametrize(
    ("spec", "taken", "option"),
    [
        ({"ports": [{"port": 1, "nodePort": 30980}]}, {"node_ports": {"30980/TCP": "other/web"}}, "node_ports: new"),
        ({"loadBalancerIP": "192.0.2.1"}, {"load_balancer_ips": {"192.0.2.1": "other/web"}}, "load_balancer_ips: new"),
    ],
)
def test_a_port_or_an_address_that_another_service_has(spec, taken, option):
    keep = Request(load_balancer_ips="keep")
    assert option in only(service(**spec), request=keep, **taken)
    assert blockers(service(**spec), request=Request(node_ports="new", load_balancer_ips="new"), **taken) == []
    own = {key: dict.fromkeys(value, "shop/web") for key, value in taken.items()}
    assert blockers(service(**spec), request=keep, **own) == []


def quota(used=0, scoped=False, **hard):
    limits = {key.replace("_", "."): Fraction(value) for key, value in hard.items()}
    return Quota(SHOP, "small", limits, dict.fromkeys(limits, Fraction(used)), scoped)


BIG = {"containers": [{"name": "a", "image": "x", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}]}
WEB = thing("Deployment", "web", version="apps/v1", spec={"replicas": 2, "template": {"spec": BIG}})


@pytest.mark.parametrize(
    ("item", "small", "words"),
    [
        (WEB, quota(pods=1), "leaves 1 of pods, and 2 is needed"),
        (WEB, quota(requests_cpu=3), "leaves 3 of requests.cpu, and 4 is needed"),
        (WEB, quota(cpu=3), "leaves 3 of cpu, and 4 is needed"),
        (WEB, quota(memory=GIB), "leaves 1Gi of memory, and 2Gi is needed"),
        (WEB, quota(used=2, pods=3), "leaves 1 of pods"),
        (WEB, quota(used=5, pods=3), "leaves 0 of pods"),
        (claim(), quota(requests_storage=GIB // 2), "leaves 512Mi of requests.storage"),
        (claim(), quota(persistentvolumeclaims=0), "leaves 0 of persistentvolumeclaims"),
    ],
)
def test_a_quota_that_is_too_small(item, small, words):
    assert words in only(item, quotas=(small,))
    # Once a migration is under way, what is used up is its own.
    assert blockers(item, quotas=(small,), begun=True) == []


def test_quotas_that_are_large_enough_scoped_or_elsewhere_are_none_of_our_affair():
    assert blockers(WEB, quotas=(quota(pods=2),)) == []
    assert blockers(WEB, quotas=(quota(pods=0, scoped=True),)) == []
    assert blockers(WEB, quotas=(replace(quota(pods=0), namespace="other"),)) == []


def test_daemons_count_once_for_each_node():
    daemon = thing("DaemonSet", "x", version="apps/v1", spec={"template": {"spec": BIG}})
    nodes = (Node("a"), Node("b"), Node("c", schedulable=False))
    assert "leaves 3 of requests.cpu, and 4 is needed" in only(daemon, nodes=nodes, quotas=(quota(requests_cpu=3),))


def test_limits_that_a_container_or_a_claim_does_not_keep():
    small = Limit(SHOP, "small", "Container", {"memory": Fraction(GIB // 2)}, {})
    assert "one of Deployment shop/web needs 1Gi" in only(WEB, limits=(small,))
    claims = Limit(SHOP, "small", "PersistentVolumeClaim", {"storage": Fraction(GIB // 2)}, {})
    assert "does not allow a claim of 1.0 GiB" in only(claim(), limits=(claims,))
    least = Limit(SHOP, "small", "PersistentVolumeClaim", {}, {"storage": Fraction(2 * GIB)})
    assert "does not allow a claim of 1.0 GiB" in only(claim(), limits=(least,))
    assert blockers(claim(), limits=(replace(claims, namespace="other"),)) == []


@pytest.mark.parametrize(("choice", "blocked", "warned"), [("block", True, False), ("warn", False, True), ("ignore", False, False)])
def test_images_that_no_node_has(choice, blocked, warned):
    item = thing("Pod", "alone", spec={"containers": [{"name": "a", "image": "registry.es/web:1"}]})
    found = planned(item, request=Request(missing_images=choice))
    assert [one.check for one in found.blockers] == (["image"] if blocked else [])
    assert any("registry.es/web:1" in text for text in found.warnings) is warned


def test_images_are_looked_for_by_their_mapped_names():
    item = thing("Pod", "alone", spec={"containers": [{"name": "a", "image": "registry.es/busybox:1.37"}]})
    request = Request(missing_images="block", images={"registry.es": "docker.io/library"})
    assert blockers(item, request=request) == []


def test_what_the_engine_found_stands_in_the_way_too():
    assert blockers(pod(), found=["the user of de may not create pods"]) == [("target", "the user of de may not create pods")]


def warned(*items, **more):
    return " | ".join(planned(*items, **more).warnings)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (pod(), "1 pod(s) without a controller go along"),
        (thing("ConfigMap", "x", metadata={"labels": {"argocd.argoproj.io/instance": "shop"}}), "Argo CD keeps ConfigMap shop/x"),
        (thing("ConfigMap", "x", metadata={"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}), "Flux keeps ConfigMap shop/x"),
        (thing("ScaledObject", "x", version="keda.sh/v1alpha1"), "KEDA scales ScaledObject shop/x"),
        (thing("HelmChart", "x", version="helm.cattle.io/v1"), "is a HelmChart of k3s"),
        (thing("ConfigMap", "x", metadata={"finalizers": ["a.org/x"]}), "whoever answers to them"),
        (pod(volumes=[{"name": "x", "hostPath": {"path": "/srv"}}]), "/srv (Pod shop/alone)"),
        (pod(nodeSelector={"kubernetes.io/hostname": "es-1"}), "is tied to node es-1"),
        (pod(nodeSelector={"disk": "ssd"}), "wants nodes labelled disk=ssd"),
        (pod(volumes=[{"name": "x", "secret": {"secretName": "tls"}}]), "Secret that is used is not at es either: shop/tls"),
        (claim(phase="Pending"), "have no volume yet"),
        (service(type="LoadBalancer"), "get new addresses, which DNS must learn: shop/web"),
        (service(externalIPs=["192.0.2.7"]), "external IP 192.0.2.7"),
        (thing("Node", "es-1", "", status={"nodeInfo": {"architecture": "arm64"}}), "nodes of de are amd64, those of es arm64"),
        (
            thing(
                "RoleBinding", "x", version="rbac.authorization.k8s.io/v1", roleRef={"kind": "ClusterRole", "name": "cluster-admin"}
            ),
            "do everything at de",
        ),
        (
            thing("RoleBinding", "x", version="rbac.authorization.k8s.io/v1", roleRef={"kind": "ClusterRole", "name": "gone"}),
            "ClusterRole gone, which",
        ),
        (thing("VolumeSnapshot", "x", version="snapshot.storage.k8s.io/v1"), "1 VolumeSnapshot(s) stay behind"),
        (
            thing("Deployment", "x", version="apps/v1", metadata=owned("Shop", "one", "shop.example.org/v1"), spec={}),
            "is made by an operator",
        ),
        (
            thing("Deployment", "x", version="apps/v1", spec={"template": {"spec": BIG}}),
            "all of it needs 2 of requests.cpu, and the nodes of de have 1 in all",
        ),
    ],
)
def test_what_a_person_should_know_before(item, words):
    node = Node("de-1", cpu=Fraction(1), architecture="amd64", images=frozenset({"docker.io/library/busybox:1.37"}))
    assert words in warned(item, nodes=(node,))


def test_an_operator_elsewhere_is_told_and_one_that_comes_along_is_not():
    assert "nobody in these namespaces has a role for the 1 custom resource(s) of shop.example.org" in warned(ORDERS, ORDER)
    rules = [{"apiGroups": ["shop.example.org"], "resources": ["orders"], "verbs": ["*"]}]
    assert "nobody in these namespaces" not in warned(
        ORDERS, ORDER, thing("Role", "x", version="rbac.authorization.k8s.io/v1", rules=rules)
    )


def test_a_mapping_that_nothing_uses_is_likely_misspelt():
    request = Request(storage_classes={"local-paht": "local-path"}, images={"registry.es": "registry.de"})
    text = warned(claim(), request=request)
    assert "storage_classes maps local-paht, which nothing that goes along uses" in text
    assert "images maps registry.es" in text


def test_the_plan_tells_all_of_it():
    request = Request(storage_classes={"fast": "local-path"}, method="auto")
    items = (claim(storageClassName="fast"), pod(), thing("Pod", "made", metadata=owned("ReplicaSet", "web"), spec=POD))
    survey = surveyed(*items, request=request)
    measured = Measured(objects_rate=10, copy_rate=GIB, digest_rate=GIB, changed=0.5, stop_seconds=1, start_seconds=2)
    found = plan(request, survey, facts(*items), measured=measured)
    assert found.objects == {"PersistentVolumeClaim": 1, "Pod": 1}
    assert found.mapped == {"storage class fast → local-path": 1}
    assert found.cleaned == {"status": 1}
    assert found.left == {"Pod: its controller makes it anew": 1}
    assert found.estimate["bytes"] == GIB
    assert found.estimate["downtime_seconds"] == pytest.approx(1 + 2 + 0.5 + 1, abs=0.1)
    assert "up to 1.0 GiB" in " ".join(found.steps)
    assert found.reason


def test_the_plan_is_the_same_whatever_the_order():
    items = shop()
    assert planned(*items).to_dict() == planned(*reversed(items)).to_dict()


def test_the_source_is_named_with_its_version():
    survey = surveyed(pod())
    survey.source = Source("es", "uid-es", (0, 0))
    assert planned(pod(), survey=survey, version=(1, 20)).blockers == ()
