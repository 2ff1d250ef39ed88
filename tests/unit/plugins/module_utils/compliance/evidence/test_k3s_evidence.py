# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a k3s server's files and answers becomes evidence, and what of them never does."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends import k3s_host
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.k3s_host import K3sHost
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence import k3s
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.k3s_areas import OWN, SHARED, k3s_facts

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
CONFIG = """\
token: t0p
agent-token: 90210
data-dir: /srv/k3s
etcd-s3: true
etcd-s3-endpoint: s3.example.eu:9000
etcd-s3-proxy: http://proxyuser:proxypw@proxy.example.eu:3128
etcd-arg: [initial-cluster-token=etcdt0p]
odd: {password: nested}
kube-apiserver-arg:
  - audit-policy-file=/etc/rancher/k3s/audit.yaml
  - audit-log-path=/var/log/audit.log
"""
DROP_IN = "protect-kernel-defaults: true\nkube-apiserver-arg+: [audit-log-maxage=30]\n"
REGISTRIES = """\
mirrors:
  docker.io: {endpoint: ["https://user:pw@mirror.example.eu/v2?key=qu3ry", "http://10.0.0.9:5000"]}
configs:
  "10.0.0.9:5000": {auth: {username: u, password: s3cret}, tls: {insecure_skip_verify: true}}
"""
K3S = """\
#!/bin/sh
case "$1" in
secrets-encrypt) echo '{"enable": true, "stage": "start", "activekey": "AES-CBC aescbckey", "hashmatch": true}' ;;
*) echo "etcd datastore disabled" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def host(tmp_path):
    files = {
        "etc/rancher/k3s/config.yaml": CONFIG,
        "etc/rancher/k3s/config.yaml.d/10-hard.yaml": DROP_IN,
        "etc/rancher/k3s/registries.yaml": REGISTRIES,
        "etc/rancher/k3s/audit.yaml": "rules: [{level: Metadata}, {level: None}]\n",
        "var/log/audit.log": '{"stageTimestamp": "2026-11-25T11:58:00.123456Z"}\n{"stageTimest',
        "bin/k3s": K3S,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "bin/k3s").chmod(0o755)
    (tmp_path / "srv/k3s/server").mkdir(parents=True)
    return K3sHost(tmp_path, str(tmp_path / "bin/k3s"))


def data(host, area):
    fact = k3s_facts(host, "edge-1", NOW)[area]
    assert "data" in fact, fact
    (found,) = fact["data"]["servers"]
    assert found.pop("server") == "edge-1"
    return found


def test_the_configuration_is_that_of_all_files(host):
    found = data(host, "server_config")
    assert found["files"] == ["/etc/rancher/k3s/config.yaml", "/etc/rancher/k3s/config.yaml.d/10-hard.yaml"]
    assert found["arguments"]["kube-apiserver"]["audit-log-maxage"] == "30"
    assert found["arguments"]["kube-apiserver"]["audit-log-path"] == "/var/log/audit.log"
    assert found["config"]["protect-kernel-defaults"] is True


def test_without_pyyaml_it_is_the_same(host, monkeypatch):
    told = k3s_facts(host, "edge-1", NOW)
    monkeypatch.setattr(k3s_host, "HAS_YAML", False)
    assert k3s_facts(host, "edge-1", NOW) == told
    (host.root / "etc/rancher/k3s/registries.yaml").write_text("mirrors:\n  a: &one s3cret\n", encoding="utf-8")
    fact = k3s_facts(host, "edge-1", NOW)["registries"]
    assert "registries.yaml has in line 2 what cannot be read without PyYAML" in fact["error"] and "s3cret" not in fact["error"]


def test_which_keys_of_the_configuration_are_hidden():
    keys = [
        "agent-token",
        "etcd-s3-secret-key",
        "etcd-s3-access-key",
        "datastore-endpoint",
        "vpn-auth",
        "secrets-encryption",
        "tls-san",
    ]
    shown = k3s.server_config([("a", dict.fromkeys(keys, "x"))])["config"]
    assert [key for key in keys if shown[key] == "x"] == ["secrets-encryption", "tls-san"]


def test_no_secret_is_told(host):
    told = json.dumps(k3s_facts(host, "edge-1", NOW))
    secrets = ("t0p", "90210", "s3cret", "pw@", "aescbckey", "proxypw", "etcdt0p", "nested", "qu3ry")
    assert not [secret for secret in secrets if secret in told]
    assert "proxy.example.eu:3128" in told


def test_arguments_stay_as_they_are_but_for_secrets():
    files = [("a", {"kube-apiserver-arg": ["--audit-log-maxage=30", "profiling", "x-password=y"], "kubelet-arg": "token=x"})]
    found = k3s.server_config(files)
    assert found["config"]["kube-apiserver-arg"] == ["--audit-log-maxage=30", "profiling", "x-password=(hidden)"]
    assert found["config"]["kubelet-arg"] == "token=(hidden)"
    assert found["arguments"]["kube-apiserver"] == {"audit-log-maxage": "30", "profiling": "true", "x-password": "(hidden)"}


def test_the_audit_log_is_as_old_as_its_last_whole_event(host):
    found = data(host, "audit_log")
    assert (found["levels"], found["max_age_days"], found["age_seconds"]) == (["Metadata", "None"], 30, 120)


def test_encryption_of_secrets(host):
    assert data(host, "secrets_encryption") == {
        "enabled": True,
        "stage": "start",
        "hashes_match": True,
        "hash_error": "",
        "key_type": "AES-CBC",
    }


def test_registries_without_tls_or_check(host):
    found = data(host, "registries")
    assert found["hosts"] == ["10.0.0.9", "mirror.example.eu"]
    assert (found["plain"], found["unchecked"]) == (["http://10.0.0.9:5000"], ["10.0.0.9:5000"])


def test_snapshots_by_their_files_where_k3s_cannot_list_them(host):
    assert data(host, "snapshots")["newest"] is None
    folder = host.root / "srv/k3s/server/db/snapshots"
    folder.mkdir(parents=True)
    (folder / "on-demand-a-1").write_text("x", encoding="utf-8")
    found = data(host, "snapshots")
    assert found["found"] == "files in /srv/k3s/server/db/snapshots"
    assert [one["name"] for one in found["snapshots"]] == ["on-demand-a-1"]
    assert found["s3"] == "s3.example.eu"


def test_a_snapshot_that_failed_is_none():
    ready = {"spec": {"snapshotName": "a"}, "status": {"creationTime": "2026-11-25T06:00:00Z", "size": "9", "readyToUse": True}}
    failed = {"spec": {"snapshotName": "b"}, "status": {"creationTime": "2026-11-25T11:00:00Z", "readyToUse": False}}
    found = k3s.snapshots([failed, ready, None, {"status": {"creationTime": "soon"}}], {}, NOW)
    assert [one["name"] for one in found["snapshots"]] == ["a"]
    assert (found["age_hours"], found["s3"]) == (6.0, "")


def test_a_file_that_is_no_yaml_is_a_fault_without_its_text(host):
    (host.root / "etc/rancher/k3s/config.yaml").write_text("token: [s3cret", encoding="utf-8")
    facts = k3s_facts(host, "edge-1", NOW)
    assert "is no YAML" in facts["server_config"]["error"]
    assert "s3cret" not in json.dumps(facts)


def test_what_is_no_server_is_told_in_all_areas(host):
    (host.root / "srv/k3s/server").rmdir()
    for one, what in ((host, "/srv/k3s/server"), (K3sHost(host.root, str(host.root / "no/k3s")), "no/k3s")):
        facts = k3s_facts(one, "edge-1", NOW)
        assert set(facts) == {*SHARED, *OWN}
        for area, fact in facts.items():
            assert fact["error"].startswith("server edge-1: this is no k3s server") and what in fact["error"]
            assert fact.get("missing", []) == ([fact["error"]] if area in OWN else [])


def test_the_command_line_wins_over_the_file(host):
    (host.root / "opt/data/server/db/snapshots").mkdir(parents=True)
    there = K3sHost(host.root, host.binary, "/opt/data")
    assert data(there, "snapshots")["found"] == "files in /opt/data/server/db/snapshots"
