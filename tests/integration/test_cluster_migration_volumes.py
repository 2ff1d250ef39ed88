# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults of the copy of claims in a whole migration between two doubles: another run finishes it, or an abort restores the source."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.applications.volume import write_volume_data

from .clusters import Pair, pair
from .test_cluster_migration import failed, is_as_before, migrate, reached, runs_at_the_target, shop

__all__ = ["pair", "shop"]

POD, PATH = "database-0", "/data"
MOVERS = "virt8ra-mover-"
REFUSED = (
    'pods "virt8ra-mover" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities (container "mover" must not '
    'include "CHOWN" in securityContext.capabilities.add), runAsNonRoot != true, runAsUser=0'
)


def filled(pair: Pair, files: int = 50) -> set[str]:
    """Names of what is in a volume of the database."""
    pair.source.fill(pair.namespace, POD, PATH, lambda folder: write_volume_data(folder, files=files))
    return set(pair.source.contents(pair.namespace, POD, PATH))


def volume_at_the_target(pair: Pair) -> str:
    spec = (pair.source.kubectl.get("pod", POD, pair.namespace) or {})["spec"]
    name = next(mount["name"] for mount in spec["containers"][0]["volumeMounts"] if mount["mountPath"] == PATH)
    claim = next(volume for volume in spec["volumes"] if volume["name"] == name)["persistentVolumeClaim"]["claimName"]
    found = pair.target.kubectl.get("pvc", claim, pair.namespace) or {}
    return str(found["spec"]["volumeName"])


@pytest.mark.parametrize("end", [0, 1], ids=["source", "target"])
def test_a_mover_that_is_evicted_in_mid_copy(shop: Pair, tmp_path: Path, end: int) -> None:
    """So slow that it is in mid copy for sure; the same run finishes it."""
    names = filled(shop)
    progress = tmp_path / "progress"
    results: list[dict[str, Any] | None] = []
    slow = {"mover_bandwidth": 2 * 2**20, "progress_path": str(progress)}
    work = threading.Thread(target=lambda: results.append(migrate(shop, "synced", **slow)))
    work.start()
    copied = 0
    while not copied and work.is_alive():
        work.join(0.05)
        told = json.loads(progress.read_text() or "{}") if progress.exists() else {}
        copied = int(told.get("bytes") or 0)
    assert copied and work.is_alive()
    shop.doubles()[end].fault({"evict": MOVERS})
    work.join()
    assert results[0] is not None and not results[0].get("failed"), results
    reached(shop, "completed")
    runs_at_the_target(shop)
    assert names <= set(shop.target.contents(shop.namespace, POD, PATH))


@pytest.mark.parametrize("way", ["again", "back"])
def test_a_disk_that_is_full_at_the_target(shop: Pair, way: str) -> None:
    before = shop.source.objects(shop.namespace)
    reached(shop, "synced")
    assert reached(shop, "planned")["plan"]["estimate"]["seconds"] is None  # that was too little to tell a rate
    names = filled(shop)
    target = shop.doubles()[1]
    target.fault({"disk_full": volume_at_the_target(shop)})
    message = failed(shop, "completed")
    assert "is full" in message and "make the claim at the target larger" in message
    target.fault({})
    if way == "back":
        reached(shop, "aborted")
        is_as_before(shop, before)
        assert names <= set(shop.source.contents(shop.namespace, POD, PATH))
    else:
        reached(shop, "completed")
        runs_at_the_target(shop)
        assert names <= set(shop.target.contents(shop.namespace, POD, PATH))


@pytest.mark.parametrize("way", ["again", "back"])
def test_a_namespace_that_allows_no_pod_that_runs_as_root(shop: Pair, way: str) -> None:
    before = shop.source.objects(shop.namespace)
    target = shop.doubles()[1]
    reject = {
        "kind": "Pod",
        "name": f"{MOVERS}*",
        "verb": "create",
        "times": -1,
        "code": 403,
        "reason": "Forbidden",
        "message": REFUSED,
    }
    target.fault({"reject": reject})
    message = failed(shop, "completed")
    assert "does not allow the mover's pod, which runs as root; label it pod-security.kubernetes.io/enforce=baseline" in message
    is_as_before(shop, before)
    target.fault({})
    if way == "back":
        reached(shop, "aborted")
        is_as_before(shop, before)
    else:
        reached(shop, "completed")
        runs_at_the_target(shop)


def test_what_a_migration_measured_is_in_the_next_plan(shop: Pair) -> None:
    def fill(folder: Path) -> None:
        (folder / "much").write_bytes(bytes(range(256)) * 2**17)

    shop.source.fill(shop.namespace, POD, PATH, fill)
    first = reached(shop, "planned")["plan"]["estimate"]
    assert first["seconds"] is None and first["bytes"] > 0
    figures = reached(shop, "completed")["migration"]
    assert figures["copy_bytes_per_second"] > 0 and figures["digest_bytes_per_second"] > 0
    later = reached(shop, "planned", name="another")["plan"]["estimate"]
    assert later["seconds"] > later["downtime_seconds"] > 0
