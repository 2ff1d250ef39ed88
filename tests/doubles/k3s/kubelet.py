# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's own part: it registers a Node, says that it lives, and leaves behind on the machine what a kubelet and containerd do."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

from . import faults, log, pki, web
from .paths import Layout, write
from .settings import Settings
from .version import VERSION

Object = dict[str, Any]
BEAT = 5.0
_MERGE = {"Content-Type": "application/merge-patch+json", "User-Agent": "kubelet"}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def own_address() -> str:
    """Of the interface with the default route, else the first that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostbyname(socket.gethostname())


def node_name(settings: Settings) -> str:
    return settings.one("node-name") or socket.gethostname().lower()


def node_addresses(settings: Settings) -> list[str]:
    return settings.many("node-ip") or [own_address()]


class Kubelet:
    """One node; ``server`` is the API as the node reaches it."""

    def __init__(self, settings: Settings, layout: Layout, server: str, kind: str) -> None:
        self._settings, self._layout, self._kind = settings, layout, kind
        self.name, self._server = node_name(settings), server
        self.labels: dict[str, str] = {}
        self.annotations: dict[str, str] = {}

    def _context(self) -> ssl.SSLContext:
        return pki.trusting(self._layout.agent / "server-ca.crt", self._layout.agent / "client-kubelet.crt")

    def call(self, method: str, path: str, body: Object | None = None) -> Object:
        sent = json.dumps(body).encode() if body is not None else None
        headers = _MERGE if method == "PATCH" else {"Content-Type": "application/json", "User-Agent": "kubelet"}
        read: Object = json.loads(web.call(self._server + path, self._context(), method=method, body=sent, headers=headers))
        return read

    def _metadata(self) -> Object:
        settings = self._settings
        given = dict(label.partition("=")[::2] for label in settings.many("node-label"))
        arguments = json.dumps([self._kind, *settings.arguments()])
        labels = {
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/instance-type": "k3s",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": "k3s",
        }
        annotations = {
            "k3s.io/hostname": self.name,
            "k3s.io/internal-ip": ",".join(node_addresses(settings)),
            "k3s.io/node-args": arguments,
            "k3s.io/node-config-hash": hashlib.sha256(arguments.encode()).hexdigest().upper(),
        }
        return {"labels": {**labels, **given, **self.labels}, "annotations": {**annotations, **self.annotations}}

    def _taints(self) -> list[Object]:
        """``key=value:Effect``; they are given once, when the node is new."""
        taints = []
        for written in self._settings.many("node-taint"):
            pair, _colon, effect = written.rpartition(":")
            key, equals, value = pair.partition("=")
            taints.append({"key": key, "effect": effect, **({"value": value} if equals and value else {})})
        return taints

    def register(self) -> None:
        """A Node that is there keeps its taints and whether it is cordoned."""
        path = f"/api/v1/nodes/{self.name}"
        metadata = self._metadata()
        try:
            self.call("PATCH", path, {"metadata": metadata})
        except web.WebError as error:
            if error.code != 404:
                raise
            spec: Object = {"taints": self._taints()} if self._taints() else {}
            spec["providerID"] = f"k3s://{self.name}"
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, **metadata}, "spec": spec}
            self.call("POST", "/api/v1/nodes", node)
        self.report()
        log.info(f"Annotations and labels have been set successfully on node: {self.name}")

    def _status(self) -> Object:
        ready = "False" if faults.told("not_ready") else "True"
        said = "kubelet is posting ready status" if ready == "True" else "container runtime network not ready: told to fail"
        words = [
            ("MemoryPressure", "False", "KubeletHasSufficientMemory", ""),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", ""),
        ]
        words += [("PIDPressure", "False", "KubeletHasSufficientPID", "")]
        words += [("Ready", ready, "KubeletReady" if ready == "True" else "KubeletNotReady", said)]
        conditions = [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now(),
                "lastTransitionTime": now(),
            }
            for kind, status, reason, message in words
        ]
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
        disk = shutil.disk_usage("/").total // 1024
        amounts = {"cpu": str(os.cpu_count()), "memory": f"{pages}Ki", "ephemeral-storage": f"{disk}Ki", "pods": "110"}
        info = {
            "architecture": "amd64",
            "bootID": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "containerRuntimeVersion": "containerd://2.1.4-k3s1",
            "kernelVersion": platform.release(),
            "kubeProxyVersion": VERSION,
            "kubeletVersion": VERSION,
            "machineID": Path("/etc/machine-id").read_text().strip(),
            "operatingSystem": "linux",
            "osImage": "k3s stand-in",
            "systemUUID": "",
        }
        addresses = [{"type": "InternalIP", "address": address} for address in node_addresses(self._settings)]
        addresses += [{"type": "ExternalIP", "address": address} for address in self._settings.many("node-external-ip")]
        addresses.append({"type": "Hostname", "address": self.name})
        images = [{"names": [f"docker.io/airgap/{path.name}:imported"], "sizeBytes": path.stat().st_size} for path in self.airgap()]
        return {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": conditions,
            "addresses": addresses,
            "nodeInfo": info,
            "images": images,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        }

    def airgap(self) -> list[Path]:
        return sorted(self._layout.agent.glob("images/*.tar*"))

    def report(self) -> None:
        self.call("PATCH", f"/api/v1/nodes/{self.name}/status", {"status": self._status()})

    def beat(self) -> None:
        """A lease renewed, and the status told anew where what is said of the node is not so."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.name}"
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": now().replace("Z", ".000000Z")}
        try:
            self.call("PATCH", path, {"spec": spec})
        except web.WebError as error:
            if error.code != 404:
                raise
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name}, "spec": spec}
            self.call("POST", path.rpartition("/")[0], lease)
        try:
            node = self.call("GET", f"/api/v1/nodes/{self.name}")
        except web.WebError as error:
            if error.code == 404:
                return  # deleted: a kubelet registers when it starts, and only then
            raise
        told = {each["type"]: each["status"] for each in node.get("status", {}).get("conditions", [])}
        if told.get("Ready") != ("False" if faults.told("not_ready") else "True"):
            self.report()

    def leave_traces(self) -> None:
        """Folders, a mount and a process that are there once k3s has run containers."""
        for folder in (
            "/var/lib/kubelet/pods",
            "/var/lib/cni/networks",
            "/var/log/pods",
            "/var/log/containers",
            "/run/k3s/containerd",
        ):
            Path(folder).mkdir(parents=True, exist_ok=True)
        write(Path("/run/flannel/subnet.env"), "FLANNEL_NETWORK=10.42.0.0/16\n", 0o644)
        binaries = self._layout.data / "data" / hashlib.sha256(VERSION.encode()).hexdigest() / "bin"
        shim = binaries / "containerd-shim-runc-v2"
        if not shim.exists():
            binaries.mkdir(parents=True, exist_ok=True)
            shutil.copy("/bin/sleep", shim)
        link = self._layout.data / "data" / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(binaries.parent)
        volume = Path("/var/lib/kubelet/pods/00000000-0000-4000-8000-000000000000/volumes/kubernetes.io~projected/token")
        volume.mkdir(parents=True, exist_ok=True)
        if not volume.is_mount():
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(volume)], check=False)
        if not Path("/sys/class/net/cni0").exists():
            subprocess.run(["ip", "link", "add", "cni0", "type", "bridge"], check=False)
        # It outlives k3s, as containers do: what stops k3s does not stop them, and who uninstalls has to.
        running = subprocess.run(
            ["pgrep", "-f", f"{self._layout.data}/data/.*/bin/containerd-shim"], capture_output=True, check=False
        )
        if running.returncode:
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.Popen([str(shim), "2147483647"], start_new_session=True, **quiet)
