# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress between a module at work and the person who waits: a file with one line of JSON, and its picture as text."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .shown import duration, mapping, number, plain, rate, whole
from .sizes import show_size

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
        # Progress is for people: a full disk under it must not stop the work.
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps({"phase": phase, "pid": os.getpid(), **figures}), encoding="utf-8")
            partial.replace(self.path)


def picture(name: str, source: str, target: str, progress: Mapping[str, Any]) -> str:
    """One line for a person, from what ProgressFile wrote; what is missing there is left out here.

    Of ``progress`` it shows ``phase``, ``round``, ``percent`` (else ``bytes`` of ``total_bytes``), ``bytes_per_second``,
    ``seconds`` so far, ``eta_seconds``, ``dirty_bytes_per_second``, ``iteration``, ``disks`` (``{vda: {bytes, total_bytes}}``,
    when there is more than one), ``downtime_ms`` and ``waiting_for``.
    """
    phase = str(progress.get("phase", ""))
    parts = [name, f"{source} → {target}" if source else target, phase, _round(progress, phase), *_bar(progress), _amount(progress)]
    for key, form in (("bytes_per_second", "{}"), ("dirty_bytes_per_second", "dirty {}")):
        if number(progress, key) is not None:
            parts.append(form.format(rate(whole(progress, key))))
    parts += [*_times(progress), _disks(progress)]
    if progress.get("waiting_for"):
        parts.append(f"waiting: {progress['waiting_for']}")
    # It comes from another host and goes to a terminal.
    return plain("  ".join(part for part in parts if part))


def _round(progress: Mapping[str, Any], phase: str) -> str:
    words = [f"{word} {whole(progress, word)}" for word in ("round", "iteration") if whole(progress, word) > 0]
    return "  ".join(word for word in words if word != phase)


def _percent(progress: Mapping[str, Any]) -> float | None:
    percent, total = number(progress, "percent"), whole(progress, "total_bytes")
    if percent is None and total > 0:
        percent = 100 * whole(progress, "bytes") / total
    return None if percent is None else min(100.0, max(0.0, percent))


def _bar(progress: Mapping[str, Any]) -> list[str]:
    percent = _percent(progress)
    if percent is None:
        return []
    filled = round(_BAR * percent / 100)
    return ["█" * filled + "░" * (_BAR - filled) + f" {percent:5.1f} %"]


def _amount(progress: Mapping[str, Any]) -> str:
    if number(progress, "bytes") is None:
        return ""
    amount, total = show_size(whole(progress, "bytes")), whole(progress, "total_bytes")
    return f"{amount} of {show_size(total)}" if total > 0 else amount


def _times(progress: Mapping[str, Any]) -> list[str]:
    forms = (("seconds", 1, "{}"), ("eta_seconds", 1, "{} left"), ("total_ms", 1000, "{}"), ("downtime_ms", 1000, "{} of downtime"))
    found = ((number(progress, key), scale, form) for key, scale, form in forms)
    return [form.format(duration(value / scale)) for value, scale, form in found if value is not None]


def _disks(progress: Mapping[str, Any]) -> str:
    disks = mapping(progress, "disks")
    if len(disks) < 2:
        return ""
    shares = ((name, _percent(disk) if isinstance(disk, Mapping) else None) for name, disk in sorted(disks.items()))
    return "  ".join(f"{name} {share:.0f} %" for name, share in shares if share is not None)
