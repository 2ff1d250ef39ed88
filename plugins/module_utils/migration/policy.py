# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a person wants a migration to be run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..backends.libvirt.power import SHUTDOWN_MODES, Stopping
from ..errors import InputError
from .copying import Copying

MODES = ("live", "warm", "cold", "auto")
_MIB = 2**20
_FROM_NOTHING = (
    "bandwidth",
    "downtime",
    "stall_timeout",
    "timeout",
    "shutdown_timeout",
    "life_timeout",
    "sync_interval",
    "suspend_after",
)


@dataclass(frozen=True)
class Policy:
    """``bandwidth`` in MiB/s over all disks (0: no cap), ``downtime`` in ms (0: QEMU's own, 300), the others in seconds (0: never).

    ``downtime_budget``: the longest that the guest may be off in a cutover, in seconds; None for no limit. ``rounds``: how many
    at the most before the cutover. ``backup_ports``: first and last port of the source's backup server.
    """

    bandwidth: int = 0
    downtime: int = 0
    auto_converge: bool = True
    suspend_after: float = 0
    verify_disks: bool = False
    stall_timeout: float = 60
    timeout: float = 0
    connections: int = 6
    downtime_budget: float | None = None
    sync_interval: float = 300
    rounds: int = 8
    shutdown_mode: str = "auto"
    shutdown_timeout: float = 120
    force_off: bool = False
    life_timeout: float = 120
    backup_ports: tuple[int, int] = (49200, 49215)

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Policy:
        """From a module's options of the same names; InputError for what cannot be meant."""
        chosen = {key: options[key] for key in cls.__dataclass_fields__ if options.get(key) is not None}
        for key in _FROM_NOTHING:
            if chosen.get(key, 0) < 0:
                raise InputError(
                    "is negative", option=key, value=chosen[key], remedy="use 0 (for none or never) or a positive number"
                )
        for key in ("connections", "rounds"):
            if chosen.get(key, 1) < 1:
                raise InputError("is less than one", option=key, value=chosen[key], remedy="use 1 or more")
        if chosen.get("downtime_budget", 1) <= 0:
            remedy = "give the seconds that the guest may be off, or leave it out for no limit"
            raise InputError(
                "leaves no time to switch over", option="downtime_budget", value=chosen["downtime_budget"], remedy=remedy
            )
        if chosen.get("shutdown_mode", "auto") not in SHUTDOWN_MODES:
            raise InputError(
                "is not known",
                option="shutdown_mode",
                value=chosen["shutdown_mode"],
                remedy=f"use one of: {', '.join(SHUTDOWN_MODES)}",
            )
        chosen["backup_ports"] = _ports(chosen.get("backup_ports", cls.backup_ports))
        return cls(**chosen)

    def copying(self) -> Copying:
        return Copying(self.connections, self.bandwidth * _MIB, self.stall_timeout, self.timeout)

    def stopping(self) -> Stopping:
        return Stopping(self.shutdown_mode, self.shutdown_timeout, self.force_off)


def _ports(value: Any) -> tuple[int, int]:
    if len(value) != 2 or not 1024 <= value[0] <= value[1] <= 65535:
        raise InputError("is not a range of ports", option="backup_ports", value=list(value), remedy="write [first, last]")
    return int(value[0]), int(value[1])
