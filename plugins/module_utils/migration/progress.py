# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress between a module at work and the person who waits: a file with one line of JSON, and its picture as text."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from ..sizes import show_size

_BAR = 24


class ProgressFile:
    """Written anew at every report, at once or not at all; without a path nothing is written.

    Beside the figures it holds the ``phase`` and the module's ``pid``, so that a reader can tell slow from dead.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path

    def report(self, phase: str, figures: dict[str, Any]) -> None:
        if not self.path:
            return
        partial = Path(f"{self.path}.partial")
        # Progress is for people: a full disk under it must not stop a migration.
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps({"phase": phase, "pid": os.getpid(), **figures}), encoding="utf-8")
            partial.replace(self.path)


def picture(vm: str, source: str, target: str, progress: dict[str, Any]) -> str:
    """One line for a person, from what ProgressFile wrote."""
    head = f"{vm}  {source} → {target}  {progress.get('phase', '')}"
    if progress.get("phase") != "copying":
        return head
    filled = round(_BAR * min(100.0, float(progress.get("percent", 0))) / 100)
    drawn = "█" * filled + "░" * (_BAR - filled)
    amount = f"{show_size(int(progress.get('bytes', 0)))} of {show_size(int(progress.get('total_bytes', 0)))}"
    rate = f"{show_size(int(progress.get('bytes_per_second', 0)))}/s"
    return f"{head}  {drawn} {progress.get('percent', 0):5.1f} %  {amount}  {rate}  {progress.get('seconds', 0):.0f} s"
