# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-in for k3s under systemd on hosts of its own, by hand, as k3s' documentation tells: a story from test to test."""

from __future__ import annotations

import json

import pytest

from .k3s_lab import HOSTS, REAL, K3sLab

pytestmark = pytest.mark.skipif(bool(REAL), reason="of the stand-in only")

VERSION = "v1.34.1+k3s1"
SERVERS = ["t-k3s-1", "t-k3s-2", "t-k3s-3"]
FIRST, AGENT, SPARE = "t-k3s-1", "t-k3s-4", "t-k3s-5"
JOIN = f"server: https://{HOSTS[FIRST]}:6443"
# As k3s' own install script writes it, but for what a container cannot do.
UNIT = """[Unit]
Description=Lightweight Kubernetes
[Service]
Type=notify
KillMode=process
Delegate=yes
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStart=/usr/local/bin/k3s {}
"""


def install(lab: K3sLab, host: str, kind: str, config: str) -> None:
    lab.write(host, "/usr/local/bin/k3s", lab.binary(VERSION)[0].read_bytes(), "755")
    lab.write(host, "/etc/rancher/k3s/config.yaml", config.encode())
    lab.write(host, "/etc/systemd/system/k3s.service", UNIT.format(kind).encode(), "644")
    lab.run(host, "systemctl daemon-reload")


def start(lab: K3sLab, host: str, seconds: int = 60) -> str:
    """What the unit is after so long at most, and its last words."""
    shown = "systemctl is-active k3s; journalctl -u k3s -o cat --no-pager -n 12"
    return lab.run(host, f"timeout {seconds} systemctl restart k3s; {shown}", check=False)


def give_up(lab: K3sLab, host: str) -> None:
    lab.run(host, "systemctl stop k3s; rm -rf /var/lib/rancher /etc/rancher")


def test_servers_and_an_agent_become_one_cluster(k3s_lab: K3sLab) -> None:
    common = "secrets-encryption: true\ntls-san: [10.213.81.100]\n"
    install(k3s_lab, FIRST, "server", common + "token: the first secret\ncluster-init: true\n")
    assert start(k3s_lab, FIRST).startswith("active")
    token = k3s_lab.run(FIRST, "cat /var/lib/rancher/k3s/server/token").strip()
    assert token.startswith("K10") and token.endswith("::server:the first secret")
    for host in SERVERS[1:]:
        install(k3s_lab, host, "server", f"{common}{JOIN}\ntoken: '{token}'\n")
        assert start(k3s_lab, host).startswith("active")
    install(k3s_lab, AGENT, "agent", f"{JOIN}\ntoken: '{token}'\nnode-label: [zone=a]\nnode-taint:\n  - only=gpu:NoSchedule\n")
    assert start(k3s_lab, AGENT).startswith("active")
    nodes = k3s_lab.nodes("t-k3s-3")
    assert set(nodes) == {*SERVERS, AGENT}
    assert nodes[AGENT]["spec"]["taints"] == [{"key": "only", "value": "gpu", "effect": "NoSchedule"}]
    assert nodes[AGENT]["metadata"]["labels"]["zone"] == "a"
    assert nodes[FIRST]["metadata"]["labels"]["node-role.kubernetes.io/etcd"] == "true"
    assert k3s_lab.ready("t-k3s-2") == dict.fromkeys([*SERVERS, AGENT], VERSION)
    shown = k3s_lab.run(
        FIRST, "stat -c %a /etc/rancher/k3s/k3s.yaml /var/lib/rancher/k3s/server/token; ls -l /var/lib/rancher/k3s/server"
    )
    assert shown.startswith("600\n600\n") and "node-token -> /var/lib/rancher/k3s/server/token" in shown
    names = k3s_lab.run(
        FIRST, "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
    )
    assert "10.213.81.100" in names and HOSTS[FIRST] in names


def test_who_does_not_belong_is_told_so_as_k3s_tells_it(k3s_lab: K3sLab) -> None:
    install(k3s_lab, SPARE, "agent", f"{JOIN}\ntoken: a wrong one\n")
    told = start(k3s_lab, SPARE, 6)
    assert told.startswith("activating") and "401" in told, "an agent with a wrong token tries for ever"
    install(k3s_lab, SPARE, "server", f"{JOIN}\ntoken: a wrong one\nsecrets-encryption: true\n")
    assert "status=1/FAILURE" in start(k3s_lab, SPARE)
    install(k3s_lab, SPARE, "server", f"{JOIN}\ntoken: the first secret\n")
    assert "critical configuration value mismatch" in start(k3s_lab, SPARE)
    install(k3s_lab, SPARE, "agent", f"{JOIN}\ntoken: the first secret\ncluster-init: true\n")
    assert "flag provided but not defined: -cluster-init" in start(k3s_lab, SPARE)
    give_up(k3s_lab, SPARE)
    assert SPARE not in k3s_lab.nodes(FIRST)


def test_two_of_three_servers_are_enough_and_one_is_not(k3s_lab: K3sLab) -> None:
    k3s_lab.run(FIRST, "systemctl kill -s KILL --kill-whom=main k3s; systemctl stop k3s")
    k3s_lab.kubectl("t-k3s-2", f"label node {AGENT} written=by-two")
    k3s_lab.run("t-k3s-3", "systemctl stop k3s")
    refused = k3s_lab.run("t-k3s-2", f"/usr/local/bin/k3s kubectl label node {AGENT} written=by-one 2>&1", check=False)
    assert "leader" in refused
    assert "reason withheld" in k3s_lab.run("t-k3s-2", "/usr/local/bin/k3s kubectl get --raw /readyz 2>&1", check=False)
    assert start(k3s_lab, FIRST).startswith("active")
    assert k3s_lab.nodes(FIRST)[AGENT]["metadata"]["labels"]["written"] == "by-two", "who comes back catches up"
    assert start(k3s_lab, "t-k3s-3").startswith("active")


def test_tokens_keys_and_certificates_are_rotated_with_the_restarts_that_they_need(k3s_lab: K3sLab) -> None:
    k3s_lab.run(FIRST, "/usr/local/bin/k3s secrets-encrypt rotate-keys")
    told = json.loads(k3s_lab.run(FIRST, "/usr/local/bin/k3s secrets-encrypt status --output json"))
    assert (told["stage"], told["hashmatch"]) == ("reencrypt_finished", False)
    assert "hash does not match" in k3s_lab.run(FIRST, "/usr/local/bin/k3s secrets-encrypt rotate-keys 2>&1", check=False)
    k3s_lab.run(FIRST, "/usr/local/bin/k3s token rotate --new-token the-second")
    k3s_lab.run(FIRST, "/usr/local/bin/k3s certificate rotate 2>&1; ls -d /var/lib/rancher/k3s/server/tls-*")
    assert "encrypted with different token" in start(k3s_lab, "t-k3s-2")
    for host in [*SERVERS, AGENT]:
        k3s_lab.run(host, "sed -i 's/^token: .*/token: the-second/' /etc/rancher/k3s/config.yaml")
        assert start(k3s_lab, host).startswith("active")
    assert json.loads(k3s_lab.run(FIRST, "/usr/local/bin/k3s secrets-encrypt status --output json"))["hashmatch"]
    assert set(k3s_lab.ready("t-k3s-3")) == {*SERVERS, AGENT}


def test_a_deleted_server_leaves_etcd_and_may_come_again(k3s_lab: K3sLab) -> None:
    k3s_lab.kubectl(FIRST, "delete node t-k3s-3")
    members = "grep -o '\"members\":\\[[^]]*\\]' /var/lib/rancher/k3s/server/db/etcd/member/snap/db"
    k3s_lab.run(FIRST, f"for i in $(seq 100); do {members} | grep -q t-k3s-3 || exit 0; sleep 0.2; done; exit 1")
    assert start(k3s_lab, "t-k3s-3").startswith("active")
    assert "t-k3s-3" in k3s_lab.run(FIRST, members)


def test_a_snapshot_is_restored_here_and_elsewhere(k3s_lab: K3sLab) -> None:
    restore = "/usr/local/bin/k3s server --cluster-reset --cluster-reset-restore-path=/root/snapshot 2>&1"
    k3s_lab.run(
        FIRST,
        "/usr/local/bin/k3s etcd-snapshot save --name mine; cp /var/lib/rancher/k3s/server/db/snapshots/mine-* /root/snapshot",
    )
    k3s_lab.write(SPARE, "/root/snapshot", k3s_lab.run(FIRST, "cat /root/snapshot").encode())
    k3s_lab.kubectl(FIRST, f"label node {AGENT} too=late")
    assert "address already in use" in k3s_lab.run(FIRST, restore, check=False)
    for host in SERVERS:
        k3s_lab.run(host, "systemctl stop k3s")
    assert "different token" in k3s_lab.run(
        FIRST, f"{restore} --token wrong; true".replace("2>&1 --token wrong", "--token wrong 2>&1")
    )
    assert "membership has been reset" in k3s_lab.run(FIRST, restore)
    assert "reset-flag" in k3s_lab.run(FIRST, restore, check=False), "a second reset is refused"
    assert start(k3s_lab, FIRST).startswith("active")
    for host in SERVERS[1:]:
        k3s_lab.run(host, "rm -rf /var/lib/rancher/k3s/server/db")
        assert start(k3s_lab, host).startswith("active")
    labels = k3s_lab.nodes("t-k3s-2")[AGENT]["metadata"]["labels"]
    assert labels["written"] == "by-two" and "too" not in labels

    install(k3s_lab, SPARE, "server", "secrets-encryption: true\ncluster-init: true\ntoken: the-second\n")
    assert "membership has been reset" in k3s_lab.run(SPARE, restore)
    assert start(k3s_lab, SPARE).startswith("active")
    assert set(k3s_lab.nodes(SPARE)) == {*SERVERS, AGENT, SPARE}
    same = "sha256sum < /var/lib/rancher/k3s/server/tls/server-ca.crt"
    assert k3s_lab.run(SPARE, same) == k3s_lab.run(FIRST, same)


def test_a_node_that_is_told_to_fail_fails(k3s_lab: K3sLab) -> None:
    k3s_lab.fault(AGENT, not_ready=True)
    wait = f"for i in $(seq 100); do /usr/local/bin/k3s kubectl get nodes | grep -q '{AGENT} *NotReady' && exit 0; sleep 0.3; done; exit 1"
    k3s_lab.run(FIRST, wait)
    k3s_lab.fault(AGENT, exit=True, versions=["v1.99.0+k3s1"])
    assert start(k3s_lab, AGENT).startswith("active"), "another version was told to"
    k3s_lab.fault(AGENT, exit=True)
    assert "told to fail" in start(k3s_lab, AGENT)
