# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook compliance over servers of which some are away, or are none: each is told with its reason, and the others are judged."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("kubernetes")

from .compliance_lab import BY_SERVERS
from .edge import Edge, whole_edge
from .lab import Lab

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}", "ansible_become": False}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with whole_edge(tmp_path_factory.mktemp("edge")) as edge:
        yield edge


def cluster(name: str, *servers: str, agent: str = "", **more: Any) -> dict[str, Any]:
    nodes = [{"name": server, "address": "127.0.0.1", "role": "server"} for server in servers]
    nodes += [{"name": agent, "address": "127.0.0.1", "role": "agent"}] if agent else []
    return {"name": name, "nodes": nodes, **more}


def inventory(edge: Edge, folder: Path, closed: int) -> Path:
    """``closed``: a port at which nobody listens."""
    clusters = [
        cluster("edge", "node-1", "edge-2", agent="edge-3", kubeconfig=str(edge.double.kubeconfig)),
        cluster("away", "away-1"),
        cluster("other", "other-1"),
        cluster("left", "left-1"),
        cluster("part", "part-1", "part-2"),
        # Its API does not answer, and its server does.
        cluster("half", "half-1", kubeconfig=str(folder / "none")),
    ]
    site = {"name": "rioja", "provider": "tests", "country": "ES", "clusters": clusters}
    federation = {"plugin": "virt8ra.federation.sites", "federation": "tests", "discover": False, "sites": [site]}
    # Files of this machine are those of the host, but for k3s itself and its data.
    k3s = {**HERE, "k3s_cluster_bin_dir": str(edge.folder), "k3s_cluster_data_dir": str(edge.server.layout.data)}
    away = {"ansible_port": closed, "ansible_ssh_common_args": "-o ConnectTimeout=5"}
    hosts = {"node-1": k3s, "half-1": k3s, "part-1": k3s, "edge-2": away, "edge-3": away, "away-1": away}
    hosts["other-1"] = {**HERE, "k3s_cluster_bin_dir": str(folder)}
    hosts["left-1"] = hosts["part-2"] = {**away, "compliance_k3s_servers": False}
    (folder / "t.sites.yml").write_text(yaml.safe_dump(federation), encoding="utf-8")
    for host, variables in hosts.items():
        path = folder / "host_vars" / f"{host}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(variables), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def found(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """Findings by control and cluster; whatever is away, the run comes to its end."""
    report = tmp_path_factory.mktemp("report")
    extra = {"report_dir": str(report), "fail_on": "never", "compliance_public_pages": False}
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        folder = inventory(edge, tmp_path_factory.mktemp("inventory"), held.getsockname()[1])
        told = Lab().playbook("playbooks/compliance.yml", inventory=folder, extra=extra)
    assert told["rc"] == 0, told["stderr"]
    assert not any(stats["changed"] for host, stats in told["stats"].items() if host != "localhost")
    # An agent is not logged in to.
    assert told["stats"]["edge-3"]["unreachable"] == told["stats"]["left-1"]["unreachable"] == 0
    read = json.loads((report / "findings.json").read_text(encoding="utf-8"))["findings"]
    return {(one["control"], one["subject"]["name"]): one for one in read}


def results(found: dict[tuple[str, str], dict[str, Any]], cluster: str) -> dict[str, str]:
    return {control: found[control, cluster]["result"] for control in BY_SERVERS}


def test_one_server_tells_what_is_of_the_cluster_and_each_its_own(found):
    told = results(found, "edge")
    assert (told["KEY-03"], told["OPS-05-K"]) == ("pass", "pass")
    # The one that was read has no configuration at all.
    assert (told["LOG-02"], told["SEC-02-K"]) == ("fail", "fail")
    assert [one["server"] for one in found["SEC-02-K", "edge"]["offending"]] == ["node-1"]
    assert told["SUP-03-K"] == "not_assessed"
    assert "everywhere: server edge-2: " in found["SUP-03-K", "edge"]["reason"], found["SUP-03-K", "edge"]["reason"]


def test_what_the_api_tells_is_in_the_same_report(found):
    assert found["KEY-04-K", "edge"]["result"] == "pass"
    assert found["SEC-03-K", "edge"]["evidence"]["version"]["data"]["distribution"] == "k3s"


def test_a_server_that_is_away_is_told_with_its_reason(found):
    assert results(found, "away") == dict.fromkeys(BY_SERVERS, "not_assessed")
    assert "Server away-1: " in found["KEY-03", "away"]["reason"] and "127.0.0.1" in found["KEY-03", "away"]["reason"]
    assert found["LOC-01", "away"]["result"] == "not_assessed", "nothing at all is known of it"


def test_what_is_no_server_is_told_as_such(found):
    assert results(found, "other") == dict.fromkeys(BY_SERVERS, "not_assessed")
    assert "server other-1: this is no k3s server" in found["SEC-02-K", "other"]["reason"]


def test_a_server_that_is_left_alone_is_not_known(found):
    assert results(found, "left") == dict.fromkeys(BY_SERVERS, "not_assessed")
    assert found["KEY-03", "left"]["reason"] == "Server left-1: it was not logged in to."
    # Beside one that was read it is missed where each has its own.
    assert (found["OPS-05-K", "part"]["result"], found["SUP-03-K", "part"]["result"]) == ("pass", "not_assessed")
    assert "server part-2: it was not logged in to" in found["SUP-03-K", "part"]["reason"]


def test_an_api_that_is_away_takes_nothing_from_the_server(found):
    assert found["KEY-03", "half"]["result"] == "pass"
    reason = found["KEY-04-K", "half"]["reason"]
    assert reason.startswith("Api_tls was not measured: ") and "kubeconfig" in reason
