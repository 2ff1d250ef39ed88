# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report is about, in words: a VM and its guest, or the application of some namespaces. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...shown import plain

_NAMED = 3


@dataclass(frozen=True)
class Subject:
    """``runner`` is what runs at one end; ``copied`` what is brought in step, with its verb; ``compared`` what was checked."""

    name: str
    identity: str
    runner: str = "guest"
    copied: str = "disks are"
    compared: str = "every extent"
    is_cluster: bool = False


def subject_of(report: Mapping[str, Any]) -> Subject:
    """A VM, unless the report says that it is of a cluster."""
    if report.get("kind") != "cluster":
        return Subject(plain(report.get("vm")) or "the VM", f"VM {plain(report.get('vm'))}".rstrip())
    names = [plain(name) for name in report.get("namespaces") or ()]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return Subject(
        name=f"the application in {', '.join(names[:_NAMED])}{more}" if names else "the application",
        identity=f"{plain(report.get('name'))}".rstrip(),
        runner="application",
        copied="objects and data are",
        compared="every file",
        is_cluster=True,
    )
