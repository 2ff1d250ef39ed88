# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a cluster's objects becomes evidence."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence import cluster


def volume(name, **spec):
    return {"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, **spec}}


def test_where_the_data_of_volumes_is():
    found = cluster.volumes(
        [
            volume("b", nfs={"server": "10.0.0.5", "path": "/x"}, claimRef={"namespace": "shop", "name": "data"}),
            volume("c", csi={"driver": "s.example", "volumeAttributes": {"endpoint": "https://s3.example.eu:9000/b"}}),
            volume(
                "a",
                hostPath={"path": "/srv"},
                nodeAffinity={
                    "required": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2", "n1"]}]}
                        ]
                    }
                },
            ),
        ]
    )
    assert [(one["name"], one["driver"], one["local"]) for one in found["volumes"]] == [
        ("a", "hostPath", True),
        ("b", "nfs", False),
        ("c", "s.example", False),
    ]
    assert found["volumes"][0]["nodes"] == ["n1", "n2"]
    assert found["volumes"][1]["claim"] == "shop/data"
    assert found["endpoints"] == [
        {"name": "10.0.0.5", "address": "10.0.0.5", "volumes": ["b"]},
        {"name": "s3.example.eu", "address": None, "volumes": ["c"]},
    ]


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("nfs.example.eu:/srv", "nfs.example.eu"),
        ("10.0.0.1:3260", "10.0.0.1"),
        ("//files.example.eu/share", "files.example.eu"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:6789", "2001:db8::1"),
        ("https://user@s3.example.eu/b", "s3.example.eu"),
        ("", ""),
    ],
)
def test_the_host_of_an_endpoint(written, host):
    found = cluster.volumes([volume("a", iscsi={"targetPortal": written})])
    assert [one["name"] for one in found["endpoints"]] == ([host] if host else [])


def test_a_volume_of_a_strange_kind_is_not_local():
    (found,) = cluster.volumes([volume("a", awsElasticBlockStore={"volumeID": "v"})])["volumes"]
    assert (found["driver"], found["local"], found["endpoints"]) == ("awsElasticBlockStore", False, [])


def test_versions_of_kubelets_behind_and_ahead():
    nodes = [{"name": "a", "version": "v1.33.9"}, {"name": "b", "version": "v1.37.0+k3s1"}]
    found = cluster.version("v1.36.1+k3s1", nodes, "k3s")
    assert (found["branch"], found["most_behind"], found["ahead"]) == ("1.36", 3, ["b"])
    assert cluster.version("v1.36.1", [*nodes, {"name": "c", "version": "dev"}], "other")["most_behind"] is None


def test_privileged_pods_and_levels_of_namespaces():
    pod = {
        "metadata": {"namespace": "shop", "name": "p"},
        "spec": {
            "hostNetwork": True,
            "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
            "initContainers": [{"securityContext": {"privileged": True}}],
            "containers": [{"securityContext": {"capabilities": {"add": ["CAP_SYS_ADMIN", "CHOWN"]}}}],
        },
    }
    plain = {"metadata": {"namespace": "shop", "name": "q"}, "spec": {"containers": [{"name": "c"}]}}
    space = {"metadata": {"name": "shop", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    found = cluster.pod_security([space], [plain, pod])
    assert found["namespaces"] == [{"name": "shop", "enforce": "baseline", "warn": "", "audit": ""}]
    why = ["capability CAP_SYS_ADMIN", "hostNetwork", "hostPath", "privileged"]
    assert found["privileged"] == [{"namespace": "shop", "name": "p", "why": why}]


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("busybox", "docker.io"),
        ("rancher/pause:3.6", "docker.io"),
        ("ghcr.io/a/b@sha256:0", "ghcr.io"),
        ("localhost/a", "localhost"),
        ("reg:5000/a", "reg:5000"),
    ],
)
def test_the_registry_of_an_image(image, registry):
    assert cluster.registry(image) == registry


def test_what_is_of_another_kind_is_not_there():
    strange = {"metadata": None, "spec": {"containers": [None, {"image": None}], "volumes": "x", "nodeAffinity": []}}
    assert cluster.images([strange, {}]) == {"registries": [], "images": []}
    assert cluster.pod_security([{}], [strange])["privileged"] == []
    assert cluster.volumes([strange])["volumes"][0]["local"] is False
    assert cluster.kubelet("a", {"kubeletconfig": []}) == {"name": "a"}
