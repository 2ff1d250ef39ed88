# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evidence of a server's host, by the stand-in for k3s as it is called: what it lists, and what it says when it is not running."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.k3s_host import K3sHost
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.k3s_areas import k3s_facts

from tests.doubles.k3s import snapshots
from tests.doubles.k3s.build import build
from tests.doubles.k3s.paths import Layout

CONFIG = "etc/rancher/k3s/config.yaml"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> K3sHost:
    binary = tmp_path / "k3s"
    build(binary, "v1.36.1+k3s1")
    config = tmp_path / CONFIG
    config.parent.mkdir(parents=True)
    config.write_text(f"data-dir: {tmp_path}/data\nsecrets-encryption: true\n", encoding="utf-8")
    monkeypatch.setenv("K3S_CONFIG_FILE", str(config))
    # Files are found below the root, the stand-in finds its own.
    (tmp_path / str(tmp_path / "data/server").lstrip("/")).mkdir(parents=True)
    return K3sHost(tmp_path, str(binary))


def only(fact: dict[str, Any]) -> dict[str, Any]:
    (found,) = fact["data"]["servers"]
    assert found["server"] == "edge-1"
    return dict(found)


def test_snapshots_as_k3s_lists_them(host):
    made = snapshots.save(Layout(f"{host.root}/data"), {"bootstrap": "", "objects": {}}, "nightly", "", True, "edge-1")
    fact = only(k3s_facts(host, "edge-1", datetime.now(timezone.utc))["snapshots"])
    assert fact["found"] == "k3s etcd-snapshot list --output json"
    (found,) = fact["snapshots"]
    assert found["name"] == made["name"] and found["bytes"] == Path(made["path"]).stat().st_size
    assert 0 <= fact["age_hours"] < 1


def test_a_server_that_is_not_running_is_told_as_such(host):
    facts = k3s_facts(host, "edge-1", datetime.now(timezone.utc))
    assert "secrets-encrypt status" in facts["secrets_encryption"]["error"]
    assert only(facts["snapshots"])["newest"] is None
    assert only(facts["server_config"])["config"]["secrets-encryption"] is True
