# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person asked for, and what is going to be done: the words of preflight. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ..model import Portable, Site

CLEARABLE = ("snapshots", "checkpoints", "media")
KEEP, REMAP = "keep", "remap"


@dataclass(frozen=True)
class Request:
    """What a person asked for; ``storage`` and ``networks`` change logical names on the way, ``formats`` those of disks.

    ``clear`` names what may be taken out of the way: CLEARABLE. ``override_reason``: why the VM's placement policy may be
    broken. ``latencies`` are measured round trips, as ``site_latency`` returns them; ``moving``: where other VMs go meanwhile.
    """

    source: str
    target: str
    source_site: Site
    target_site: Site
    storage: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    mode: str = "live"
    macs: str = "keep"
    clear: tuple[str, ...] = ()
    override_reason: str = ""
    latencies: tuple[dict[str, Any], ...] = ()
    moving: dict[str, str] = field(default_factory=dict)
    today: date = field(default_factory=date.today)


@dataclass(frozen=True)
class Blocker(Portable):
    """One reason why not, as one sentence with its remedy."""

    check: str
    message: str


@dataclass(frozen=True)
class Plan(Portable):
    """``disks`` maps a device to ``{storage, pool, path, volume, capacity, format}`` at the target, in the VM's order.

    ``networks`` are the target's own names, in the order of the VM's interfaces. ``estimate`` is in bytes.
    ``override``: why the VM's placement policy is broken, where it is.
    """

    vm: str
    source: str
    target: str
    blockers: tuple[Blocker, ...]
    warnings: tuple[str, ...]
    steps: tuple[str, ...]
    disks: dict[str, dict[str, Any]]
    networks: tuple[str, ...]
    estimate: dict[str, Any]
    mode: str = "live"
    reason: str = ""
    override: str = ""
    media: dict[str, str] = field(default_factory=dict)
    macs: tuple[str, ...] = ()
