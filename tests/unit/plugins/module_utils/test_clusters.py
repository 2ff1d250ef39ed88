# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where kubeconfigs are looked for, and many sites read at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.clusters import Cluster, located
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError, UnreachableError
from ansible_collections.virt8ra.federation.plugins.module_utils.site_reports import gather

FOLDER = Path("/federation")


def test_a_cluster_there_and_back() -> None:
    written = {
        "name": "edge",
        "endpoint": "",
        "kubeconfig": "k",
        "context": "c",
        "nodes": [{"name": "n", "address": "n", "role": "agent"}],
    }
    assert Cluster.from_dict(written).to_dict() == written


def test_nothing_else_is_taken() -> None:
    with pytest.raises(InputError, match=r"clusters\[0\].kubeconfg: is not a known key; did you mean kubeconfig"):
        Cluster.from_dict({"name": "edge", "kubeconfg": "k"}, "clusters[0]")


@pytest.mark.parametrize(
    ("written", "kubeconfig_path", "found"),
    [
        ("k/edge", "", "/federation/k/edge"),
        ("/etc/edge", "folder", "/etc/edge"),
        ("", "folder", "/federation/folder/edge.kubeconfig"),
        ("", "/etc/clusters", "/etc/clusters/edge.kubeconfig"),
        ("", "", ""),
    ],
)
def test_where_a_kubeconfig_is(written: str, kubeconfig_path: str, found: str) -> None:
    assert located(Cluster("edge", "", written), FOLDER, kubeconfig_path, lambda _path: True).kubeconfig == found


def test_what_is_not_in_the_folder_stays_declared_only() -> None:
    assert located(Cluster("edge", ""), FOLDER, "folder", lambda _path: False).kubeconfig == ""


def test_reports_of_many() -> None:
    never = threading.Event()

    def fails() -> dict[str, object]:
        raise UnreachableError("does not answer", remedy="start it")

    def breaks() -> dict[str, object]:
        raise RuntimeError("no such luck")

    def hangs() -> dict[str, object]:
        never.wait(30)
        return {}

    reports = gather({"good": lambda: {"vms": []}, "fails": fails, "breaks": breaks, "hangs": hangs}, 0.5)
    never.set()
    assert reports == {
        "good": {"vms": []},
        "fails": {"fault": "does not answer; start it"},
        "breaks": {"fault": "RuntimeError: no such luck"},
        "hangs": {"fault": "no answer within 0.5 s; check the host, or raise site_timeout"},
    }
