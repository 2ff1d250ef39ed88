# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has a dictionary form, which is the portable schema."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Portable:
    """A dataclass that goes out as plain data."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; tuples become lists."""
        return {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def plain(value: Any) -> Any:
    """The value with everything in it as dictionaries, lists and scalars."""
    if isinstance(value, Portable):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
