# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts for clusters, apart from the lab's: made by the role lab_site in a network of their own, and the binaries that run there.

``K3S_BINARY`` names a real k3s in place of the stand-in. It plays one version only: tests that need two are skipped then.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.doubles.k3s.build import build
from tests.doubles.k3s.web import WebError, call

from .lab import TIMEOUT, Lab

NETWORK = "t-k3s"
SUBNET = "10.213.81.0/24"
HOSTS = {f"t-k3s-{number}": f"10.213.81.{10 + number}" for number in range(1, 6)}
_APART = (
    *("/proc", "/sys", "/dev", "/tmp", "/run/systemd", "/run/log", "/run/user", "/run/sshd", "/var/log/journal", "/var/cache"),
    *("/root/.ansible", "/etc/k3s-standin", "/var/lib/apt", "/var/tmp", "/var/lib/systemd", "/run/lock", "/run/dbus"),
)
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
        # What a run that was killed has left; then the hosts, or nothing of them.
        self._lab_site("absent")
        try:
            self._lab_site("present")
        except BaseException:
            self._lab_site("absent")
            raise
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
        federation["kubeconfig_path"] = "../kubeconfigs"
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
        path = self.binaries / version / "k3s"
        if REAL:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REAL, path)
            return path, hashlib.sha256(path.read_bytes()).hexdigest()
        return path, build(path, version)

    def apply(self, cluster: str, state: str = "present", *, check: bool = False, **extra: Any) -> dict[str, Any]:
        """What the role k3s_cluster told when it was applied to a declared cluster."""
        return self.playbook(self.play(cluster), check=check, extra={"k3s_cluster_state": state, **extra})

    def applied(self, cluster: str, *arguments: str, **extra: Any) -> str:
        """The same, as a person sees it, with more arguments of ansible-playbook."""
        return self.shown(self.play(cluster), *arguments, "-e", json.dumps(extra))

    def play(self, cluster: str, variables: dict[str, Any] | None = None) -> Path:
        """A playbook that applies the role to a declared cluster."""
        path = self.folder / f"{cluster}.yml"
        play = {
            "name": "Keep a cluster",
            "hosts": "cluster_" + cluster.replace("-", "_"),
            "gather_facts": False,
            "become": True,
            "vars": variables or {},
            "roles": ["virt8ra.federation.k3s_cluster"],
        }
        path.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
        return path

    def write(self, host: str, path: str, content: bytes, mode: str = "600") -> None:
        """A file on a host, as a whole."""
        part = f"{path}.part"
        argv = self.ssh(host, f"mkdir -p $(dirname {path}) && cat > {part} && chmod {mode} {part} && mv {part} {path}")
        subprocess.run(argv, input=content, check=True, timeout=TIMEOUT)

    def fault(self, host: str, **faults: Any) -> None:
        """What the stand-in of a host gets wrong from now on; nothing at all without faults."""
        self.run(host, f"mkdir -p /etc/k3s-standin; echo '{json.dumps(faults)}' > /etc/k3s-standin/faults.json")

    def kubectl(self, host: str, arguments: str) -> str:
        return self.run(host, f"/usr/local/bin/k3s kubectl {arguments}")

    def request(self, host: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the API server of a host answers to its administrator; AssertionError when it refuses."""
        read = yaml.safe_load(self.run(host, "cat /etc/rancher/k3s/k3s.yaml"))
        user, server = read["users"][0]["user"], read["clusters"][0]["cluster"]
        with tempfile.NamedTemporaryFile() as pair:
            for key in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[key]) + b"\n")
            pair.flush()
            context = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
            context.load_cert_chain(pair.name)
        url = f"https://{HOSTS[host]}:6443{path}"
        headers = {"Content-Type": "application/json"}
        try:
            answer = call(url, context, method=method, body=json.dumps(body).encode() if body else None, headers=headers)
        except WebError as error:
            raise AssertionError(str(error)) from None
        return dict(json.loads(answer))

    @contextmanager
    def kubeconfig(self, cluster: str, host: str) -> Iterator[None]:
        """The inventory has the kubeconfig of a cluster's administrator, by way of one server."""
        path = self.folder / "kubeconfigs" / f"{cluster}.kubeconfig"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        written = self.run(host, "cat /etc/rancher/k3s/k3s.yaml")
        path.write_text(written.replace("https://127.0.0.1:", f"https://{HOSTS[host]}:"), encoding="utf-8")
        try:
            yield
        finally:
            path.unlink()

    def ready(self, host: str) -> dict[str, str]:
        """Node to version, of those that are ready."""
        return {
            name: node["status"]["nodeInfo"]["kubeletVersion"]
            for name, node in self.nodes(host).items()
            if any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"])
        }

    def listing(self, host: str) -> list[str]:
        """All that an installation could leave on a host: files, mounts, links, processes and units, as lines that can be compared.

        Not what changes by itself or by being looked at: logs, caches, the folders of Ansible and of the stand-in's faults.
        """
        apart = " -o ".join(f"-path {path}" for path in _APART)
        files = f"find / /run -xdev \\( {apart} \\) -prune -o -printf '%y %m %p %l\\n'"
        mounts = "awk '{print \"mount\", $2, $3}' /proc/mounts | grep -v '^mount /proc/\\|^mount /sys/'"
        links = "ls /sys/class/net | sed 's/^/link /'"
        processes = "ps -e -o args= | grep -E '^(/usr/bin/python3 )?/(usr/local/bin/k3s|var/lib/rancher)' | sed 's/^/process /'"
        units = "systemctl list-unit-files --no-legend --plain 'k3s*' | sed 's/^/unit /'"
        told = self.run(host, f"{{ {files}; {mounts}; {links}; {processes}; {units}; }} | sort -u")
        return told.splitlines()

    def calls(self, host: str) -> str:
        """The command lines that the stand-in was called by, since the folder of faults is there."""
        return self.run(host, "cat /etc/k3s-standin/calls 2>/dev/null || true")

    def nodes(self, host: str) -> dict[str, dict[str, Any]]:
        """The cluster's Nodes by name, as a server tells."""
        read = json.loads(self.kubectl(host, "get nodes -o json"))
        return {node["metadata"]["name"]: node for node in read["items"]}
