# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left of a VM's copy where it was deleted: a receipt, kept at the target and in the VM's journal."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..model import Portable

_HOW = "deleted through libvirt and seen to be gone; the blocks were not overwritten"


@dataclass(frozen=True)
class Receipt(Portable):
    """``volumes`` are the paths that were deleted; ``erased`` is ISO 8601 in UTC."""

    vm: str
    uuid: str
    migration: str
    hypervisor: str
    site: str
    country: str
    volumes: tuple[str, ...]
    erased: str
    how: str = _HOW

    def keep(self, state: str) -> None:
        """As ``STATE/receipts/UUID.MIGRATION.json``, for root alone."""
        folder = Path(state) / "receipts"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self.uuid}.{self.migration}.json"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, indent=2, sort_keys=True)


def receipt(vm: str, uuid: str, migration: str, source: dict[str, Any], volumes: Sequence[str]) -> Receipt:
    """:param source: ``{hypervisor, site, country}`` of where the copy was"""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Receipt(vm=vm, uuid=uuid, migration=migration, volumes=tuple(volumes), erased=now, **source)
