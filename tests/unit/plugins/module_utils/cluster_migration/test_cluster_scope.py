# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.request import Request
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.scope import Context, carried, chosen, is_used
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from cluster_world import POD, SHOP, owned, thing

CONTEXT = Context(frozenset({SHOP}))
ALL = [thing("Namespace", name, "") for name in ("default", "kube-system", "kube-flannel", "shop", "blog", "virt8ra-system")]
FINISHED = {"conditions": [{"type": "Complete", "status": "True"}]}
TOKEN = "kubernetes.io/service-account-token"


def of_account(name):
    return {"annotations": {"kubernetes.io/service-account.name": name}}


def test_all_of_the_users_namespaces_are_chosen_by_default():
    assert chosen(Request(), ALL) == ["blog", "default", "shop"]
    assert chosen(Request(), ALL, default_is_used=False) == ["blog", "shop"]
    assert chosen(Request(exclude_namespaces=("blog", "default")), ALL) == ["shop"]
    assert chosen(Request(namespaces=("default",)), ALL, default_is_used=False) == ["default"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(namespaces=("nowhere",)), "namespaces='nowhere': does not exist at the source; use some of: blog, default, shop"),
        (Request(exclude_namespaces=("nowhere",)), "exclude_namespaces='nowhere': does not exist"),
        (Request(exclude_namespaces=("blog", "default", "shop")), "no namespace to migrate"),
    ],
)
def test_a_namespace_that_is_not_there_is_refused(request_, words):
    with pytest.raises(InputError, match=words):
        chosen(request_, ALL)


def test_default_is_used_when_it_has_something_that_the_cluster_does_not_make():
    made = [
        thing("Service", "kubernetes", "default", spec={"ports": [{"port": 443}]}),
        thing("Endpoints", "kubernetes", "default"),
        thing("EndpointSlice", "kubernetes", "default", "discovery.k8s.io/v1"),
        thing("ServiceAccount", "default", "default"),
        thing("ConfigMap", "kube-root-ca.crt", "default"),
        thing("Event", "web.1", "default"),
    ]
    assert not is_used("default", made)
    assert is_used("default", [*made, thing("ConfigMap", "own", "default")])


@pytest.mark.parametrize(
    "item",
    [
        thing("Namespace", SHOP, ""),
        thing("ConfigMap", "pages"),
        thing("Secret", "sh.helm.release.v1.web.v1", type="helm.sh/release.v1"),
        thing("Secret", "robot", type=TOKEN, metadata=of_account("robot")),
        thing("Deployment", "web", version="apps/v1"),
        thing("Deployment", "web", version="apps/v1", metadata=owned("Shop", "one", "shop.example.org/v1")),
        thing("ReplicaSet", "alone", version="apps/v1"),
        thing("Pod", "alone", spec=POD, status={"phase": "Running"}),
        thing("Job", "import", version="batch/v1", status=FINISHED),
        thing("Job", "halted", version="batch/v1", spec={"suspend": True}, metadata=owned("CronJob", "x", "batch/v1")),
        thing("Endpoints", "erp"),
        thing("EndpointSlice", "erp-1", version="discovery.k8s.io/v1"),
        thing("PersistentVolumeClaim", "data", metadata=owned("StatefulSet", "db", controller=False)),
        thing("ServiceAccount", "web"),
        thing("ServiceAccount", "default", imagePullSecrets=[{"name": "registry"}]),
        thing("Widget", "one", version="example.org/v1"),
        thing("ConfigMap", "x", metadata=owned("Service", "x", "serving.example.org/v1")),
        thing("ConfigMap", "x", metadata=owned("Deployment", "web")),
        thing("HelmChart", "one", version="helm.cattle.io/v1"),
        thing("Job", "import", version="batch/v1", metadata={"annotations": {"federation.virt8ra.eu/migration": "earlier"}}),
    ],
    ids=lambda item: f"{item['kind']}-{item['metadata']['name']}",
)
def test_what_the_user_has_goes_along(item):
    assert carried(item, CONTEXT) is None


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (thing("Namespace", "other", ""), "not chosen"),
        (thing("ConfigMap", "pages", "other"), "namespace stays"),
        (thing("ConfigMap", "kube-root-ca.crt"), "by itself"),
        (thing("ConfigMap", "x", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), "being deleted"),
        (thing("Event", "x"), "cluster's own"),
        (thing("Lease", "x", version="coordination.k8s.io/v1"), "cluster's own"),
        (thing("PersistentVolume", "pv", ""), "cluster's own"),
        (thing("Node", "n", ""), "cluster's own"),
        (thing("CSINode", "n", "", "storage.k8s.io/v1"), "cluster's own"),
        (thing("StorageClass", "fast", "", "storage.k8s.io/v1"), "cluster's own"),
        (thing("VolumeSnapshot", "x", version="snapshot.storage.k8s.io/v1"), "cluster's own"),
        (thing("VolumeSnapshotContent", "x", "", "snapshot.storage.k8s.io/v1"), "cluster's own"),
        (thing("Pod", "web-1", metadata=owned("ReplicaSet", "web")), "makes it anew"),
        (thing("Pod", "db-1", metadata=owned("Cluster", "db", "postgresql.cnpg.io/v1")), "makes it anew"),
        (thing("Pod", "etcd", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}), "cluster's own"),
        (thing("Pod", "done", status={"phase": "Succeeded"}), "has ended"),
        (thing("ReplicaSet", "web-1", version="apps/v1", metadata=owned("Deployment", "web")), "makes it anew"),
        (thing("ControllerRevision", "db-1", version="apps/v1", metadata=owned("StatefulSet", "db")), "makes it anew"),
        (thing("Job", "run", version="batch/v1", metadata=owned("CronJob", "x", "batch/v1")), "makes it anew"),
        (
            thing(
                "Job",
                "run",
                version="batch/v1",
                spec={"suspend": True},
                status=FINISHED,
                metadata=owned("CronJob", "x", "batch/v1"),
            ),
            "makes it anew",
        ),
        (thing("PersistentVolumeClaim", "web-scratch", metadata=owned("Pod", "web", "v1")), "with a pod"),
        (thing("EndpointSlice", "web-1", version="discovery.k8s.io/v1", metadata=owned("Service", "web", "v1")), "makes it anew"),
        (
            thing(
                "EndpointSlice",
                "erp-2",
                version="discovery.k8s.io/v1",
                metadata={"labels": {"endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io"}},
            ),
            "makes it anew",
        ),
        (thing("Endpoints", "lock", metadata={"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}), "by itself"),
        (thing("Secret", "web-token-x7k2p", type=TOKEN, metadata=of_account("web")), "by itself"),
        (thing("ServiceAccount", "default"), "by itself"),
        (thing("ResourceQuota", "virt8ra-moved"), "migration's own"),
        (thing("Pod", "mover", metadata={"labels": {"federation.virt8ra.eu/migration": "abc"}}), "migration's own"),
        (
            thing(
                "Job",
                "helm-install-x",
                version="batch/v1",
                metadata={"annotations": {"objectset.rio.cattle.io/owner-gvk": "helm.cattle.io/v1, Kind=HelmChart"}},
            ),
            "k3s makes it",
        ),
        (thing("APIService", "v1.apps", "", "apiregistration.k8s.io/v1", spec={}), "answers it"),
        (thing("ClusterRole", "reader", "", "rbac.authorization.k8s.io/v1"), "nothing that goes along needs it"),
        (thing("ValidatingAdmissionPolicy", "x", "", "admissionregistration.k8s.io/v1"), "cluster's own"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value['kind']}-{value['metadata']['name']}",
)
def test_what_is_of_the_old_cluster_stays_and_is_said_why(item, reason):
    assert reason in (carried(item, CONTEXT) or "it goes along")


def test_endpoints_stay_where_a_service_finds_its_own_pods():
    context = Context(frozenset({SHOP}), selecting=frozenset({"shop/web"}))
    assert carried(thing("Endpoints", "web"), context)
    assert carried(thing("Endpoints", "erp"), context) is None


def test_an_old_token_goes_along_where_a_pod_mounts_it():
    item = thing("Secret", "web-token-x7k2p", type=TOKEN, metadata=of_account("web"))
    assert carried(item, Context(frozenset({SHOP}), mounted=frozenset({"shop/web-token-x7k2p"}))) is None


def test_an_excluded_kind_stays():
    context = Context(frozenset({SHOP}), excluded=frozenset({"Ingress"}))
    assert carried(thing("Ingress", "web", version="networking.k8s.io/v1"), context) == "its kind is excluded"


@pytest.mark.parametrize(
    ("subject", "goes"),
    [
        ({"kind": "ServiceAccount", "name": "web", "namespace": SHOP}, True),
        ({"kind": "Group", "name": "system:serviceaccounts:shop"}, True),
        ({"kind": "ServiceAccount", "name": "web", "namespace": "other"}, False),
        ({"kind": "User", "name": "ana"}, False),
        ({"kind": "Group", "name": "system:serviceaccounts:shop-2"}, False),
    ],
)
def test_bindings_go_along_with_whom_they_bind(subject, goes):
    item = thing("ClusterRoleBinding", "x", "", "rbac.authorization.k8s.io/v1", subjects=[subject])
    assert (carried(item, CONTEXT) is None) is goes


def test_webhooks_and_api_services_go_along_with_what_answers_them():
    hook = {"name": "a", "clientConfig": {"service": {"name": "web", "namespace": SHOP}}}
    other = {"name": "b", "clientConfig": {"service": {"name": "web", "namespace": "other"}}}
    version = "admissionregistration.k8s.io/v1"
    assert carried(thing("MutatingWebhookConfiguration", "x", "", version, webhooks=[other, hook]), CONTEXT) is None
    assert carried(thing("MutatingWebhookConfiguration", "x", "", version, webhooks=[other]), CONTEXT)
    served = thing("APIService", "x", "", "apiregistration.k8s.io/v1", spec={"service": {"namespace": SHOP, "name": "web"}})
    assert carried(served, CONTEXT) is None
