# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sample application has all the hard parts, its waves can be made one after the other, and its data is read back whole."""

from __future__ import annotations

import base64
import os
import shutil

import pytest

from tests.applications import sample, volume

HARD = {
    "StatefulSet", "Deployment", "DaemonSet", "CronJob", "Job", "Pod", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
    "Ingress", "Service", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition",
    "Order", "Region", "Secret", "ConfigMap", "PriorityClass", "ResourceQuota", "LimitRange", "Endpoints", "EndpointSlice",
    "PersistentVolumeClaim", "ValidatingWebhookConfiguration", "Namespace",
}  # fmt: skip
SECRETS = {
    "Opaque", "shop.example.org/own-type", "kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg", "kubernetes.io/tls",
    "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "bootstrap.kubernetes.io/token", "kubernetes.io/service-account-token",
}  # fmt: skip


def of_kind(kind):
    return [item for item in sample.objects() if item["kind"] == kind]


def test_all_hard_parts_are_there():
    assert {item["kind"] for item in sample.objects()} == HARD
    assert {item.get("type", "Opaque") for item in of_kind("Secret")} == SECRETS
    types = {item["spec"].get("type", "ClusterIP") for item in of_kind("Service")}
    assert types == {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}
    assert any(item["spec"].get("clusterIP") == "None" for item in of_kind("Service"))
    assert len(of_kind("StatefulSet")[0]["spec"]["volumeClaimTemplates"]) == 2
    assert all(item["spec"]["conversion"] == {"strategy": "None"} for item in of_kind("CustomResourceDefinition"))
    assert sum(bool(item["metadata"].get("finalizers")) for item in sample.objects()) == 2


def test_another_namespace_shares_nothing_with_the_first_but_its_kinds():
    one, other = ({sample.identity(item) for item in sample.objects(name)} for name in ("shop", "t-other"))
    assert {kind for _group, kind, _namespace, _name in one & other} == {"CustomResourceDefinition"}
    assert "shop" not in {namespace for _group, _kind, namespace, _name in other}


def test_the_big_config_map_is_as_big_as_can_be():
    item = sample.big_config_map()
    held = sum(len(key) + len(text.encode()) for key, text in item["data"].items())
    held += sum(len(key) + len(base64.b64decode(text)) for key, text in item["binaryData"].items())
    assert held == 2**20
    assert item == sample.big_config_map()


def test_a_wave_needs_only_those_before_it():
    waves = sample.waves()
    made = {}
    for wave in waves:
        for item in wave:
            sample.owned(item, made)
        made |= {sample.identity(item): {"metadata": {"uid": item["metadata"]["name"]}} for item in wave}
    assert len(made) == len(sample.objects())
    assert len(waves) == 5, "the longest chain of owners has four links"
    copy = next(item for item in waves[-1] if item["metadata"]["name"] == "first-copy")
    assert sample.owned(copy, made)["metadata"]["ownerReferences"][0]["uid"] == "first-receipt"
    assert "uid" not in copy["metadata"]["ownerReferences"][0]


@pytest.fixture
def folder(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("files of other owners are made by root")
    place = tmp_path / "data"
    place.mkdir()
    volume.write_volume_data(place, files=10)
    return place


def test_what_is_written_is_read(folder, tmp_path):
    entries = volume.read_volume(folder)
    assert set(volume.ODD_NAMES) <= set(entries)
    assert entries["plain.txt"].same == ("hard-3", "links/hard-1", "links/hard-2", "plain.txt")
    assert entries["links/dangling"].target == "no/such file"
    assert entries["runs-as-owner"].mode == "0o104755"
    assert entries["nobody"].owner == (65534, 65534)
    assert volume.blocks_of(folder / volume.SPARSE) < 2**20 < entries[volume.SPARSE].size
    again = tmp_path / "again"
    again.mkdir()
    volume.write_volume_data(again, files=10)
    assert volume.read_volume(again) == entries


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: os.chown(folder / "plain.txt", 1, 0),
        lambda folder: (folder / "sticky").chmod(0o755),
        lambda folder: os.utime(folder / "secret", ns=(0, 1)),
        lambda folder: (folder / "--").unlink(),
        lambda folder: (folder / "hard-3").unlink() or shutil.copy2(folder / "plain.txt", folder / "hard-3"),
        lambda folder: (folder / "links" / "loop").unlink() or (folder / "links" / "loop").symlink_to("plain.txt"),
    ],
)
def test_every_loss_is_seen(folder, harm):
    before = volume.read_volume(folder)
    harm(folder)
    assert volume.read_volume(folder) != before


def test_a_change_of_content_alone_is_seen(folder):
    before = volume.read_volume(folder)
    volume.change_volume_data(folder)
    after = volume.read_volume(folder)
    was, now = before["many/00003"], after["many/00003"]
    assert (was.size, was.time_ns) == (now.size, now.time_ns)
    assert was.sha256 != now.sha256
    told = volume.differences(before, after)
    assert "'many/00005' is missing" in told and "'new file' is too much" in told
    assert any(line.startswith("'many/00003': sha256 is ") for line in told)
    assert volume.differences(before, before) == []
    assert before.keys() ^ after.keys() == {"many/00005", "many/00006", "many/renamed", "new file"}
