# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts for clusters, apart from the lab's: made by the role lab_site in a network of their own, and the binaries that run there.

``K3S_BINARY`` names a real k3s in place of the stand-in. It plays one version only: tests that need two are skipped then.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.doubles.k3s.build import build

from .lab import Lab

NETWORK = "t-k3s"
SUBNET = "10.213.81.0/24"
HOSTS = {f"t-k3s-{number}": f"10.213.81.{10 + number}" for number in range(1, 6)}
REAL = os.environ.get("K3S_BINARY", "")


class K3sLab(Lab):
    """``HOSTS``, and a folder with the inventory, the binaries and the hosts' key. Use it as a context: it takes all away again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "inventory"
        self.binaries = folder / "binaries"

    def __enter__(self) -> K3sLab:
        self.inventory.mkdir(parents=True, exist_ok=True)
        self.declare({})
        self._lab_site("absent")
        self._lab_site("present")
        return self

    def __exit__(self, *_error: object) -> None:
        for host in HOSTS:
            subprocess.run(["ssh", "-O", "exit", *self.ssh(host, "")[1:-1]], capture_output=True, check=False)
        self._lab_site("absent")

    def _lab_site(self, state: str) -> None:
        options = {
            "lab_site_state": state,
            "lab_site_hosts": [{"name": name, "address": address} for name, address in HOSTS.items()],
            "lab_site_label": NETWORK,
            "lab_site_network": NETWORK,
            "lab_site_subnet": SUBNET,
            "lab_site_dir": str(self.folder / "lab"),
        }
        told = self.playbook("playbooks/lab.yml", extra=options)
        assert told["rc"] == 0, told["stderr"] or told["stats"]

    def ssh(self, host: str, shell_command: str) -> list[str]:  # type: ignore[override]
        """The command line that runs a command on the host."""
        return [
            *("ssh", "-i", str(self.folder / "lab/ssh/id_ed25519"), "-o", f"UserKnownHostsFile={self.folder / 'lab/known_hosts'}"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "ControlMaster=auto", "-o", "ControlPersist=60"),
            *(
                "-o",
                "ControlPath=/tmp/virt8ra-%C",
                "-o",
                "ConnectTimeout=10",
                "-o",
                "ServerAliveInterval=5",
                "-o",
                "LogLevel=ERROR",
            ),
            f"root@{HOSTS[host]}",
            shell_command,
        ]

    def declare(self, clusters: dict[str, dict[str, str]], **variables: Any) -> None:
        """The federation file: clusters by name, each host with its role; and variables for all hosts."""
        sites: list[dict[str, Any]] = [
            {
                "name": f"{name}-site",
                "provider": "tests",
                "country": "DE",
                "clusters": [
                    {
                        "name": name,
                        "endpoint": f"https://{HOSTS[next(iter(nodes))]}:6443",
                        "nodes": [{"name": node, "address": HOSTS[node], "role": role} for node, role in nodes.items()],
                    }
                ],
            }
            for name, nodes in clusters.items()
        ] or [{"name": "t-k3s-none", "provider": "tests", "country": "DE"}]
        federation = {"plugin": "virt8ra.federation.sites", "federation": NETWORK, "discover": False, "sites": sites}
        (self.inventory / "t.sites.yml").write_text(yaml.safe_dump(federation), encoding="utf-8")
        connection = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.folder / "lab/ssh/id_ed25519"),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.folder / 'lab/known_hosts'} -o StrictHostKeyChecking=yes",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        everywhere = self.inventory / "group_vars"
        everywhere.mkdir(exist_ok=True)
        (everywhere / "nodes.yml").write_text(yaml.safe_dump({**connection, **variables}), encoding="utf-8")

    def binary(self, version: str) -> tuple[Path, str]:
        """``(file, SHA-256)`` of a version; the real one is what it is."""
        if REAL:
            return Path(REAL), hashlib.sha256(Path(REAL).read_bytes()).hexdigest()
        path = self.binaries / version / "k3s"
        return path, build(path, version)

    def fault(self, host: str, **faults: Any) -> None:
        """What the stand-in of a host gets wrong from now on; nothing at all without faults."""
        self.run(host, f"mkdir -p /etc/k3s-standin; echo '{json.dumps(faults)}' > /etc/k3s-standin/faults.json")

    def kubectl(self, host: str, arguments: str) -> str:
        return self.run(host, f"/usr/local/bin/k3s kubectl {arguments}")

    def nodes(self, host: str) -> dict[str, dict[str, Any]]:
        """The cluster's Nodes by name, as a server tells."""
        read = json.loads(self.kubectl(host, "get nodes -o json"))
        return {node["metadata"]["name"]: node for node in read["items"]}
