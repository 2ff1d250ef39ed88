# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pair of clusters for tests: two doubles, or the real two that E2E_SOURCE_KUBECONFIG and E2E_TARGET_KUBECONFIG name.

A test says with ``pair.doubles()`` that it needs faults or files that only a double can give; with a real pair it is skipped then.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.applications import sample
from tests.applications.sample import Kubectl
from tests.applications.volume import Entry, read_volume
from tests.doubles.kubernetes.client import Cluster

from .lab import ROOT, TIMEOUT, command, environment

REAL = tuple(os.environ.get(f"E2E_{end}_KUBECONFIG", "") for end in ("SOURCE", "TARGET"))
OURS = "virt8ra-system"
# What every server writes into objects by itself, or counts.
_SERVERS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
_COUNTS = ("deprecated.daemonset.template.generation", "deployment.kubernetes.io/revision")


@dataclass(frozen=True)
class End:
    """One cluster. ``double`` is None for a real one."""

    kubeconfig: Path
    context: str
    double: Cluster | None = None

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.kubeconfig, self.context)

    def fill(self, namespace: str, pod: str, path: str, write: Callable[[Path], None]) -> None:
        """Have ``write(folder)`` write what is in a running pod's volume, or change it, at a mount point in the pod."""
        if self.double is not None:
            write(self._volume(namespace, pod, path))
            return
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            self._take(namespace, pod, path, place)
            write(place)
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
                for entry in sorted(place.iterdir()):
                    archive.add(entry, arcname=f"./{entry.name}")
            there = ["-n", namespace, "exec", "-i", pod, "--", "sh", "-c", f"cd {path} && rm -rf ./* ./.[!.]* ./...; tar -xpf -"]
            self.kubectl.run(*there, data=stream.getvalue())

    def contents(self, namespace: str, pod: str, path: str) -> dict[str, Entry]:
        """What is in the volume. From a real pod it comes by tar: times in seconds, no extended attributes."""
        if self.double is not None:
            return read_volume(self._volume(namespace, pod, path))
        with tempfile.TemporaryDirectory() as folder:
            self._take(namespace, pod, path, Path(folder))
            return read_volume(folder)

    def _take(self, namespace: str, pod: str, path: str, place: Path) -> None:
        data = self.kubectl.run("-n", namespace, "exec", pod, "--", "tar", "-C", path, "-cf", "-", ".")
        subprocess.run(["tar", "-C", str(place), "--same-owner", "-xpf", "-"], input=data, check=True)

    def _volume(self, namespace: str, pod: str, path: str) -> Path:
        """The double's folder of what a pod has mounted there."""
        assert self.double is not None
        spec = (self.kubectl.get("pod", pod, namespace) or {})["spec"]
        name = next(mount["name"] for mount in spec["containers"][0]["volumeMounts"] if mount["mountPath"] == path)
        volume = next(volume for volume in spec["volumes"] if volume["name"] == name)
        claim = self.kubectl.get("pvc", volume["persistentVolumeClaim"]["claimName"], namespace) or {}
        return self.double.volume(claim["spec"]["volumeName"])

    def objects(self, namespace: str) -> dict[tuple[str, str], dict[str, Any]]:
        """What people put into a namespace, by kind and name, without what servers write and without what others own or make."""
        kinds = (
            "configmaps,secrets,services,serviceaccounts,persistentvolumeclaims,deployments.apps,statefulsets.apps,daemonsets.apps,"
            "cronjobs.batch,jobs.batch,horizontalpodautoscalers.autoscaling,poddisruptionbudgets.policy,ingresses.networking.k8s.io,"
            "networkpolicies.networking.k8s.io,roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io,"
            "resourcequotas,limitranges,orders.shop.example.org"
        )
        found = {}
        for item in self.kubectl.each(kinds, namespace):
            metadata = {key: value for key, value in item["metadata"].items() if key not in _SERVERS}
            for owner in metadata.get("ownerReferences", []):
                owner.pop("uid")
            annotations = {key: value for key, value in metadata.pop("annotations", {}).items() if key not in _COUNTS}
            metadata |= {"annotations": annotations} if annotations else {}
            found[item["kind"], metadata["name"]] = {**item, "metadata": metadata, "status": None}
        return found

    def clear(self, namespace: str) -> None:
        """Take away the sample, and what a migration keeps for itself."""
        sample.remove(self.kubectl, namespace)
        self.kubectl.run("delete", "namespace", OURS, "--ignore-not-found", "--timeout=120s")


@dataclass(frozen=True)
class Pair:
    """Two clusters, the sample's ``namespace``, and a ``folder`` for reports."""

    source: End
    target: End
    namespace: str
    folder: Path

    def doubles(self) -> tuple[Cluster, Cluster]:
        """Both doubles; the test is skipped where the clusters are real."""
        if self.source.double is None or self.target.double is None:
            pytest.skip("real clusters cannot be told to fail")
        return self.source.double, self.target.double

    @property
    def ends(self) -> tuple[End, End]:
        return (self.source, self.target)

    def options(self, **more: Any) -> dict[str, Any]:
        """Options of cluster_migration for this pair."""
        ends = {"source": self.source, "target": self.target}
        named = {f"{end}_kubeconfig": str(one.kubeconfig) for end, one in ends.items()}
        named |= {f"{end}_context": one.context for end, one in ends.items()}
        return {"namespaces": [self.namespace], **named, **more}

    def migrate(self, state: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """The result of the module cluster_migration; a failure is a result with ``failed``."""
        task = {"name": "test", "virt8ra.federation.cluster_migration": self.options(state=state, **options)}
        play = [{"name": "test", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
        play[0]["vars"] = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        path = self.folder / "play.yml"
        path.write_text(yaml.safe_dump(play), encoding="utf-8")
        done = subprocess.run(
            [command("ansible-playbook"), "-i", "localhost,", str(path), *(["--check"] if check else [])],
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(ANSIBLE_STDOUT_CALLBACK="ansible.posix.json", ANSIBLE_DEPRECATION_WARNINGS="0"),
            text=True,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        start = done.stdout.find("{\n")
        assert start >= 0, done.stdout + done.stderr
        told = json.JSONDecoder().raw_decode(done.stdout[start:])[0]
        return dict(told["plays"][0]["tasks"][-1]["hosts"]["localhost"])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two clusters with nothing of the sample in them; what a test leaves is taken away."""
    namespace = "t-shop"
    if all(REAL):
        ends = [
            End(Path(path), os.environ.get(f"E2E_{end}_CONTEXT", "")) for end, path in zip(("SOURCE", "TARGET"), REAL, strict=True)
        ]
        for end in ends:
            end.clear(namespace)
        yield Pair(ends[0], ends[1], namespace, tmp_path)
        for end in ends:
            end.clear(namespace)
        return
    with Cluster.start(tmp_path / "source", name="es") as es, Cluster.start(tmp_path / "target", name="de") as de:
        yield Pair(End(es.kubeconfig, "es", es), End(de.kubeconfig, "de", de), namespace, tmp_path)
