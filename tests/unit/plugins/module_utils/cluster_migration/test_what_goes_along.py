# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which objects go along, how they are cleaned and mapped, and in which order: on the sample, and on whatever can be drawn."""

from __future__ import annotations

import copy
import random

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.cleaning import cleaned
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.mapping import image_at_target
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.ordering import stage
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.quantity import quantity
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.request import Mappings, Request
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.scope import Context, carried, chosen
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.survey import Survey
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from hypothesis import given
from hypothesis import strategies as st

from tests.applications import sample

SHOP = frozenset({"shop"})
OPTIONS = {
    "namespaces": ["shop"],
    "exclude_namespaces": [],
    "exclude_kinds": [],
    "storage_classes": {},
    "ingress_classes": {},
    "priority_classes": {},
    "images": {},
    "node_ports": "keep",
    "load_balancer_ips": "new",
    "missing_images": "warn",
}
# What a server adds to what it is given.
SERVERS = {
    "uid": "1",
    "resourceVersion": "7",
    "generation": 2,
    "creationTimestamp": "2026-11-01T00:00:00Z",
    "managedFields": [{"manager": "kubectl"}],
}


def lived(item):
    """As a server gives it back."""
    found = copy.deepcopy(item)
    found["metadata"].update(SERVERS)
    found["metadata"].setdefault("annotations", {})["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    found["status"] = {"observedGeneration": 2}
    return found


def shop():
    return [lived(item) for item in sample.objects("shop")]


def made(kind, name="one", api_version="v1", namespace="shop", **more):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def owned(kind, by, api_version="v1", owners_version="apps/v1"):
    owner = {"apiVersion": owners_version, "kind": by, "name": "x", "uid": "u", "controller": True}
    return made(kind, api_version=api_version, metadata={"ownerReferences": [owner]})


def survey_of(items, **options):
    survey = Survey(Request.from_options({**OPTIONS, **options}), SHOP)
    for item in items:
        survey.add(item)
    return survey


def test_all_of_the_sample_goes_along_but_roles_that_nobody_has():
    items = shop()
    context = survey_of(items).context()
    stay = {(item["kind"], item["metadata"]["name"]) for item in items if carried(item, context) is not None}
    assert stay == {("ClusterRole", "shop-everything"), ("ClusterRole", "shop-edits-orders")}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (owned("ReplicaSet", "Deployment", "apps/v1"), "is made by its Deployment"),
        (owned("Pod", "ReplicaSet"), "is made by its ReplicaSet"),
        (owned("Job", "CronJob", "batch/v1", "batch/v1"), "is made by its CronJob"),
        (owned("EndpointSlice", "Service", "discovery.k8s.io/v1", "v1"), "is made by its Service"),
        (owned("Deployment", "Cache", "apps/v1", "cache.example.org/v1"), None),
        # A kind of somebody's own that has the name of one of Kubernetes'.
        (owned("ConfigMap", "Service", "v1", "serving.example.org/v1"), None),
        (made("ConfigMap", "kube-root-ca.crt"), "is the cluster's own"),
        (made("Lease", api_version="coordination.k8s.io/v1"), "is the cluster's own"),
        (made("ConfigMap", metadata={"deletionTimestamp": "now"}), "is being deleted"),
        (made("ConfigMap", namespace="other"), "is in another namespace"),
        (made("ConfigMap", metadata={"labels": {"objectset.rio.cattle.io/id": "a"}}), "belongs to the Kubernetes distribution"),
        (made("ConfigMap", metadata={"labels": {"federation.virt8ra.eu/migration": "a"}}), "is a migration's own"),
        (made("Pod", metadata={"annotations": {"kubernetes.io/config.mirror": "a"}}), "is a node's own"),
        (made("Endpoints"), None),
        (made("Namespace", "shop", namespace=""), None),
        (made("Namespace", "other", namespace=""), "is not needed by the namespaces"),
        (made("PersistentVolume", namespace=""), "is the cluster's own"),
        (made("StorageClass", api_version="storage.k8s.io/v1", namespace=""), "is the cluster's own"),
    ],
)
def test_what_makes_itself_anew_and_what_is_the_clusters_stays(item, reason):
    assert carried(item, Context(SHOP)) == reason


def test_endpoints_of_a_service_that_selects_stay_and_those_made_by_hand_go():
    service = made("Service", "web", spec={"selector": {"app": "web"}})
    items = [made("Endpoints", "web"), made("Endpoints", "erp"), service, made("Service", "erp", spec={})]
    survey = survey_of(items)
    assert [item["metadata"]["name"] for item in items[:2] if carried(item, survey.context()) is None] == ["erp"]
    assert survey.objects() == {"Endpoints": 1, "Service": 2}


def test_only_the_roles_that_are_bound_go_along_with_those_that_they_gather():
    gather = {"clusterRoleSelectors": [{"matchLabels": {"gathered": "yes"}}]}
    group = "rbac.authorization.k8s.io/v1"
    items = [
        made("ClusterRole", "all", group, "", aggregationRule=gather, rules=[{"verbs": ["get"]}]),
        made("ClusterRole", "part", group, "", metadata={"labels": {"gathered": "yes"}}),
        made("ClusterRole", "nobodys", group, ""),
        made("ClusterRole", "view", group, "", metadata={"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}),
        made("RoleBinding", "a", group, roleRef={"kind": "ClusterRole", "name": "all"}),
        made("RoleBinding", "b", group, roleRef={"kind": "ClusterRole", "name": "view"}),
    ]
    context = survey_of(items).context()
    assert context.cluster_roles == {"all", "part"}
    assert cleaned(items[0], Mappings()).object["rules"] == []


def test_a_binding_of_the_whole_cluster_is_cut_down_to_what_moves():
    subjects = [
        {"kind": "ServiceAccount", "name": "web", "namespace": "shop"},
        {"kind": "ServiceAccount", "name": "web", "namespace": "other"},
        {"kind": "Group", "name": "auditors"},
    ]
    binding = made(
        "ClusterRoleBinding",
        "x",
        "rbac.authorization.k8s.io/v1",
        "",
        subjects=subjects,
        roleRef={"kind": "ClusterRole", "name": "r"},
    )
    found = cleaned(binding, Mappings(), SHOP)
    assert found.object["subjects"] == subjects[:1] and found.removed == ("subjects of other namespaces",)


def test_cleaning_leaves_what_people_wrote_and_nothing_of_the_old_cluster():
    for item in shop():
        before = copy.deepcopy(item)
        found = cleaned(item, Mappings(), SHOP).object
        assert item == before
        assert not set(found["metadata"]) & {*SERVERS, "ownerReferences"} and "status" not in found
        assert "kubectl.kubernetes.io/last-applied-configuration" not in (found["metadata"].get("annotations") or {})
        if item["kind"] in ("ConfigMap", "Role", "PriorityClass", "NetworkPolicy", "Order"):
            wanted = {key: value for key, value in item.items() if key not in ("metadata", "status")}
            assert {key: value for key, value in found.items() if key != "metadata"} == wanted


def test_cleaning_what_is_clean_changes_nothing():
    mappings = Mappings(images={"docker.io/": "mirror.example.org/"}, node_ports="new")
    for item in shop():
        once = cleaned(item, mappings, SHOP).object
        again = cleaned(once, mappings, SHOP)
        assert again.object == once and not again.removed and not again.changed, item["kind"]


@pytest.mark.parametrize(
    ("item", "left", "removed"),
    [
        (made("Service", spec={"clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"]}), {}, "cluster IPs"),
        (made("Service", spec={"clusterIP": "None", "clusterIPs": ["None"]}), {"clusterIP": "None", "clusterIPs": ["None"]}, None),
        (
            made("PersistentVolumeClaim", spec={"volumeName": "pvc-1", "storageClassName": "a"}),
            {"storageClassName": "a"},
            "names of volumes",
        ),
        (made("Job", api_version="batch/v1", spec={"selector": {"matchLabels": {"controller-uid": "1"}}}), {}, "selectors of Jobs"),
        (
            made("Job", api_version="batch/v1", spec={"manualSelector": True, "selector": {}}),
            {"manualSelector": True, "selector": {}},
            None,
        ),
        (made("Pod", spec={"nodeName": "n1", "priority": 5}), {}, "names of nodes"),
    ],
)
def test_each_kind_loses_what_belongs_to_its_cluster(item, left, removed):
    found = cleaned(item, Mappings())
    assert found.object["spec"] == left
    assert (removed in found.removed) if removed else not found.removed


def test_a_token_is_filled_in_by_the_target():
    annotations = {"kubernetes.io/service-account.name": "robot", "kubernetes.io/service-account.uid": "u"}
    token = made(
        "Secret", metadata={"annotations": annotations}, type="kubernetes.io/service-account-token", data={"token": "eA=="}
    )
    found = cleaned(token, Mappings()).object
    assert "data" not in found and found["metadata"]["annotations"] == {"kubernetes.io/service-account.name": "robot"}


def test_finalizers_of_people_stay_and_the_clusters_own_go():
    claim = made(
        "PersistentVolumeClaim", metadata={"finalizers": ["kubernetes.io/pvc-protection", "shop.example.org/guard"]}, spec={}
    )
    assert cleaned(claim, Mappings()).object["metadata"]["finalizers"] == ["shop.example.org/guard"]


def test_classes_and_images_have_the_names_of_the_target():
    mappings = Mappings(
        storage_classes={"fast": "ssd"},
        ingress_classes={"traefik": "nginx"},
        priority_classes={"high": "gold"},
        images={"reg.a": "reg.b/x"},
    )
    pod = {
        "priorityClassName": "high",
        "containers": [{"name": "a", "image": "reg.a/web:1"}],
        "initContainers": [{"name": "b", "image": "reg.az/x"}],
    }
    job = {"spec": {"template": {"spec": pod}}}
    cron = cleaned(made("CronJob", api_version="batch/v1", spec={"jobTemplate": job}), mappings)
    spec = cron.object["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "reg.b/x/web:1" and spec["initContainers"][0]["image"] == "reg.az/x"
    assert spec["priorityClassName"] == "gold" and "priority class high → gold" in cron.changed
    claim = cleaned(made("PersistentVolumeClaim", spec={"storageClassName": "fast"}), mappings)
    assert claim.object["spec"] == {"storageClassName": "ssd"} and claim.changed == ("storage class fast → ssd",)
    ingress = made("Ingress", api_version="networking.k8s.io/v1", spec={"ingressClassName": "traefik"})
    assert cleaned(ingress, mappings).object["spec"] == {"ingressClassName": "nginx"}


@given(
    st.text("ab/:.@", max_size=12),
    st.dictionaries(st.text("ab/.", min_size=1, max_size=4), st.text("xy/", min_size=1, max_size=4), max_size=3),
)
def test_an_image_is_mapped_by_whole_parts_or_not_at_all(image, images):
    found = image_at_target(image, images)
    if found != image:
        assert any(image.startswith(old) and found == new + image[len(old) :] for old, new in images.items())


def test_the_order_has_namespaces_first_what_others_need_before_them_and_webhooks_last():
    ordered = [
        made("Namespace"),
        made("CustomResourceDefinition", api_version="apiextensions.k8s.io/v1"),
        made("ServiceAccount"),
        made("Secret"),
        made("PersistentVolumeClaim"),
        made("Order", api_version="shop.example.org/v1"),
        made("Deployment", api_version="apps/v1"),
        made("HorizontalPodAutoscaler", api_version="autoscaling/v2"),
        made("ValidatingWebhookConfiguration", api_version="admissionregistration.k8s.io/v1"),
    ]
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert sorted(shuffled, key=stage) == ordered


@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), ("2Gi", 2**31), ("1e3", 1000), (7, 7), ("1.5k", 1500), ("100Ki", 102400)]
)
def test_quantities_are_read_as_kubernetes_writes_them(text, number):
    assert quantity(text) == number


def test_a_word_is_no_quantity():
    with pytest.raises(InputError, match="is no quantity"):
        quantity("much")


def namespaces(*names):
    return [made("Namespace", name, namespace="") for name in names]


def test_by_default_all_of_the_users_namespaces_are_chosen():
    request = Request.from_options({**OPTIONS, "namespaces": [], "exclude_namespaces": ["b"]})
    assert chosen(request, namespaces("kube-system", "b", "a", "virt8ra-system", "default")) == ["a", "default"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"namespaces": ["nowhere"]}, "namespaces='nowhere': is not a namespace of the source; use some of: shop"),
        ({"namespaces": ["kube-system"]}, "namespaces='kube-system': is the cluster's own; leave it out"),
        (
            {"namespaces": [], "exclude_namespaces": ["shop"]},
            "namespaces=[]: leaves nothing to migrate; name a namespace of the source",
        ),
    ],
)
def test_namespaces_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(InputError) as refusal:
        chosen(Request.from_options({**OPTIONS, **options}), namespaces("kube-system", "shop"))
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"namespaces": ["Shop"]},
            "namespaces='Shop': cannot be the name of a namespace; use lower-case letters, digits and dashes",
        ),
        ({"exclude_namespaces": ["shop"]}, "exclude_namespaces='shop': is in namespaces as well; take it out of one"),
        ({"storage_classes": {"fast": ""}}, "storage_classes.fast='': maps no name to a name; give both names, in quotes"),
        ({"images": {"a": 1}}, "images.a=1: maps no name to a name; give both names, in quotes"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, sentence):
    with pytest.raises(InputError) as refusal:
        Request.from_options({**OPTIONS, **options})
    assert str(refusal.value) == sentence
