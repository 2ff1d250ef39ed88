# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster is measured over HTTP and TLS, and what is measured is judged by the controls of the role."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("kubernetes")

from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.controls import read_controls, read_documents
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.judging import Case, judge
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.subjects import read_subjects
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site

from tests.applications.sample import Kubectl
from tests.doubles.kubernetes.client import Cluster

from .lab import ROOT, TIMEOUT, command, environment

SITE = {"name": "rioja", "provider": "Arsys", "country": "ES"}
AREAS = {"api_tls", "images", "kubelet", "nodes", "pod_security", "portability", "version", "volumes"}
HARD = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster.start(tmp_path / "es", name="es", version="v1.36.1+k3s1", nodes=2) as double:
        yield double


def evidence(cluster: Cluster, kubeconfig: Path | None = None, **options: Any) -> dict[str, Any]:
    """The module's result, as a playbook gets it."""
    arguments = {"name": "edge", "kubeconfig": str(kubeconfig or cluster.kubeconfig), "site": SITE, **options}
    task = {"name": "test", "virt8ra.federation.cluster_evidence": arguments}
    play = [{"name": "test", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
    play[0]["vars"] = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path = cluster.folder / "play.yml"
    path.write_text(yaml.safe_dump(play), encoding="utf-8")
    done = subprocess.run(
        [command("ansible-playbook"), "-i", "localhost,", str(path)],
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        env=environment(ANSIBLE_STDOUT_CALLBACK="ansible.posix.json", ANSIBLE_DEPRECATION_WARNINGS="0"),
        text=True,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    result: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return result


def findings(result: dict[str, Any]) -> dict[str, Any]:
    """Findings of the cluster by control."""
    controls = read_controls(read_documents([str(ROOT / "roles" / "compliance" / "files" / "controls")], "controls"))
    site = Site.from_dict({**SITE, "clusters": [{"name": "edge"}]})
    subjects, _newest = read_subjects([result["evidence"]], [site])
    case = Case("lab", (site,), controls, (), "2026-11-25", frozenset(control.id for control in controls))
    return {finding.control: finding for finding in judge(case, subjects) if finding.subject["type"] == "cluster"}


def facts(result: dict[str, Any]) -> dict[str, Any]:
    assert not result.get("failed"), result.get("msg")
    (subject,) = result["evidence"]["subjects"]
    assert (subject["type"], subject["name"], subject["site"]) == ("cluster", "edge", "rioja")
    return dict(subject["facts"])


def test_all_areas_are_measured_and_judged(cluster):
    result = evidence(cluster)
    found = facts(result)
    assert set(found) == AREAS
    assert all(fact["how"] and "data" in fact for fact in found.values()), found
    assert not result["changed"]
    assert found["api_tls"]["data"]["version"] in ("TLSv1.2", "TLSv1.3")
    assert len(found["kubelet"]["data"]["nodes"]) == len(found["nodes"]["data"]) == 2
    assert found["version"]["data"]["branch"] == "1.36"
    judged = findings(result)
    assert judged["KEY-04-K"].result == "pass", judged["KEY-04-K"].reason
    assert judged["SEC-03-K"].result == "pass", judged["SEC-03-K"].reason
    assert judged["POR-08-K"].result == "pass", judged["POR-08-K"].reason
    assert judged["KEY-03"].result == "not_assessed", "only the server's host knows"
    assert "error" not in {finding.result for finding in judged.values()}


def test_a_cluster_that_is_hardened_passes_until_a_pod_is_privileged(cluster):
    kubectl = Kubectl(cluster.kubeconfig, "es")
    (cluster.folder / "kubelet.json").write_text('{"protectKernelDefaults": true}', encoding="utf-8")
    kubectl.create([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": HARD}}])
    kubectl.run("label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted")
    assert findings(evidence(cluster))["SEC-02"].result == "pass"
    container = {"name": "c", "image": "gcr.io/x/y:1", "securityContext": {"privileged": True}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"containers": [container]}}
    kubectl.create([pod])
    judged = findings(evidence(cluster))
    assert judged["SEC-02"].result == "fail" and "privileged" in judged["SEC-02"].reason
    assert judged["SUP-04-K"].offending == ("gcr.io",)


def test_a_volume_elsewhere_is_found(cluster):
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "far"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "nfs": {"server": "nfs.example.com", "path": "/srv"},
        },
    }
    Kubectl(cluster.kubeconfig, "es").create([volume])
    finding = findings(evidence(cluster))["LOC-04-K"]
    assert finding.result == "fail" and "nfs.example.com" in finding.reason


def test_what_may_not_be_read_is_not_assessed_and_the_rest_is(cluster):
    cluster.fault({"forbid": {"user": "restricted", "resource": "nodes/proxy"}})
    result = evidence(cluster, cluster.restricted)
    assert "nodes/proxy" in facts(result)["kubelet"]["error"]
    judged = findings(result)
    assert judged["SEC-02"].result == "not_assessed"
    assert judged["SEC-03-K"].result == "pass"


def test_a_cluster_that_is_away_is_a_failure_of_one_sentence(cluster):
    cluster.stop()
    result = evidence(cluster, patience=1)
    assert result["failed"] and "cannot be reached" in result["msg"]
