# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role k3s_cluster for real, on hosts with systemd: the life of a cluster, from test to test, with the stand-in or a real k3s."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .compliance_lab import BY_SERVERS
from .k3s_lab import HOSTS, REAL, K3sLab

ONE, TWO, THREE, FOUR, FIVE = HOSTS
CLUSTER, OTHER = "t-k3s-ha", "t-k3s-other"
SERVERS = {ONE: "server", TWO: "server", THREE: "server"}
WHOLE = {**SERVERS, FOUR: "agent"}
TOKEN, NEXT_TOKEN = "7f3a-the-first-token-of-all", "b812-the-token-after-it"
OLDER, OLD, NEW, FAR = "v1.33.4+k3s1", "v1.34.1+k3s1", "v1.35.0+k3s1", "v1.36.0+k3s1"
MEMBERS = "grep -o '\"members\":\\[[^]]*\\]' /var/lib/rancher/k3s/server/db/etcd/member/snap/db"
only_standin = pytest.mark.skipif(bool(REAL), reason="needs faults or several versions, which one real binary does not have")


def real_version() -> str:
    told = subprocess.run([REAL, "--version"], capture_output=True, text=True, check=True).stdout
    return told.split()[2]


VERSION = real_version() if REAL else OLD


@pytest.fixture(scope="module")
def empty(k3s_lab: K3sLab) -> Iterator[dict[str, list[str]]]:
    """What is on each host before anything is installed."""
    yield {host: k3s_lab.listing(host) for host in HOSTS}


def settings(lab: K3sLab, version: str = VERSION) -> dict[str, Any]:
    """What all hosts of these tests have in common."""
    _path, digest = lab.binary(version)
    return {
        "k3s_cluster_version": version,
        "k3s_cluster_checksums": {"k3s": digest},
        "k3s_cluster_artefacts_dir": str(lab.binaries),
        "k3s_cluster_token": TOKEN,
        "k3s_cluster_tls_sans": ["10.213.81.100", "api.t-k3s.test"],
        # What does not come up is told by its restarts; this is for machines that are busy.
        "k3s_cluster_ready_timeout": 300,
        "k3s_cluster_backup_dir": str(lab.folder / "backup"),
        "k3s_cluster_backup_passphrase": "a passphrase of the tests",
        # The kernel is this machine's, and that of all other containers on it.
        "k3s_cluster_manage_kernel": False,
        "k3s_cluster_protect_kernel_defaults": False,
    }


def declare(lab: K3sLab, nodes: dict[str, str], version: str = VERSION, cluster: str = CLUSTER, **more: Any) -> None:
    lab.declare({cluster: nodes}, **{**settings(lab, version), **more})


def changed(told: dict[str, Any]) -> int:
    return sum(stats["changed"] for stats in told["stats"].values())


def fine(told: dict[str, Any]) -> dict[str, Any]:
    assert told["rc"] == 0, failures(told) or told["stderr"]
    return told


def failures(told: dict[str, Any]) -> list[str]:
    """What each failed task said, in its order."""
    results = [result for play in told["plays"] for task in play["tasks"] for result in task["hosts"].values()]
    return [
        str(result.get("msg", result)) for result in results if result.get("failed") and not result.get("_ansible_ignore_errors")
    ]


def refusal(told: dict[str, Any], *words: str) -> None:
    """It failed with a sentence that has these words, and no task had changed anything."""
    said = failures(told)
    assert told["rc"] != 0 and any(all(word in sentence for word in words) for sentence in said), said
    assert changed(told) == 0


def test_what_cannot_be_is_refused_in_one_sentence_and_nothing_is_touched(k3s_lab: K3sLab, empty: dict[str, list[str]]) -> None:
    declare(k3s_lab, {ONE: "server", TWO: "server"})
    refusal(k3s_lab.apply(CLUSTER), "2")
    declare(k3s_lab, {ONE: "server"}, k3s_cluster_checksums={"k3s": "0" * 64})
    refusal(k3s_lab.apply(CLUSTER), "0" * 64)
    for host in (ONE, TWO):
        assert k3s_lab.listing(host) == empty[host]


def test_check_mode_says_what_an_installation_would_do_and_does_nothing(k3s_lab: K3sLab, empty: dict[str, list[str]]) -> None:
    declare(k3s_lab, WHOLE)
    told = fine(k3s_lab.apply(CLUSTER, check=True))
    assert all(told["stats"][host]["changed"] for host in WHOLE)
    for host in WHOLE:
        assert k3s_lab.listing(host) == empty[host]


def test_three_servers_and_an_agent_are_installed_and_the_token_shows_nowhere(k3s_lab: K3sLab) -> None:
    for host in HOSTS:
        k3s_lab.fault(host)
    declare(k3s_lab, WHOLE)
    shown = k3s_lab.applied(CLUSTER, "-vvv", "--diff")
    assert re.search(r"failed=0", shown) and not re.search(r"failed=[1-9]|unreachable=[1-9]", shown), shown[-3000:]
    assert k3s_lab.ready(TWO) == dict.fromkeys(WHOLE, VERSION)
    stored = k3s_lab.run(ONE, "cat /var/lib/rancher/k3s/server/token").strip()
    for secret in (TOKEN, stored):
        assert secret not in shown
        for host in WHOLE:
            assert secret not in k3s_lab.calls(host)
            assert secret not in k3s_lab.run(
                host, "journalctl --no-pager -o cat; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'"
            )
    for host in WHOLE:
        assert k3s_lab.run(host, "stat -c '%a %U' /etc/rancher/k3s/config.yaml") == "600 root\n"
    assert k3s_lab.run(ONE, "stat -c '%a %U' /etc/rancher/k3s/k3s.yaml") == "600 root\n"
    names = "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
    assert "10.213.81.100" in k3s_lab.run(THREE, names) and "api.t-k3s.test" in k3s_lab.run(THREE, names)
    assert "Enabled" in k3s_lab.run(ONE, "/usr/local/bin/k3s secrets-encrypt status")


def test_a_second_run_changes_nothing_and_restarts_nothing(k3s_lab: K3sLab) -> None:
    began = {host: k3s_lab.run(host, "systemctl show -p MainPID k3s k3s-agent") for host in WHOLE}
    assert changed(fine(k3s_lab.apply(CLUSTER))) == 0
    assert {host: k3s_lab.run(host, "systemctl show -p MainPID k3s k3s-agent") for host in WHOLE} == began


def compliance(lab: K3sLab, cluster: str) -> dict[str, dict[str, Any]]:
    """Findings of a cluster by control; the playbook went to its end, and changed nothing on the hosts."""
    folder = lab.folder / "report"
    told = fine(
        lab.playbook(
            "playbooks/compliance.yml", extra={"report_dir": str(folder), "fail_on": "never", "compliance_public_pages": False}
        )
    )
    assert not any(stats["changed"] for host, stats in told["stats"].items() if host != "localhost")
    written = (folder / "findings.json").read_text(encoding="utf-8")
    assert TOKEN not in written
    return {one["control"]: one for one in json.loads(written)["findings"] if one["subject"]["name"] == cluster}


def results(findings: dict[str, dict[str, Any]], controls: tuple[str, ...]) -> dict[str, str]:
    return {control: findings[control]["result"] for control in controls}


def test_compliance_knows_what_only_servers_know(k3s_lab: K3sLab) -> None:
    declare(k3s_lab, WHOLE)
    assert "No module named 'kubernetes'" in k3s_lab.run(ONE, "python3 -c 'import kubernetes' 2>&1 || true")
    k3s_lab.run(TWO, "/usr/local/bin/k3s etcd-snapshot save")
    found = compliance(k3s_lab, CLUSTER)
    assert results(found, BY_SERVERS) == {**dict.fromkeys(BY_SERVERS, "pass"), "SEC-02-K": "fail"}, found
    assert [one["server"] for one in found["LOG-02"]["evidence"]["audit_log"]["data"]["servers"]] == [*SERVERS]
    # The kernel is this machine's, so that these hosts do not protect it; nothing else is wrong with any of them.
    for offending in found["SEC-02-K"]["offending"]:
        assert {**offending, "server": ""} == {
            "server": "",
            "protect_kernel_defaults": "null",
            "kubeconfig_mode": "0600",
            "anonymous_auth": "null",
            "profiling": "null",
            "disable_network_policy": "null",
        }
    assert [one["server"] for one in found["SEC-02-K"]["offending"]] == [*SERVERS]
    assert found["SEC-03-K"]["result"] == "not_assessed", "there is no kubeconfig"

    drop_in = "/etc/rancher/k3s/config.yaml.d/99-t.yaml"
    for host in SERVERS:
        k3s_lab.run(host, f"mkdir -p $(dirname {drop_in}) && echo 'protect-kernel-defaults: true' > {drop_in}")
    try:
        with k3s_lab.kubeconfig(CLUSTER, ONE):
            found = compliance(k3s_lab, CLUSTER)
    finally:
        for host in SERVERS:
            k3s_lab.run(host, f"rm -f {drop_in}; rmdir --ignore-fail-on-non-empty $(dirname {drop_in})")
    assert results(found, BY_SERVERS) == dict.fromkeys(BY_SERVERS, "pass"), found
    assert found["KEY-04-K"]["result"] == found["SUP-04-K"]["result"] == "pass", "what the API tells is in the same report"


def test_the_api_outlives_a_server(k3s_lab: K3sLab) -> None:
    def heard() -> str:
        lease = json.loads(k3s_lab.kubectl(TWO, f"get lease {FOUR} -n kube-node-lease -o json"))
        return str(lease["spec"]["renewTime"])

    k3s_lab.run(ONE, "systemctl kill -s KILL --kill-whom=main k3s; systemctl stop k3s")
    try:
        k3s_lab.kubectl(TWO, f"label node {FOUR} written=without-the-first")
        before, end = heard(), time.monotonic() + 300
        while heard() == before:
            assert time.monotonic() < end, "the agent has lost the cluster with its first server"
            time.sleep(1)
    finally:
        k3s_lab.run(ONE, "systemctl start k3s")
    assert k3s_lab.nodes(ONE)[FOUR]["metadata"]["labels"]["written"] == "without-the-first"


@only_standin
def test_versions_that_cannot_follow_are_refused(k3s_lab: K3sLab) -> None:
    declare(k3s_lab, WHOLE, FAR)
    refusal(k3s_lab.apply(CLUSTER), "1.35")
    declare(k3s_lab, WHOLE, OLDER)
    refusal(k3s_lab.apply(CLUSTER), OLD)
    declare(k3s_lab, {ONE: "server", TWO: "server", FOUR: "agent"})
    refusal(k3s_lab.apply(CLUSTER), "2")
    assert k3s_lab.ready(TWO) == dict.fromkeys(WHOLE, OLD)


@only_standin
def test_a_node_that_fails_stops_the_upgrade_and_the_rest_is_as_it_was(k3s_lab: K3sLab) -> None:
    declare(k3s_lab, WHOLE, NEW)
    fine(k3s_lab.apply(CLUSTER, check=True))
    assert k3s_lab.ready(ONE) == dict.fromkeys(WHOLE, OLD)
    k3s_lab.fault(TWO, exit=True, versions=[NEW])
    told = k3s_lab.apply(CLUSTER)
    assert told["rc"] != 0 and any(TWO in sentence for sentence in failures(told)), failures(told)
    versions = {name: node["status"]["nodeInfo"]["kubeletVersion"] for name, node in k3s_lab.nodes(ONE).items()}
    assert versions == {ONE: NEW, TWO: OLD, THREE: OLD, FOUR: OLD}
    for host in (THREE, FOUR):
        assert OLD in k3s_lab.run(host, "/usr/local/bin/k3s --version")
        assert not k3s_lab.nodes(ONE)[host]["spec"].get("unschedulable")
    k3s_lab.kubectl(THREE, f"label node {FOUR} written=in-mid-upgrade")

    k3s_lab.fault(TWO)
    fine(k3s_lab.apply(CLUSTER))
    assert k3s_lab.ready(ONE) == dict.fromkeys(WHOLE, NEW)
    assert not any(node["spec"].get("unschedulable") for node in k3s_lab.nodes(ONE).values())


def now() -> str:
    return VERSION if REAL else NEW


def test_a_server_leaves_etcd_and_another_joins_by_the_inventory(k3s_lab: K3sLab, empty: dict[str, list[str]]) -> None:
    declare(k3s_lab, {ONE: "server", TWO: "server", FIVE: "server", FOUR: "agent"}, now())
    fine(k3s_lab.apply(CLUSTER))
    assert k3s_lab.ready(ONE) == dict.fromkeys([ONE, TWO, FIVE, FOUR], now())
    if not REAL:
        told = k3s_lab.run(ONE, MEMBERS)
        assert FIVE in told and THREE not in told
    declare(k3s_lab, {THREE: "server"}, now(), OTHER)
    refusal(k3s_lab.apply(OTHER, "absent"), "k3s_cluster_confirm_uninstall")
    fine(k3s_lab.apply(OTHER, "absent", k3s_cluster_confirm_uninstall=True))
    assert k3s_lab.listing(THREE) == empty[THREE]


def test_token_certificates_and_keys_are_rotated(k3s_lab: K3sLab) -> None:
    nodes = {ONE: "server", TWO: "server", FIVE: "server", FOUR: "agent"}
    declare(k3s_lab, nodes, now())
    serial = "openssl x509 -noout -serial -in /var/lib/rancher/k3s/server/tls/client-admin.crt"
    key = "/usr/local/bin/k3s secrets-encrypt status --output json"
    before = {"certificate": k3s_lab.run(TWO, serial), "key": json.loads(k3s_lab.run(ONE, key))["activekey"]}
    fine(k3s_lab.apply(CLUSTER, "certificates_rotated"))
    assert k3s_lab.run(TWO, serial) != before["certificate"]
    fine(k3s_lab.apply(CLUSTER, "encryption_keys_rotated"))
    status = json.loads(k3s_lab.run(TWO, key))
    assert status["activekey"] != before["key"] and status["hashmatch"]
    shown = k3s_lab.applied(CLUSTER, "-vvv", k3s_cluster_state="token_rotated", k3s_cluster_new_token=NEXT_TOKEN)
    assert not re.search(r"failed=[1-9]|unreachable=[1-9]", shown), shown[-3000:]
    # It stands in the command line that this test gave to Ansible, which says it again; nowhere else.
    assert all(NEXT_TOKEN not in k3s_lab.calls(host) for host in nodes)
    assert k3s_lab.run(TWO, "cat /var/lib/rancher/k3s/server/token").strip().endswith(f"::server:{NEXT_TOKEN}")
    declare(k3s_lab, nodes, now(), k3s_cluster_token=NEXT_TOKEN)
    assert changed(fine(k3s_lab.apply(CLUSTER))) == 0
    assert k3s_lab.ready(ONE) == dict.fromkeys(nodes, now())


def test_a_backup_is_restored_to_the_same_servers_and_to_new_ones(k3s_lab: K3sLab) -> None:
    nodes = {ONE: "server", TWO: "server", FIVE: "server", FOUR: "agent"}
    declare(k3s_lab, nodes, now(), k3s_cluster_token=NEXT_TOKEN)
    k3s_lab.kubectl(ONE, f"label node {FOUR} kept=yes")
    fine(k3s_lab.apply(CLUSTER, "backed_up"))
    saved = [path for path in (k3s_lab.folder / "backup").rglob("*") if path.is_file()]
    assert saved and all(NEXT_TOKEN.encode() not in path.read_bytes() for path in saved)
    assert all(path.stat().st_mode & 0o077 == 0 for path in saved)
    k3s_lab.kubectl(ONE, f"label node {FOUR} lost=yes")
    refusal(
        k3s_lab.apply(CLUSTER, "restored", k3s_cluster_restore_dir=str(k3s_lab.folder / "backup")), "k3s_cluster_confirm_restore"
    )
    fine(
        k3s_lab.apply(CLUSTER, "restored", k3s_cluster_restore_dir=str(k3s_lab.folder / "backup"), k3s_cluster_confirm_restore=True)
    )
    labels = k3s_lab.nodes(TWO)[FOUR]["metadata"]["labels"]
    assert labels.get("kept") == "yes" and "lost" not in labels
    assert k3s_lab.ready(FIVE) == dict.fromkeys(nodes, now())

    authority = "sha256sum < /var/lib/rancher/k3s/server/tls/server-ca.crt"
    declare(k3s_lab, {THREE: "server"}, now(), OTHER, k3s_cluster_token=NEXT_TOKEN)
    fine(k3s_lab.apply(OTHER, "restored", k3s_cluster_restore_dir=str(k3s_lab.folder / "backup")))
    assert k3s_lab.run(THREE, authority) == k3s_lab.run(ONE, authority)
    assert k3s_lab.ready(THREE).get(THREE) == now()


def test_a_single_server_with_sqlite_and_an_agent(k3s_lab: K3sLab, empty: dict[str, list[str]]) -> None:
    declare(k3s_lab, {THREE: "server"}, now(), OTHER)
    fine(k3s_lab.apply(OTHER, "absent", k3s_cluster_confirm_uninstall=True))
    declare(k3s_lab, {ONE: "server", TWO: "server", FIVE: "server", FOUR: "agent"}, now())
    fine(k3s_lab.apply(CLUSTER, "absent", k3s_cluster_confirm_uninstall=True))
    for host in HOSTS:
        assert k3s_lab.listing(host) == empty[host], f"an uninstallation left something on {host}"
    open_to_all = {
        "k3s_cluster_secrets_encryption": False,
        "k3s_cluster_audit": False,
        "k3s_cluster_registries": {"mirrors": {"t-k3s.test": {"endpoint": ["http://10.213.81.250:5000"]}}},
    }
    alone = {"k3s_cluster_datastore": "sqlite", "k3s_cluster_token": "", **open_to_all}
    declare(k3s_lab, {FOUR: "server", FIVE: "agent"}, now(), OTHER, **alone)
    fine(k3s_lab.apply(OTHER))
    assert k3s_lab.ready(FOUR) == dict.fromkeys([FOUR, FIVE], now())
    assert "state.db" in k3s_lab.run(FOUR, "ls /var/lib/rancher/k3s/server/db")
    found = compliance(k3s_lab, OTHER)
    assert results(found, BY_SERVERS) == dict.fromkeys(BY_SERVERS, "fail"), found
    assert changed(fine(k3s_lab.apply(OTHER))) == 0
