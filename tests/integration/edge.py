# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A k3s cluster of one server with nothing wrong, for tests that break it.

The API is measured over HTTP and TLS on its double, the server's host on the files and the command of the stand-in for k3s.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import ClusterAccess
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.k3s_host import K3sHost
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.connection import open_cluster
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.assessing import assess
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.cluster_areas import cluster_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.k3s_areas import k3s_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.request import read_request

from tests.applications.sample import Kubectl
from tests.doubles.k3s import pki, snapshots
from tests.doubles.k3s.build import build
from tests.doubles.k3s.server import Server
from tests.doubles.k3s.settings import Settings
from tests.doubles.kubernetes.client import Cluster
from tests.doubles.kubernetes.http import Server as Http

from .lab import ROOT

FILES = ROOT / "roles" / "compliance" / "files"
VERSION = "v1.36.1+k3s1"
CONFIG = """\
protect-kernel-defaults: true
write-kubeconfig-mode: "0600"
secrets-encryption: true
kube-apiserver-arg:
  - audit-policy-file=/etc/rancher/k3s/audit.yaml
  - audit-log-path=/var/log/audit.log
  - audit-log-maxage=30
"""
# The days on which branches end are those of releases; here they are those of the test.
PROFILE = {
    "name": "t",
    "title": "Of tests",
    "include": ["*"],
    "parameters": {
        "SEC-03-K": {"branches": [{"branch": "1.36", "ends": "2999-01-01", "least": "1.36.0"}]},
        "SUP-03-K": {"mirrors": ["mirror.example.eu"]},
    },
}
PLACES = {"rioja": ("ES", 42.46, -2.44), "baden": ("DE", 49.0, 8.4), "liguria": ("IT", 44.4, 8.9)}

Findings = dict[tuple[str, str], Any]


class Edge:
    """A cluster of one server, whole; ``sites`` and ``trips`` (milliseconds to other sites) are as declared and measured.

    ``writes``: whether its API server writes an audit log.
    """

    def __init__(self, folder: Path, double: Cluster, port: int, server: Server) -> None:
        self.folder, self.double, self.server = folder, double, server
        self.root = folder / "host"
        binary = folder / "k3s.standin"
        build(binary, VERSION)
        # The server is at a port of its own, as this machine may have another one at k3s' own.
        asked = f'case "$1" in secrets-encrypt) set -- "$@" --server https://127.0.0.1:{port} ;; esac'
        self.binary = folder / "k3s"
        self.binary.write_text(f'#!/bin/sh\n{asked}\nexec {binary} "$@"\n', encoding="utf-8")
        self.binary.chmod(0o755)
        self.sites = [_site(name, *place) for name, place in PLACES.items()]
        self.trips = {"baden": 25.0, "liguria": 25.0}
        self.writes = True
        self._furnish()

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.double.kubeconfig, "edge")

    def _furnish(self) -> None:
        data = self.server.layout.data
        # The stand-in and the module find the same data, whether they look from this machine's root or from the host's.
        seen = self.root / str(data).lstrip("/")
        seen.parent.mkdir(parents=True)
        seen.symlink_to(data)
        self.put("/etc/rancher/k3s/config.yaml", f"data-dir: {data}\n{CONFIG}")
        self.put("/etc/rancher/k3s/audit.yaml", "rules: [{level: Metadata}]\n")
        snapshots.save(self.server.layout, {"bootstrap": "", "objects": {}}, "nightly", "", True, "node-1")
        (self.double.folder / "kubelet.json").write_text('{"protectKernelDefaults": true}', encoding="utf-8")
        self.kubectl.run("label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted")

    def put(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    @contextmanager
    def changed(self, path: str, change: Callable[[str], str]) -> Iterator[None]:
        """A file of the host is another one."""
        file = self.root / path.lstrip("/")
        kept = file.read_text(encoding="utf-8") if file.exists() else None
        self.put(path, change(kept or ""))
        try:
            yield
        finally:
            file.unlink() if kept is None else file.write_text(kept, encoding="utf-8")

    @contextmanager
    def objects(self, *items: dict[str, Any]) -> Iterator[None]:
        """The cluster has these as well."""
        self.kubectl.create(items)
        try:
            yield
        finally:
            for item in items:
                place = ["-n", item["metadata"]["namespace"]] if "namespace" in item["metadata"] else []
                self.kubectl.run("delete", item["kind"], item["metadata"]["name"], *place, "--timeout=60s", "--grace-period=1")

    def findings(self) -> Findings:
        """By control and name of what was judged, of all that is known of the cluster and the three sites."""
        if self.writes:
            self.put("/var/log/audit.log", event(0))
        now = datetime.now(timezone.utc)
        api = open_cluster(ClusterAccess(str(self.double.kubeconfig)))
        try:
            facts = cluster_facts(api)
        finally:
            api.close()
        label, collected = {"type": "cluster", "name": "edge", "site": "rioja"}, now.strftime("%Y-%m-%dT%H:%M:%SZ")
        told = k3s_facts(K3sHost(self.root, str(self.binary)), "node-1", now)
        given = {
            "federation": "tests",
            "sites": self.sites,
            "evidence": [{"collected": collected, "subjects": [{**label, "facts": each}]} for each in (facts, told)],
            "latencies": [_latency(site, trip, collected) for site, trip in self.trips.items()],
            "vms": [],
            "waivers": [],
            "controls": [str(FILES / "controls")],
            "profiles": [str(self.folder / "profiles")],
            "profile": "t",
            "folder": str(self.folder / "report"),
            **dict.fromkeys(("fail_on", "previous", "today", "signing_key", "signing_passphrase")),
            "public_pages": False,
        }
        report = assess(read_request(given, now.date().isoformat()).known)
        return {(one.control, one.subject["name"]): one for one in report.findings}


def _site(name: str, country: str, latitude: float, longitude: float) -> dict[str, Any]:
    clusters = (
        [{"name": "edge", "nodes": [{"name": "node-1", "address": "10.0.0.10", "role": "server"}]}] if name == "rioja" else []
    )
    place = {"country": country, "city": name, "latitude": latitude, "longitude": longitude}
    return {"name": name, "provider": "tests", **place, "clusters": clusters}


def _latency(site: str, milliseconds: float, measured: str) -> dict[str, Any]:
    ends = {"source": "node-1", "source_site": "rioja", "target": f"{site}-1", "target_site": site}
    return {**ends, "min_ms": milliseconds, "median_ms": milliseconds, "samples": 5, "measured_at": measured}


def event(seconds: float) -> str:
    """A line of an audit log, so many seconds old."""
    at = datetime.fromtimestamp(time.time() - seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps({"kind": "Event", "level": "Metadata", "stage": "ResponseComplete", "stageTimestamp": at}) + "\n"


@contextmanager
def serving(server: Server) -> Iterator[int]:
    """The port of what a k3s server answers to its own commands; it runs no API and is no node."""
    server.prepare()
    http, loop = Http(server.handle), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(http.start("127.0.0.1", 0, pki.serving(server.layout)), loop).result(60)
    try:
        yield http.address[1]
    finally:
        loop.call_soon_threadsafe(http.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)


@contextmanager
def whole_edge(folder: Path) -> Iterator[Edge]:
    """Nothing is wrong with it, as long as nobody breaks it."""
    (folder / "profiles").mkdir()
    (folder / "profiles/t.yml").write_text(yaml.safe_dump(PROFILE), encoding="utf-8")
    told = {"data-dir": str(folder / "data"), "node-name": "node-1", "node-ip": "127.0.0.1", "secrets-encryption": "true"}
    server = Server(Settings(told))
    with serving(server) as port, Cluster.start(folder / "api", name="edge", version=VERSION) as double:
        yield Edge(folder, double, port, server)
