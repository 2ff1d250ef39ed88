# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.mapping import (
    Mappings,
    map_image,
    map_object,
    whole_name,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.request import Request
from cluster_world import POD, thing
from hypothesis import given, settings
from hypothesis import strategies as st


def image(name, images):
    return map_image(name, Request.from_options({"images": images}).images)[1]


@pytest.mark.parametrize(
    ("name", "images", "wanted"),
    [
        ("registry.es/shop/web:1", {"registry.es/": "registry.de/"}, "registry.de/shop/web:1"),
        ("registry.es/shop/web:1", {"registry.es": "registry.de"}, "registry.de/shop/web:1"),
        ("registry.es/shop/web:1", {"registry.es/": "registry.de"}, "registry.de/shop/web:1"),
        ("registry.es.evil.org/web", {"registry.es": "registry.de"}, "registry.es.evil.org/web"),
        ("registry.es:5000/web", {"registry.es": "registry.de"}, "registry.de:5000/web"),
        ("registry.es/shop/web", {"registry.es": "a.org", "registry.es/shop": "b.org/x"}, "b.org/x/web"),
        ("web@sha256:aa", {"web": "registry.de/web"}, "registry.de/web@sha256:aa"),
        ("busybox:1.37", {"docker.io/": "mirror.de/"}, "mirror.de/library/busybox:1.37"),
        ("busybox:1.37", {"docker.io/library": "mirror.de"}, "mirror.de/busybox:1.37"),
        ("grafana/loki", {"docker.io": "mirror.de"}, "mirror.de/grafana/loki:latest"),
        ("registry.de/web", {"registry.es": "registry.de"}, "registry.de/web"),
    ],
)
def test_images_are_mapped_by_whole_parts_of_their_names(name, images, wanted):
    assert image(name, images) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("docker.io/busybox:1", "docker.io/library/busybox:1"),
        ("index.docker.io/grafana/loki:1", "docker.io/grafana/loki:1"),
        ("grafana/loki:1", "docker.io/grafana/loki:1"),
        ("localhost/x", "localhost/x:latest"),
        ("host:5000/x", "host:5000/x:latest"),
        ("ghcr.io/x/y@sha256:aa", "ghcr.io/x/y@sha256:aa"),
    ],
)
def test_images_have_one_whole_name(name, wanted):
    assert whole_name(name) == wanted


MAPPINGS = Mappings(
    storage_classes={"local-path": "longhorn"},
    ingress_classes={"nginx": "traefik"},
    priority_classes={"high": "urgent"},
    images={"registry.es": "registry.de"},
)
CLAIM = {"spec": {"storageClassName": "local-path"}}


def test_classes_are_renamed_wherever_kubernetes_has_them():
    claim = thing("PersistentVolumeClaim", "x", spec={"storageClassName": "local-path"})
    assert map_object(claim, MAPPINGS) == ("storage class local-path → longhorn",)
    assert claim["spec"]["storageClassName"] == "longhorn"
    old = thing(
        "PersistentVolumeClaim", "x", spec={}, metadata={"annotations": {"volume.beta.kubernetes.io/storage-class": "local-path"}}
    )
    assert map_object(old, MAPPINGS) == ("storage class local-path → longhorn",)
    ingress = thing("Ingress", "x", version="networking.k8s.io/v1", spec={"ingressClassName": "nginx"})
    assert map_object(ingress, MAPPINGS) == ("ingress class nginx → traefik",)
    pod = {
        **POD,
        "priorityClassName": "high",
        "volumes": [{"name": "s", "ephemeral": {"volumeClaimTemplate": copy.deepcopy(CLAIM)}}],
    }
    stateful = thing(
        "StatefulSet", "x", version="apps/v1", spec={"template": {"spec": pod}, "volumeClaimTemplates": [copy.deepcopy(CLAIM)]}
    )
    assert map_object(stateful, MAPPINGS) == ("priority class high → urgent", "storage class local-path → longhorn")
    assert stateful["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "longhorn"
    assert pod["volumes"][0]["ephemeral"]["volumeClaimTemplate"]["spec"]["storageClassName"] == "longhorn"


def test_a_quota_of_a_class_goes_by_its_new_name():
    quota = thing(
        "ResourceQuota", "x", spec={"hard": {"local-path.storageclass.storage.k8s.io/requests.storage": "1Gi", "pods": "3"}}
    )
    assert map_object(quota, MAPPINGS)
    assert quota["spec"]["hard"] == {"longhorn.storageclass.storage.k8s.io/requests.storage": "1Gi", "pods": "3"}


def test_images_of_every_container_are_mapped():
    spec = {
        "initContainers": [{"name": "a", "image": "registry.es/a"}],
        "containers": [{"name": "b", "image": "registry.es/b"}],
        "volumes": [{"name": "c", "image": {"reference": "registry.es/c"}}],
    }
    cron = thing("CronJob", "x", version="batch/v1", spec={"jobTemplate": {"spec": {"template": {"spec": spec}}}})
    assert map_object(cron, MAPPINGS) == ("image registry.es → registry.de",)
    assert "registry.es" not in str(cron)


def test_custom_resources_are_not_touched():
    item = thing("Deployment", "x", version="example.org/v1", spec={"template": {"spec": {"priorityClassName": "high"}}})
    before = copy.deepcopy(item)
    assert map_object(item, MAPPINGS) == ()
    assert item == before


parts = st.text("abz09.:/@-", min_size=0, max_size=12)


@settings(deadline=None)
@given(parts, st.dictionaries(parts.filter(lambda text: text.strip("/")), parts, max_size=3))
def test_mapping_is_total_and_takes_the_longest_beginning(name, images):
    prefix, new = map_image(name, images)
    if not prefix:
        assert new == name
    else:
        rest = new[len(images[prefix]) :]
        assert prefix + rest in (name, whole_name(name))
        assert not rest or rest[0] in "/:@"


names = st.sampled_from(["a", "b", "c", "d"])


@settings(deadline=None)
@given(names, st.dictionaries(names, names))
def test_every_class_ends_as_its_mapped_name(name, classes):
    claim = thing("PersistentVolumeClaim", "x", spec={"storageClassName": name})
    told = map_object(claim, Mappings(storage_classes=classes))
    assert claim["spec"]["storageClassName"] == classes.get(name, name)
    assert bool(told) is (classes.get(name, name) != name)
