# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controllers."""

from __future__ import annotations

from typing import Any

from ..statuses import ApiError


class Controllers:
    def __init__(self, resources: Any, registry: Any, pods: Any, active: bool) -> None:
        pass

    def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def evict(self, request: Any, target: Any) -> Any:
        raise ApiError(500, "not yet")

    def evict_all(self, prefix: str) -> list[str]:
        return []
