# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role k3s_cluster writes for k3s to read: by role of the node, by switches, for both families of addresses, for both service managers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles" / "k3s_cluster"
# Keys that an agent knows; at any other it ends.
AGENT_KEYS = {"token-file", "node-name", "node-ip", "node-label", "node-taint", "protect-kernel-defaults", "kubelet-arg", "server"}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """What each of the cases below renders to, in one run."""
    folder = tmp_path_factory.mktemp("rendered")
    hosts = {name: {"ansible_connection": "local", "ansible_python_interpreter": sys.executable} for name in CASES}
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    contents = {
        "config": "{{ __k3s_cluster_config | to_json }}",
        "unit": "{{ lookup('ansible.builtin.template', role ~ '/templates/' ~ ('openrc.j2' if __k3s_cluster_openrc | bool else 'systemd.service.j2')) }}",
        "admission": "{{ lookup('ansible.builtin.template', role ~ '/templates/admission.yaml.j2') }}",
    }
    tasks = [{"ansible.builtin.include_vars": str(ROLE / "vars" / "main.yml")}]
    tasks += [
        {"ansible.builtin.copy": {"content": text, "dest": f"{folder}/{{{{ inventory_hostname }}}}.{name}", "mode": "0600"}}
        for name, text in contents.items()
    ]
    play = {"hosts": "all", "gather_facts": False, "vars_files": [str(ROLE / "defaults" / "main.yml")], "tasks": tasks}
    play["vars"] = {"role": str(ROLE), "__k3s_cluster_join": ""}
    (folder / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    # Each for itself, as only extra variables are stronger than those of the role's files.
    for name, case in CASES.items():
        extra = {"ansible_facts": {"service_mgr": "systemd", "architecture": "x86_64"}, **case}
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(folder / "inventory.yml"), "-l", name]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [*argv, "-e", json.dumps(extra), str(folder / "play.yml")],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return lambda name, what: (folder / f"{name}.{what}").read_text(encoding="utf-8")


BARE = {
    "k3s_cluster_cis_arguments": False,
    "k3s_cluster_secrets_encryption": False,
    "k3s_cluster_audit": False,
    "k3s_cluster_pod_security": "",
    "k3s_cluster_protect_kernel_defaults": False,
    "k3s_cluster_datastore": "sqlite",
}
CASES = {
    "server": {"k3s_cluster_role": "server", "k3s_cluster_name": "edge", "k3s_cluster_endpoints": ["203.0.113.9"]},
    "agent": {
        "k3s_cluster_role": "agent",
        "k3s_cluster_name": "edge",
        "__k3s_cluster_join": "https://203.0.113.9:6443",
        "k3s_cluster_node_labels": {"tier": "edge"},
        "k3s_cluster_node_taints": ["only=gpu:NoSchedule"],
    },
    "bare": {"k3s_cluster_role": "server", "k3s_cluster_name": "edge", **BARE},
    "dual": {
        "k3s_cluster_role": "server",
        "k3s_cluster_name": "edge",
        "k3s_cluster_node_ips": ["192.0.2.1", "2001:db8::1"],
        "k3s_cluster_cluster_cidrs": ["10.42.0.0/16", "2001:db8:42::/56"],
        "k3s_cluster_service_cidrs": ["10.43.0.0/16", "2001:db8:43::/112"],
    },
    "alpine": {
        "k3s_cluster_role": "agent",
        "k3s_cluster_name": "edge",
        "ansible_facts": {"service_mgr": "openrc", "architecture": "x86_64"},
    },
}


def config(rendered, name):
    return json.loads(rendered(name, "config"))


def test_a_server_is_hardened_by_default(rendered):
    told = config(rendered, "server")
    assert told["secrets-encryption"] is True and told["protect-kernel-defaults"] is True and told["cluster-init"] is True
    assert "203.0.113.9" in told["tls-san"] and told["write-kubeconfig-mode"] == "0600"
    arguments = " ".join(told["kube-apiserver-arg"])
    for wanted in ("audit-log-maxage=30", "NodeRestriction", "admission-control-config-file="):
        assert wanted in arguments
    admission = yaml.safe_load(rendered("server", "admission"))
    pods = next(plugin for plugin in admission["plugins"] if plugin["name"] == "PodSecurity")["configuration"]
    assert pods["defaults"]["enforce"] == "restricted" and pods["exemptions"]["namespaces"] == ["kube-system"]


def test_no_secret_stands_in_the_configuration(rendered):
    for name in CASES:
        assert "token" not in config(rendered, name) and config(rendered, name)["token-file"] == "/etc/rancher/k3s/token"


def test_every_hardening_has_its_switch(rendered):
    told = config(rendered, "bare")
    assert set(told) == {"token-file", "node-name", "node-label", "tls-san", "write-kubeconfig-mode"}


def test_an_agent_has_nothing_that_only_servers_know(rendered):
    told = config(rendered, "agent")
    assert set(told) <= AGENT_KEYS and told["server"] == "https://203.0.113.9:6443"
    assert told["node-label"] == ["federation.virt8ra.eu/cluster=edge", "tier=edge"] and told["node-taint"] == [
        "only=gpu:NoSchedule"
    ]


def test_both_families_of_addresses(rendered):
    told = config(rendered, "dual")
    assert told["node-ip"] == "192.0.2.1,2001:db8::1"
    assert told["cluster-cidr"] == "10.42.0.0/16,2001:db8:42::/56" and told["service-cidr"] == "10.43.0.0/16,2001:db8:43::/112"


def test_units_of_both_service_managers(rendered):
    unit = rendered("server", "unit")
    assert "ExecStart=/usr/local/bin/k3s server" in unit and "Type=notify" in unit and "KillMode=process" in unit
    script = rendered("alpine", "unit")
    assert script.startswith("#!/sbin/openrc-run\n") and 'command_args="agent"' in script
    checked = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
