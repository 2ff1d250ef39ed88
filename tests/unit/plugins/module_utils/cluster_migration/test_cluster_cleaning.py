# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.cleaning import cleaned
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.mapping import Mappings
from cluster_world import POD, SHOP, lived_in, owned, shop, thing, written
from hypothesis import given, settings
from hypothesis import strategies as st

MAPPINGS = Mappings(namespaces=frozenset({SHOP}))
NEW = Mappings(keep_node_ports=False, namespaces=frozenset({SHOP}))


def clean(item, mappings=MAPPINGS):
    return cleaned(item, mappings).object


def test_the_sample_comes_back_as_it_was_written():
    """But for what has to be another one: gathered rules, owners' UIDs, what the cluster fills in."""
    for wanted, item in zip(written(), shop()):
        wanted["metadata"].pop("ownerReferences", None)
        if wanted["kind"] == "ClusterRole" and "aggregationRule" in wanted:
            wanted.pop("rules", None)
        assert clean(item) == wanted


def test_the_object_itself_stays_as_it_is():
    item = shop()[0]
    before = copy.deepcopy(item)
    cleaned(item, MAPPINGS)
    assert item == before


def test_what_the_server_said_goes_and_is_told():
    item = lived_in(thing("Deployment", "web", version="apps/v1", spec={}, metadata=owned("Shop", "one", "shop.example.org/v1")))
    found = cleaned(item, MAPPINGS)
    assert found.object == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": SHOP},
        "spec": {},
    }
    assert found.removed == ("annotations of the old cluster", "identity", "owner UIDs", "status")
    assert found.owners == tuple(item["metadata"]["ownerReferences"])


@pytest.mark.parametrize(
    ("finalizer", "stays"),
    [
        ("foregroundDeletion", False),
        ("orphan", False),
        ("kubernetes", False),
        ("kubernetes.io/pvc-protection", False),
        ("service.kubernetes.io/load-balancer-cleanup", False),
        ("customresourcecleanup.apiextensions.k8s.io", False),
        ("shop.example.org/guard", True),
        ("cluster.cluster.x-k8s.io", True),
        ("finalizer.example.org", True),
    ],
)
def test_finalizers_of_users_and_operators_stay(finalizer, stays):
    found = clean(thing("ConfigMap", "x", metadata={"finalizers": [finalizer]}))
    assert found["metadata"].get("finalizers") == ([finalizer] if stays else None)


def test_annotations_of_users_stay():
    own = {"shop.example.org/note": "a", "deployment.kubernetes.io/own": "b"}
    theirs = {
        "deployment.kubernetes.io/revision": "3",
        "pv.kubernetes.io/bind-completed": "yes",
        "volume.kubernetes.io/selected-node": "es-1",
    }
    assert clean(thing("ConfigMap", "x", metadata={"annotations": {**own, **theirs}}))["metadata"]["annotations"] == own


SERVICE = {
    "type": "LoadBalancer",
    "clusterIP": "10.43.0.9",
    "clusterIPs": ["10.43.0.9"],
    "healthCheckNodePort": 31000,
    "loadBalancerIP": "192.0.2.1",
    "ipFamilies": ["IPv4"],
    "ports": [{"port": 80, "nodePort": 30980}],
}


def test_a_service_keeps_its_ports_and_families_and_not_its_addresses():
    spec = clean(thing("Service", "web", spec=SERVICE))["spec"]
    assert spec == {
        "type": "LoadBalancer",
        "healthCheckNodePort": 31000,
        "ipFamilies": ["IPv4"],
        "ports": [{"port": 80, "nodePort": 30980}],
    }
    assert clean(thing("Service", "web", spec=SERVICE), NEW)["spec"]["ports"] == [{"port": 80}]
    assert "healthCheckNodePort" not in clean(thing("Service", "web", spec=SERVICE), NEW)["spec"]
    kept = Mappings(keep_load_balancer_ips=True)
    assert clean(thing("Service", "web", spec=SERVICE), kept)["spec"]["loadBalancerIP"] == "192.0.2.1"


def test_a_headless_service_stays_headless():
    spec = {"clusterIP": "None", "clusterIPs": ["None"]}
    assert clean(thing("Service", "web", spec=spec))["spec"] == spec


def test_a_claim_lets_the_old_volume_go():
    spec = {
        "volumeName": "pvc-1",
        "selector": {"matchLabels": {"a": "b"}},
        "dataSource": {"kind": "VolumeSnapshot", "name": "x"},
        "dataSourceRef": {"kind": "VolumeSnapshot", "name": "x"},
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    left = clean(thing("PersistentVolumeClaim", "data", spec=spec))["spec"]
    assert left == {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}


TOKEN_MOUNT = {"name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
TOKEN_VOLUME = {"name": "kube-api-access-x7k2p", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}


def test_a_bare_pod_loses_its_node_and_its_token():
    spec = {
        "nodeName": "es-1",
        "priority": 1000,
        "preemptionPolicy": "Never",
        "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
        "containers": [{"name": "web", "image": "busybox", "volumeMounts": [{"name": "data", "mountPath": "/data"}, TOKEN_MOUNT]}],
        "volumes": [{"name": "data", "emptyDir": {}}, TOKEN_VOLUME],
    }
    assert clean(thing("Pod", "alone", spec=spec))["spec"] == {
        "containers": [{"name": "web", "image": "busybox", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }


def test_a_token_that_a_user_mounts_elsewhere_stays():
    mount = {"name": "web-token-x7k2p", "mountPath": "/tokens"}
    spec = {
        "serviceAccountName": "web",
        "containers": [{"name": "web", "image": "busybox", "volumeMounts": [mount]}],
        "volumes": [{"name": "web-token-x7k2p", "secret": {"secretName": "web-token-x7k2p"}}],
    }
    assert clean(thing("Pod", "alone", spec=copy.deepcopy(spec)))["spec"] == spec


def test_a_template_is_untied_from_its_node():
    spec = {"template": {"metadata": {"creationTimestamp": None, "labels": {"a": "b"}}, "spec": {**POD, "nodeName": "es-1"}}}
    assert clean(thing("Deployment", "web", version="apps/v1", spec=spec))["spec"] == {
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}
    }


JOB = {
    "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
    "template": {"metadata": {"labels": {"app": "x", "controller-uid": "u", "job-name": "x"}}, "spec": POD},
}


def test_a_job_gets_a_selector_of_its_own():
    assert clean(thing("Job", "x", version="batch/v1", spec=JOB))["spec"] == {
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": POD}
    }
    chosen = {**JOB, "manualSelector": True}
    assert clean(thing("Job", "x", version="batch/v1", spec=chosen))["spec"] == chosen


def test_tokens_stay_and_what_people_made_of_them_goes_along_empty():
    secret = thing("Secret", "robot", type="kubernetes.io/service-account-token", data={"token": "x"})
    assert "data" not in clean(secret)
    own = thing("Secret", "own", type="Opaque", data={"a": "b"})
    assert clean(own)["data"] == {"a": "b"}
    account = thing(
        "ServiceAccount",
        "web",
        secrets=[{"name": "web-token-x7k2p"}, {"name": "web-dockercfg-abcde"}, {"name": "mine"}],
        imagePullSecrets=[{"name": "web-dockercfg-abcde"}],
    )
    assert clean(account) == thing("ServiceAccount", "web", secrets=[{"name": "mine"}])


def test_bindings_and_webhooks_are_cut_down_to_the_namespaces():
    here, there = ({"kind": "ServiceAccount", "name": "web", "namespace": name} for name in (SHOP, "other"))
    binding = thing(
        "ClusterRoleBinding", "x", "", "rbac.authorization.k8s.io/v1", subjects=[there, here, {"kind": "User", "name": "ana"}]
    )
    found = cleaned(binding, MAPPINGS)
    assert found.object["subjects"] == [here]
    assert found.removed == ("subjects elsewhere",)
    hooks = [
        {"name": name, "clientConfig": {"caBundle": "abc", "service": {"name": "web", "namespace": name}}}
        for name in (SHOP, "other")
    ]
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        made = clean(thing(kind, "x", "", "admissionregistration.k8s.io/v1", webhooks=hooks))
        assert made["webhooks"] == hooks[:1]


def test_roles_of_a_namespace_are_not_cut():
    subjects = [{"kind": "User", "name": "ana"}, {"kind": "ServiceAccount", "name": "web", "namespace": "other"}]
    binding = thing("RoleBinding", "x", version="rbac.authorization.k8s.io/v1", subjects=subjects)
    assert clean(binding)["subjects"] == subjects


def test_addresses_written_by_hand_stay_without_the_old_nodes():
    address = {"ip": "192.0.2.1", "nodeName": "es-1", "targetRef": {"kind": "Pod", "name": "x"}}
    assert clean(thing("Endpoints", "erp", subsets=[{"addresses": [dict(address)]}]))["subsets"] == [
        {"addresses": [{"ip": "192.0.2.1"}]}
    ]
    endpoint = {"addresses": ["192.0.2.1"], "nodeName": "es-1", "zone": "a"}
    made = clean(thing("EndpointSlice", "erp", version="discovery.k8s.io/v1", endpoints=[endpoint]))
    assert made["endpoints"] == [{"addresses": ["192.0.2.1"]}]


def test_a_priority_class_does_not_become_the_targets_default():
    made = clean(thing("PriorityClass", "x", "", "scheduling.k8s.io/v1", value=5, globalDefault=True))
    assert made == thing("PriorityClass", "x", "", "scheduling.k8s.io/v1", value=5)


def test_custom_resources_keep_their_spec_whatever_is_in_it():
    spec = {"nodeName": "es-1", "clusterIP": "10.0.0.1", "volumeName": "x", "template": {"spec": {"nodeName": "es-1"}}}
    item = thing("Deployment", "x", version="example.org/v1", spec=spec, status={"phase": "up"})
    assert clean(item) == thing("Deployment", "x", version="example.org/v1", spec=spec)


# Properties: whatever an API server may hold, in the shapes that are cleaned.

words = st.sampled_from(
    ["a", "web", "es-1", "kube-api-access-abcde", "web-token-abcde", "None", "", "kubernetes.io/x", "shop.example.org/x"]
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(0, 99), words)
keys = st.sampled_from(
    """metadata spec status template jobTemplate containers initContainers ephemeralContainers volumes volumeMounts name namespace
    mountPath nodeName clusterIP clusterIPs ports nodePort selector labels annotations finalizers creationTimestamp secrets data
    webhooks clientConfig service subjects kind volumeClaimTemplates subsets addresses targetRef endpoints zone projected secret
    healthCheckNodePort loadBalancerIP image ephemeral storageClassName priorityClassName manualSelector""".split()
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(st.dictionaries(keys, inner, max_size=4), max_size=3), st.dictionaries(keys, inner, max_size=5)
    ),
    max_leaves=25,
)
SORTS = sorted({(item["apiVersion"], item["kind"]) for item in written()} | {("v1", "PodTemplate"), ("batch/v1", "CronJob")})
metadata = st.fixed_dictionaries(
    {"name": st.just("web"), "namespace": st.just(SHOP)},
    optional={
        "uid": words,
        "labels": st.one_of(st.none(), st.dictionaries(words, words, max_size=3)),
        "annotations": st.one_of(st.none(), st.dictionaries(words, words, max_size=3)),
        "finalizers": st.one_of(st.none(), st.lists(words, max_size=3)),
        "ownerReferences": st.just([{"apiVersion": "v1", "kind": "Secret", "name": "x", "uid": "u"}]),
    },
)
bodies = st.dictionaries(keys.filter(lambda key: key not in ("metadata", "kind")), values, max_size=6)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(SORTS), metadata, bodies)
def test_to_clean_twice_is_to_clean_once(sort, head, body):
    item = {"apiVersion": sort[0], "kind": sort[1], "metadata": head, **body}
    before = copy.deepcopy(item)
    once = cleaned(item, MAPPINGS)
    twice = cleaned(once.object, MAPPINGS)
    assert item == before
    assert twice.object == once.object
    assert (twice.removed, twice.mapped, twice.owners) == ((), (), ())


def test_the_sample_cleaned_twice_is_cleaned_once():
    for item in shop():
        once = cleaned(item, NEW)
        assert cleaned(once.object, NEW).removed == ()
