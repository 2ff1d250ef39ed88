# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import Resource
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.collecting import listable, stream
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.preparing import Preparing
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.request import Request
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from cluster_world import SHOP, thing
from memory_cluster import ALL, VERBS, MemoryCluster

CLAIMS = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True, VERBS)


class Cluster(MemoryCluster):
    """With claims."""

    def resources(self, *, fresh: bool = False) -> tuple[Resource, ...]:
        return (*ALL, CLAIMS)

    def resource(self, api_version: str, kind: str) -> Resource | None:
        return next((one for one in self.resources() if (one.api_version, one.kind) == (api_version, kind)), None)


def cluster(name, *items):
    made = Cluster(name)
    for namespace in ("default", "kube-system", SHOP):
        made.put(thing("Namespace", namespace, ""))
    for item in items:
        made.put(item)
    return made


def preparing(source, request=None, before=None, target=None):
    return Preparing(request or Request(), source, target or cluster("de"), before, 4)


def read(prepared, source):
    prepared.read(stream(source, listable(source.resources()), prepared.namespaces))


def claim(name, phase="Bound"):
    return thing("PersistentVolumeClaim", name, spec={}, status={"phase": phase})


def test_the_namespace_default_moves_when_somebody_uses_it():
    assert preparing(cluster("es")).namespaces == [SHOP]
    assert preparing(cluster("es", thing("ConfigMap", "own", "default"))).namespaces == ["default", SHOP]
    assert preparing(cluster("es"), Request(namespaces=("default",))).namespaces == ["default"]


def test_a_migration_under_way_keeps_its_namespaces():
    assert preparing(cluster("es"), before=["gone", "blog"]).namespaces == ["blog", "gone"]


def test_a_kind_that_is_not_there_cannot_be_excluded():
    with pytest.raises(InputError, match="no kind that the source has"):
        preparing(cluster("es"), Request(exclude_kinds=("Nothing",)))


def test_objects_are_cleaned_whether_or_not_they_were_read_before():
    item = thing("ConfigMap", "pages", data={"a": "b"}, metadata={"uid": "u"})
    source = cluster("es", item)
    prepared = preparing(source)
    assert prepared.clean(item) == thing("ConfigMap", "pages", data={"a": "b"})
    assert prepared.clean(thing("ConfigMap", "kube-root-ca.crt")) is None
    read(prepared, source)
    assert prepared.objects == {"ConfigMap": 1, "Namespace": 1}


def test_claims_are_read_anew_and_those_without_a_volume_left_out():
    source = cluster("es", claim("data"), claim("empty", "Pending"))
    prepared = preparing(source)
    read(prepared, source)
    assert prepared.claims() == [(SHOP, "data")]
    source.put(claim("late"))
    assert prepared.claims() == [(SHOP, "data"), (SHOP, "late")]


def test_the_plan_has_both_clusters_and_what_the_engine_found():
    source = cluster("es", thing("ConfigMap", "pages"))
    prepared = preparing(source)
    read(prepared, source)
    found = prepared.plan(["the user of de may not create configmaps"])
    assert (found.source, found.target, found.namespaces) == ("es", "de", (SHOP,))
    assert [blocker.message for blocker in found.blockers] == ["the user of de may not create configmaps"]
    assert found.estimate["objects"] == 2
    assert found.estimate["objects_seconds"] is not None


def test_kinds_that_nobody_tells_of_are_a_warning():
    class Half(Cluster):
        silent = ("metrics.k8s.io/v1beta1",)

    source = Half("es")
    source.put(thing("Namespace", SHOP, ""))
    prepared = preparing(source)
    read(prepared, source)
    assert [one for one in prepared.plan([]).warnings if "announces" in one] == [
        "es announces metrics.k8s.io/v1beta1, but gets no answer from what serves it: objects of its kinds are not seen"
    ]
