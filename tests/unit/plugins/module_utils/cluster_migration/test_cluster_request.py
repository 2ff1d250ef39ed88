# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import Resource
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.request import Request, is_system
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_options import cluster_migration_spec
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError

INGRESS = Resource("networking.k8s.io", "v1", "Ingress", "ingresses", namespaced=True)


def test_the_modules_defaults_are_the_requests():
    params = {option: spec.get("default") for option, spec in cluster_migration_spec().items()}
    assert Request.from_options(params) == Request() == Request.from_options({})


def test_names_stand_once_and_prefixes_end_without_a_slash():
    request = Request.from_options({"namespaces": ["shop", "shop"], "images": {"registry.es/": "registry.de:5000/es/"}})
    assert request.namespaces == ("shop",)
    assert request.images == {"registry.es": "registry.de:5000/es"}


@pytest.mark.parametrize(
    ("params", "option", "words"),
    [
        ({"namespaces": ["Shop"]}, "namespaces", "not a name of a namespace"),
        ({"namespaces": ["-shop"]}, "namespaces", "not a name of a namespace"),
        ({"exclude_namespaces": ["a" * 64]}, "exclude_namespaces", "not a name of a namespace"),
        ({"namespaces": ["kube-system"]}, "namespaces", "the cluster's own"),
        ({"namespaces": ["virt8ra-system"]}, "namespaces", "the cluster's own"),
        ({"namespaces": ["shop"], "exclude_namespaces": ["shop"]}, "namespaces", "exclude_namespaces too"),
        ({"namespaces": "shop"}, "namespaces", "not a list of strings"),
        ({"exclude_kinds": ["Namespace"]}, "exclude_kinds", "cannot stay"),
        ({"exclude_kinds": ["namespaces"]}, "exclude_kinds", "cannot stay"),
        ({"exclude_kinds": ["no kind"]}, "exclude_kinds", "not a kind"),
        ({"storage_classes": {"fast": ""}}, "storage_classes", "empty name"),
        ({"storage_classes": {" ": "fast"}}, "storage_classes", "empty name"),
        ({"ingress_classes": {"a": "B!"}}, "ingress_classes", "not a name of a class"),
        ({"priority_classes": {"a": 3}}, "priority_classes", "not a mapping of strings"),
        ({"images": {"registry.es/": "/"}}, "images", "not the beginning"),
        ({"images": {"https://registry.es": "x y"}}, "images", "not the beginning"),
        ({"node_ports": "some"}, "node_ports", "not one of the choices"),
        ({"missing_images": "shout"}, "missing_images", "not one of the choices"),
        ({"connections": 0}, "connections", "from 1 to 64"),
        ({"quiesce_timeout": 0}, "quiesce_timeout", "from 1 to 86400"),
        ({"ready_timeout": -1}, "ready_timeout", "from 1 to 86400"),
        ({"patience": -1}, "patience", "from 0 to 86400"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(params, option, words):
    with pytest.raises(InputError, match=words) as refused:
        Request.from_options(params)
    assert refused.value.option == option
    assert refused.value.remedy
    assert "\n" not in str(refused.value)


def test_a_kind_that_the_source_does_not_have_is_refused_with_the_nearest_one():
    Request.from_options({"exclude_kinds": ["Ingress", "ingresses.networking.k8s.io"]}).check_kinds([INGRESS])
    with pytest.raises(InputError, match=r"did you mean Ingress\?"):
        Request.from_options({"exclude_kinds": ["Ingres"]}).check_kinds([INGRESS])


def test_the_journal_is_told_what_was_given():
    request = Request.from_options({"storage_classes": {"fast": "ssd"}, "node_ports": "new"})
    assert request.mapping == {"storage_classes": {"fast": "ssd"}, "node_ports": "new", "load_balancer_ips": "new"}


@pytest.mark.parametrize(
    ("name", "system"), [("kube-public", True), ("kube-anything", True), ("default", False), ("shop", False), ("kubeapps", False)]
)
def test_namespaces_of_the_cluster_are_told_apart(name, system):
    assert is_system(name) is system
