# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes and storage classes of the API's objects."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.node_facts import (
    distribution,
    is_address,
    node_record,
    quantity,
    storage_class_record,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.inventory import NODE_KEYS

NODE = {
    "metadata": {
        "name": "edge-1",
        "uid": "u-1",
        "labels": {"node-role.kubernetes.io/control-plane": "true", "node-role.kubernetes.io/etcd": "true", "x": "y"},
    },
    "spec": {"unschedulable": True},
    "status": {
        "capacity": {"cpu": "4", "memory": "8131760Ki", "ephemeral-storage": "51290592Ki", "pods": "110"},
        "allocatable": {"cpu": "3920m", "memory": "8131760Ki", "ephemeral-storage": "49895487888", "pods": "110"},
        "conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        "addresses": [{"type": "Hostname", "address": "edge-1"}, {"type": "InternalIP", "address": "198.51.100.21"}],
        "nodeInfo": {"kubeletVersion": "v1.36.1+k3s1", "osImage": "Debian", "architecture": "amd64"},
    },
}


def test_a_node() -> None:
    assert node_record(NODE) == {
        "name": "edge-1",
        "uid": "u-1",
        "address": "198.51.100.21",
        "role": "server",
        "roles": ["control-plane", "etcd"],
        "ready": True,
        "schedulable": False,
        "version": "v1.36.1+k3s1",
        "capacity": {"cpus": 4, "memory": 8131760 * 1024, "storage": 51290592 * 1024, "pods": 110},
        "allocatable": {"cpus": 3.92, "memory": 8131760 * 1024, "storage": 49895487888, "pods": 110},
        "addresses": NODE["status"]["addresses"],
        "os_image": "Debian",
        "architecture": "amd64",
    }


def test_a_node_of_which_nothing_is_known_yet() -> None:
    record = node_record({"metadata": {"name": "new"}})
    assert record.keys() == set(NODE_KEYS)
    assert (record["ready"], record["role"], record["address"], record["capacity"]["memory"]) == (False, "agent", "", 0)


@pytest.mark.parametrize("condition", ["False", "Unknown"])
def test_a_node_that_is_not_ready(condition: str) -> None:
    assert not node_record({"status": {"conditions": [{"type": "Ready", "status": condition}]}})["ready"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", 4),
        ("250m", 0.25),
        ("1Ki", 1024),
        ("2Gi", 2**31),
        ("1k", 1000),
        ("5M", 5e6),
        ("1e3", 1000),
        ("1E3", 1000),
        ("2E", 2e18),
    ],
)
def test_quantities(text: str, number: float) -> None:
    assert float(quantity(text)) == number


@pytest.mark.parametrize("text", ["", "much", "1Kib", "--1", "1.2.3", None, "{{ 1 }}"])
def test_what_is_no_quantity_is_nothing(text: object) -> None:
    assert quantity(text) == 0


@pytest.mark.parametrize("text", ["-oProxyCommand=id", "{{ lookup('pipe','id') }}", "edge-1", "fe80::1%-oProxyCommand=id", ""])
def test_an_address_is_an_ip_address(text: str) -> None:
    assert not is_address(text)
    assert node_record({"status": {"addresses": [{"type": "InternalIP", "address": text}]}})["address"] == ""


def test_the_first_internal_address_is_the_best() -> None:
    listed = [("ExternalIP", "203.0.113.1"), ("InternalIP", "2001:db8::1"), ("InternalIP", "192.0.2.1")]
    addresses = [{"type": kind, "address": address} for kind, address in listed]
    assert node_record({"status": {"addresses": addresses}})["address"] == "2001:db8::1"
    assert node_record({"status": {"addresses": addresses[:1]}})["address"] == "203.0.113.1"


def test_a_storage_class() -> None:
    found = {
        "metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "rancher.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    assert storage_class_record(found) == {
        "name": "local-path",
        "provisioner": "rancher.io/local-path",
        "default": True,
        "reclaim_policy": "Delete",
        "binding_mode": "WaitForFirstConsumer",
        "expandable": False,
    }


def test_distributions() -> None:
    assert (distribution("v1.36.1+k3s1"), distribution("v1.36.0")) == ("k3s", "other")
