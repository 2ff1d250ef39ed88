# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a person wants a migration to be run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Policy:
    """``bandwidth`` in MiB/s over all disks (0: no cap), ``downtime`` in ms (0: QEMU's own, 300), the others in seconds (0: never)."""

    bandwidth: int = 0
    downtime: int = 0
    auto_converge: bool = True
    stall_timeout: float = 60
    timeout: float = 0

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Policy:
        """From a module's options of the same names; a negative number is refused."""
        chosen = {key: options[key] for key in cls.__dataclass_fields__}
        for key, value in chosen.items():
            if value < 0:
                raise InputError("is negative", option=key, value=value, remedy="use 0 (for none or never) or a positive number")
        return cls(**chosen)
