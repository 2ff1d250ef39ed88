# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be made to go wrong, by ``POST /double/faults``; README.md says what each does."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import Any

from .http import Request
from .rest import Target
from .statuses import ApiError

Object = dict[str, Any]


@dataclass
class Faults:
    """What is set now. ``rejections``: each with ``times`` left; ``slow``: seconds before each answer."""

    rejections: list[Object] = field(default_factory=list)
    slow: float = 0.0
    exec_bytes: int | None = None

    def clear(self) -> None:
        self.rejections.clear()
        self.slow, self.exec_bytes = 0.0, None

    def reject(self, wanted: Object) -> None:
        self.rejections.append({"times": 1, "code": 500, **wanted})

    def check(self, request: Request, target: Target, verb: str) -> None:
        """The error of the first rejection that fits; ``times`` below 0 is for ever."""
        for each in self.rejections:
            if not each["times"]:
                continue
            fits = {"kind": target.kind.kind, "name": self._name(request, target), "verb": verb, "namespace": target.namespace}
            if "verb" not in each and verb in ("get", "list", "watch"):
                continue
            if all(fnmatch.fnmatchcase(value, each.get(key, "*")) for key, value in fits.items()):
                each["times"] -= 1
                raise ApiError(int(each["code"]), each.get("message", "a fault of the test"), each.get("reason", ""))

    @staticmethod
    def _name(request: Request, target: Target) -> str:
        if target.name or request.method != "POST":
            return target.name
        try:
            return str(request.object()["metadata"]["name"])
        except (ApiError, KeyError, TypeError):
            return ""
