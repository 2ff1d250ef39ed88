# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .statuses import ApiError


class Pods:
    def __init__(self, folder: Path, busybox: Path, store: Any, faults: Any) -> None:
        self.folder = folder

    def runs(self, pod: Any) -> bool:
        return False

    async def exec(self, request: Any, target: Any) -> Any:
        raise ApiError(500, "exec is not served yet")

    async def log(self, request: Any, target: Any) -> Any:
        raise ApiError(500, "logs are not served yet")

    def writers(self) -> list[Any]:
        return []

    def refill(self) -> None:
        pass

    def fill(self, name: str) -> None:
        raise ApiError(500, "not yet")

    async def stop(self) -> None:
        pass
