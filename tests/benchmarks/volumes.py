# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""1 GiB in 10,000 files from one claim to another: mover pods against ``kubectl exec tar | kubectl exec tar``, and a delta of 1 %.

Both ends are doubles, so both ways go through the same servers and the same busybox. By turns, medians; after every run the target's
files are counted and the bytes are added up. Ours also lists both ends, keeps extended attributes and remembers the pass; the peer
keeps its pods ready all the time, while ours are there for every run but the first. The delta's peer is our own
seed.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import ClusterAccess
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.connection import open_cluster
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes import memory
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.moves import VolumeMoves, VolumePair
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.pods import CLAIMS, pod_name

from tests.applications.sample import Kubectl
from tests.doubles.kubernetes.client import Cluster

from .bench import Lab, Row, repeats

NAMESPACE, CLAIM, MIGRATION = "bench-volumes", "data", "bench"
FILES = 10_000
SIZE = 2**30
PAIR = VolumePair(NAMESPACE, CLAIM)
# Not slower than a stream that checks nothing; a delta of 1 % in a twentieth of the seed's time.
TIMES_AS_FAST, DELTA_TIMES_AS_FAST = 1.0, 20.0


def run(_lab: Lab) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        place = Path(folder)
        with Cluster.start(place / "es", name="es") as source, Cluster.start(place / "de", name="de") as target:
            return _measured(source, target)


def _measured(source: Cluster, target: Cluster) -> list[Row]:
    apis = [open_cluster(ClusterAccess(str(cluster.kubeconfig))) for cluster in (source, target)]
    for cluster in (source, target):
        Kubectl(cluster.kubeconfig).create([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
        Kubectl(cluster.kubeconfig).create([_claim()])
    moves = VolumeMoves(
        *apis, MIGRATION, image="busybox:1.37", workers=16, report=lambda _phase, _figures: None, check=lambda: None
    )
    moves.seed([PAIR])  # of nothing: the claims are bound, and the pods are there
    here, there = (_folder(cluster) for cluster in (source, target))
    _fill(here)
    ours, peer, delta, verify = [], [], [], []
    for _number in range(repeats("BENCH_SLOW_REPEATS")):
        _empty(there)
        peer.append(_timed(lambda: _piped(source, target)))
        _check(here, there)
        _empty(there)
        memory.remember(apis[1], MIGRATION, NAMESPACE, CLAIM, None)
        ours.append(_timed(lambda: moves.seed([PAIR])))
        _check(here, there)
        _touch(here)
        delta.append(_timed(lambda: moves.delta([PAIR], at_rest=True)))
        verify.append(_timed(lambda: moves.compare([PAIR])))
        print(
            f"    ours {ours[-1]:.2f} s, kubectl {peer[-1]:.2f} s, delta {delta[-1]:.2f} s, digests {verify[-1]:.2f} s", flush=True
        )
    moves.tidy([NAMESPACE])
    for api in apis:
        api.close()
    seed, piped, later = (statistics.median(times) for times in (ours, peer, delta))
    return [
        Row("1 GiB in 10,000 files to another claim, s", seed, piped, piped / seed, TIMES_AS_FAST),
        Row("delta of 1 % of 10,000 files against the seed, s", later, seed, seed / later, DELTA_TIMES_AS_FAST),
    ]


def _timed(work: Callable[[], Any]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def _claim() -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    return {
        "apiVersion": CLAIMS.api_version,
        "kind": CLAIMS.kind,
        "metadata": {"name": CLAIM, "namespace": NAMESPACE},
        "spec": spec,
    }


def _folder(cluster: Cluster) -> Path:
    claim = Kubectl(cluster.kubeconfig).get("pvc", CLAIM, NAMESPACE) or {}
    return cluster.volume(claim["spec"]["volumeName"])


def _fill(folder: Path) -> None:
    """Files of many sizes in 100 folders; the same every time."""
    dice = random.Random(5)
    weights = [dice.expovariate(1) for _number in range(FILES)]
    block = dice.randbytes(2**22)
    for number, weight in enumerate(weights):
        place = folder / f"{number % 100:02}"
        place.mkdir(exist_ok=True)
        start = dice.randrange(2**20)
        (place / f"{number:05}.bin").write_bytes(block[start : start + int(weight * SIZE / sum(weights))])


def _touch(folder: Path) -> None:
    """1 % of the files change."""
    for number in range(0, FILES, 100):
        with (folder / f"{number % 100:02}" / f"{number:05}.bin").open("ab") as file:
            file.write(b"more")


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry)


def _check(here: Path, there: Path) -> None:
    counts = [
        [(path.relative_to(folder), path.stat().st_size) for path in sorted(folder.rglob("*.bin"))] for folder in (here, there)
    ]
    if counts[0] != counts[1] or len(counts[0]) != FILES:
        raise RuntimeError(f"{len(counts[1])} of {len(counts[0])} files came over whole")


def _piped(source: Cluster, target: Cluster) -> None:
    """As people do it."""
    pod = pod_name(MIGRATION, CLAIM)

    def command(cluster: Cluster, *rest: str) -> list[str]:
        return ["kubectl", f"--kubeconfig={cluster.kubeconfig}", "-n", NAMESPACE, "exec", "-i", pod, "--", *rest]

    environment = {**os.environ, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true"}
    with subprocess.Popen(
        command(source, "tar", "-C", "/data", "-c", "-f", "-", "."),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment,
    ) as reading:
        subprocess.run(
            command(target, "tar", "-C", "/data", "-x", "-p", "-f", "-"), stdin=reading.stdout, env=environment, check=True
        )
