# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is remembered of a volume between two runs: when the copying began that its copy comes from, by the source node's clock.

It is an annotation of the claim at the target, so that it goes with the copy.
"""

from __future__ import annotations

from ...backends.cluster import ClusterApi, Object
from ...errors import MigrationFailed
from .pods import CLAIMS

COPIED = "federation.virt8ra.eu/copied"


def claim_of(api: ClusterApi, namespace: str, claim: str) -> Object:
    """MigrationFailed when it has gone, or cannot be copied by a pod that mounts it."""
    found = api.get(CLAIMS, claim, namespace)
    if found is None:
        raise MigrationFailed(f"claim {namespace}/{claim} is not at {api.name}", remedy="start the migration again")
    if found["spec"].get("volumeMode") == "Block":
        what = f"claim {namespace}/{claim} at {api.name} is a block volume, whose data cannot be copied as files"
        raise MigrationFailed(what, remedy="leave its namespace out, or move it by other means")
    return found


def recall(target: ClusterApi, migration: str, namespace: str, claim: str) -> int | None:
    """Seconds since the epoch; None when no copy is trusted."""
    annotations = claim_of(target, namespace, claim)["metadata"].get("annotations") or {}
    name, _blank, moment = str(annotations.get(COPIED, "")).partition(" ")
    return int(moment) if name == migration and moment.isdigit() else None


def remember(target: ClusterApi, migration: str, namespace: str, claim: str, since: int | None) -> None:
    """None forgets it: the next run copies all of it."""
    value = None if since is None else f"{migration} {since}"
    target.patch(CLAIMS, claim, namespace, {"metadata": {"annotations": {COPIED: value}}})
