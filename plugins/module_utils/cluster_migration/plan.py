# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a migration of workloads would do: plain data, and the same as a table for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..migration.plan import Blocker
from ..portable import Portable
from ..sizes import show_size

_INDENT = "  "


@dataclass(frozen=True)
class Volume(Portable):
    """A claim that goes along; ``bytes`` is its capacity. ``bound``: it has data."""

    namespace: str
    claim: str
    bytes: int
    storage_class: str
    target_class: str
    access_modes: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"
    bound: bool = True


@dataclass(frozen=True)
class Plan(Portable):
    """``objects``, ``cleaned``, ``mapped`` and ``left`` say how many objects there are of each sort.

    ``objects`` is by kind; ``left`` says what stays and why. ``method`` and ``reason``: which way is taken. ``estimate`` is in bytes
    and seconds.
    """

    source: str
    target: str
    namespaces: tuple[str, ...]
    blockers: tuple[Blocker, ...] = ()
    warnings: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    objects: Mapping[str, int] = field(default_factory=dict)
    cleaned: Mapping[str, int] = field(default_factory=dict)
    mapped: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    estimate: Mapping[str, Any] = field(default_factory=dict)
    method: str = "workloads"
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``text`` are the lines of the table."""
        return {**super().to_dict(), "text": plan_text(self)}


def plan_text(plan: Plan) -> list[str]:
    """The lines of a table that a person reads before he says yes."""
    lines = [f"{plan.source} → {plan.target}: {', '.join(plan.namespaces)}"]
    if plan.reason:
        lines.append(f"method {plan.method}: {plan.reason}")
    lines += _section("BLOCKERS", [blocker.message for blocker in plan.blockers])
    lines += _section("warnings", plan.warnings)
    lines += _section("steps", [f"{number}. {step}" for number, step in enumerate(plan.steps, 1)])
    lines += _section("objects that go along", _counts(plan.objects))
    lines += _section("cleaned", _counts(plan.cleaned))
    lines += _section("mapped", _counts(plan.mapped))
    lines += _section("what stays", _counts(plan.left))
    lines += _section("data of claims", _volumes(plan.volumes))
    lines += _section("estimate", _figures(plan.estimate))
    return lines


def _section(title: str, rows: Any) -> list[str]:
    return [title, *(f"{_INDENT}{row}" for row in rows)] if rows else []


def _counts(counts: Mapping[str, int]) -> list[str]:
    width = max((len(str(count)) for count in counts.values()), default=0)
    return [f"{count:>{width}}  {what}" for what, count in sorted(counts.items())]


def _volumes(volumes: tuple[Volume, ...]) -> list[str]:
    names = [f"{volume.namespace}/{volume.claim}" for volume in volumes]
    width = max((len(name) for name in names), default=0)
    rows = []
    for name, volume in zip(names, volumes):
        old, new = volume.storage_class or "(no class)", volume.target_class or "(no class)"
        way = old if old == new else f"{old} → {new}"
        rows.append(f"{name:<{width}}  {show_size(volume.bytes):>10}  {way}{'' if volume.bound else ', without data'}")
    return rows


def _figures(estimate: Mapping[str, Any]) -> list[str]:
    """Bytes and times as people read them; what could not be told is said to be so."""
    rows = []
    for key, figure in estimate.items():
        if key in ("bytes", "delta_bytes"):
            rows.append(f"{key.replace('_', ' ')}: {show_size(int(figure))}")
        elif key in ("objects_seconds", "seconds", "downtime_seconds"):
            rows.append(f"{key.replace('_', ' ')}: {'not known, as nothing was measured' if figure is None else figure}")
        elif key == "objects":
            rows.append(f"objects: {figure}")
    return rows
