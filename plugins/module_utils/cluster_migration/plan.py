# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the migration of a cluster's workloads will do, and what stands in the way; as modules return it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..portable import Portable

STEPS = (
    "make the namespaces, definitions and all objects at the target, with workloads at rest",
    "copy the data of the claims while the application runs",
    "put the application to rest at the source, and remember what it was",
    "copy what changed since, and compare the digest of every file",
    "bring what changed of the objects, and keep pods from starting at the source",
    "wake the application at the target, and wait until it is ready",
    "keep the source, at rest, until state: released",
)


@dataclass(frozen=True)
class Blocker(Portable):
    """``check``: what was looked at; ``message``: one sentence."""

    check: str
    message: str


@dataclass(frozen=True)
class Estimate(Portable):
    """``claimed_bytes``: the most that the data can be; ``seconds`` of the objects alone, and of the pause: None where nothing was measured."""

    objects: int
    claimed_bytes: int
    seconds: float | None = None
    downtime_seconds: float | None = None


@dataclass(frozen=True)
class ClusterPlan(Portable):
    """``objects`` by kind; ``cleaned``: how many objects each sort is taken off; ``mapped``: old name to new; ``volumes``: the claims."""

    method: str
    blockers: tuple[Blocker, ...]
    warnings: tuple[str, ...]
    namespaces: tuple[str, ...]
    objects: dict[str, int]
    cleaned: dict[str, int]
    mapped: dict[str, str]
    volumes: tuple[dict[str, Any], ...]
    estimate: Estimate
    reason: str = ""
    steps: tuple[str, ...] = field(default=STEPS)
