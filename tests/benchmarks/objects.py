# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""2,000 objects from one API server to another: ``cluster_migration`` against ``kubectl get -o yaml | kubectl apply --server-side``.

Whole processes, by turns, medians. Ours is the module with state ``completed``: it looks at both ends, refuses what cannot be,
writes its journal and checks what it made, all of which the peer does not do. The peer is given what it cannot do by itself: a filter
takes away what the source's server wrote into the objects. Every run has a fresh pair of API servers with the same objects, which
are doubles, or those of BENCH_SOURCE_KUBECONFIG and BENCH_TARGET_KUBECONFIG. The doubles answer a write as real servers do, once it
is on the disk, and keep what they know in BENCH_FOLDER, or where temporary files go. Each run's target is then counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.applications.sample import Kubectl
from tests.doubles.kubernetes.client import Cluster

from .bench import Lab, Measured, Row, median, repeats, run_whole
from .forwarder import forwarded

NAMESPACE = "bench-objects"
LABEL = "bench.example.org/object=yes"
KINDS = {"configmaps": 900, "secrets": 500, "services": 200, "deployments.apps": 150, "serviceaccounts": 150, "roles": 100}
TIMES_AS_FAST = 4.0
MOST_MEMORY = 300.0
ROUND_TRIP = 0.020
MODULE = "ansible_collections.virt8ra.federation.plugins.modules.cluster_migration"
# As many bytes as a ConfigMap of an application has: a few kilobytes, some a lot more.
_SIZES = (200, 900, 2_500, 8_000, 30_000)


@dataclass(frozen=True)
class Pair:
    """Two kubeconfigs, of source and target."""

    source: Path
    target: Path


def run(_lab: Lab) -> list[Row]:
    """Three rows: near, far, and the memory, whose bar is in MiB. Real clusters are as far away as they are: two rows."""
    with _pairs() as fresh:
        near, near_peer = _compare("near", fresh)
        rows = [_speed_row("2,000 objects to another API server, s", near, near_peer)]
        if not _real():
            far, far_peer = _compare("far", lambda: _far(fresh))
            rows.append(_speed_row("2,000 objects to another API server, 20 ms of round trip, s", far, far_peer))
    return [*rows, Row("2,000 objects: largest memory, MiB", near.memory, near_peer.memory, near.memory, MOST_MEMORY, True)]


def _speed_row(name: str, ours: Measured, peer: Measured) -> Row:
    return Row(name, ours.seconds, peer.seconds, peer.seconds / ours.seconds, TIMES_AS_FAST)


def _compare(where: str, fresh: Callable[[], AbstractContextManager[Pair]]) -> tuple[Measured, Measured]:
    """Medians of ours and of the peer, by turns so that a busy machine slows both."""
    ours, peer = [], []
    for number in range(repeats("BENCH_SLOW_REPEATS")):
        with fresh() as pair:
            ours.append(_ours(pair, f"{where}-{number}"))
            _check(pair)
        with fresh() as pair:
            peer.append(_peer(pair))
            _check(pair)
        times = f"ours {ours[-1].seconds:.2f} s with {ours[-1].memory:.0f} MiB, kubectl {peer[-1].seconds:.2f} s"
        print(f"    {where}: {times}", flush=True)
    return median(ours), median(peer)


def objects() -> list[dict[str, Any]]:
    """2,000 of them, in one namespace; nothing in them runs, so that only the objects are measured."""
    makers = {
        "configmaps": _config_map,
        "secrets": _secret,
        "services": _service,
        "deployments.apps": _deployment,
        "serviceaccounts": lambda _number: {"apiVersion": "v1", "kind": "ServiceAccount"},
        "roles": _role,
    }
    key, value = LABEL.split("=")
    found = []
    for kind, count in KINDS.items():
        for number in range(count):
            item = makers[kind](number)
            labels = {key: value, "app": f"app-{number % 50}"}
            item["metadata"] = {"name": f"{kind.split('.', maxsplit=1)[0]}-{number:04}", "namespace": NAMESPACE, "labels": labels}
            found.append(item)
    return found


def _config_map(number: int) -> dict[str, Any]:
    text = f"line {number} of a configuration\n" * (_SIZES[number % len(_SIZES)] // 32 + 1)
    return {"apiVersion": "v1", "kind": "ConfigMap", "data": {"application.properties": text, "level": "info"}}


def _secret(number: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "stringData": {"word": f"example-{number}" * 20}}


def _service(number: int) -> dict[str, Any]:
    # Without an address of its own: the peer could not carry one.
    spec = {"clusterIP": "None", "selector": {"app": f"app-{number}"}, "ports": [{"name": "http", "port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "spec": spec}


def _deployment(number: int) -> dict[str, Any]:
    labels = {"app": f"app-{number}"}
    environment = [{"name": f"SETTING_{each}", "value": f"value {each}"} for each in range(20)]
    container = {"name": "main", "image": "busybox:1.37", "env": environment, "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def _role(number: int) -> dict[str, Any]:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [f"configmaps-{number:04}"], "verbs": ["get"]}]
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": rules}


def _real() -> Pair | None:
    paths = [os.environ.get(f"BENCH_{end}_KUBECONFIG", "") for end in ("SOURCE", "TARGET")]
    return Pair(*map(Path, paths)) if all(paths) else None


@contextlib.contextmanager
def _pairs() -> Iterator[Callable[[], AbstractContextManager[Pair]]]:
    """A context manager that gives a fresh pair each time it is entered."""
    real = _real()
    if real:
        yield lambda: _real_pair(real)
        return
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        place = Path(folder)
        for end in ("source", "target"):
            with Cluster.start(place / end, name=end) as cluster:
                if end == "source":
                    _seed(Kubectl(cluster.kubeconfig))
        yield lambda: _copied_pair(place)


def _seed(kubectl: Kubectl) -> None:
    kubectl.create([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    kubectl.create(objects())


@contextlib.contextmanager
def _copied_pair(place: Path) -> Iterator[Pair]:
    """The two doubles as they were saved, in folders of their own."""
    with tempfile.TemporaryDirectory(dir=place) as folder, contextlib.ExitStack() as stack:
        configs = []
        for end in ("source", "target"):
            shutil.copytree(place / end, Path(folder) / end)
            cluster = stack.enter_context(Cluster.start(Path(folder) / end, name=end, durable=True))
            configs.append(cluster.kubeconfig)
        yield Pair(*configs)


@contextlib.contextmanager
def _far(fresh: Callable[[], AbstractContextManager[Pair]]) -> Iterator[Pair]:
    """A fresh pair over a long line: its kubeconfigs beside the others."""
    with fresh() as pair, contextlib.ExitStack() as stack:
        configs = []
        for near in (pair.source, pair.target):
            config = yaml.safe_load(near.read_text(encoding="utf-8"))
            cluster = config["clusters"][0]["cluster"]
            host = urllib.parse.urlsplit(cluster["server"])
            (port,) = stack.enter_context(forwarded(ROUND_TRIP, [(str(host.hostname), int(host.port or 443))]))
            cluster["server"] = f"https://{host.hostname}:{port}"
            far = near.with_name("kubeconfig-far")
            far.write_text(yaml.safe_dump(config), encoding="utf-8")
            configs.append(far)
        yield Pair(*configs)


@contextlib.contextmanager
def _real_pair(pair: Pair) -> Iterator[Pair]:
    """Two real clusters, without what an earlier run left there."""
    ends = [Kubectl(pair.source), Kubectl(pair.target)]
    for kubectl in ends:
        kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=300s")
    _seed(ends[0])
    try:
        yield pair
    finally:
        for kubectl in ends:
            kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=300s")


def _ours(pair: Pair, run: str) -> Measured:
    arguments = {
        "name": f"bench-{os.getpid()}-{run}",
        "state": "completed",
        "method": "workloads",
        "source_kubeconfig": str(pair.source),
        "target_kubeconfig": str(pair.target),
        "namespaces": [NAMESPACE],
        "missing_images": "ignore",
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"ANSIBLE_MODULE_ARGS": arguments}, file)
        file.flush()
        return run_whole([sys.executable, "-m", MODULE, file.name], _environment())


def _peer(pair: Pair) -> Measured:
    """What a person would write, who has found out what no server takes back."""
    kubectl = os.environ.get("KUBECTL", "kubectl")
    source, target = f"{kubectl} --kubeconfig={pair.source}", f"{kubectl} --kubeconfig={pair.target}"
    namespace = f"{source} get namespace {NAMESPACE} -o yaml | {_filter(2)} | {target} create --validate=false -f -"
    items = f"{source} -n {NAMESPACE} get {','.join(KINDS)} -l {LABEL} -o yaml | {_filter(4)}"
    apply = f"{target} apply --server-side --validate=false -f -"
    return run_whole(["bash", "-euo", "pipefail", "-c", f"{namespace}; {items} | {apply}"], _environment())


def _filter(indent: int) -> str:
    """Away with what the server wrote: single lines of the metadata, and managedFields, which old versions of kubectl show."""
    space = " " * indent
    managed = f"/^{space}managedFields:/,/^{space}[a-z]/{{/^{space}managedFields:/d; /^{space}[a-z]/!d}}"
    return f"sed -E '/^{space}(uid|resourceVersion|creationTimestamp|generation): /d; {managed}'"


def _environment() -> dict[str, str]:
    paths = [str(Path(__file__).resolve().parents[2] / "build" / "collections"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path), "NO_PROXY": "*", "no_proxy": "*"}


def _check(pair: Pair) -> None:
    """All of them are at the target: a run that lost some would be fast for the wrong reason."""
    kubectl = Kubectl(pair.target)
    names = kubectl.run("-n", NAMESPACE, "get", ",".join(KINDS), "-l", LABEL, "-o", "name").split()
    wanted = sum(KINDS.values())
    if len(names) != wanted:
        raise RuntimeError(f"{len(names)} of {wanted} objects are at the target")
