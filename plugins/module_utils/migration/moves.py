# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One of many migrations, as a plan file has it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import InputError
from ..fields import Fields
from ..model import Portable
from .plan import CLEARABLE, KEEP, REMAP
from .policy import MODES
from .window import Window

_SHUTDOWNS = ("auto", "agent", "acpi")
_TEXT_MAPS = ("storage", "networks", "formats")
_NUMBERS = {
    "bandwidth": 0,
    "downtime": 0,
    "downtime_budget": 1,
    "suspend_after": 0,
    "sync_interval": 1,
    "shutdown_timeout": 0,
    "life_timeout": 0,
}
_SWITCHES = ("force_off", "verify_disks")
_LARGEST = 10**9


@dataclass(frozen=True)
class Move(Portable):
    """One VM from a hypervisor to another. ``options`` are those of vm_migration that differ from its defaults.

    ``estimate`` is vm_migration's (bytes, seconds), ``reason`` why its mode was taken; both only tell.
    """

    vm: str
    source: str
    target: str
    options: dict[str, Any] = field(default_factory=dict)
    estimate: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "move") -> Move:
        fields = Fields(data, where)
        read = cls(
            vm=fields.text("vm", required=True),
            source=fields.text("source", required=True),
            target=fields.text("target", required=True),
            options=_options(fields),
            estimate=dict(fields.get("estimate", {})),
            reason=fields.text("reason"),
        )
        fields.finish()
        if read.source == read.target:
            raise InputError(
                f"is where VM {read.vm} is already",
                option=fields.path("target"),
                value=read.target,
                remedy="name another hypervisor",
            )
        return read

    def to_dict(self) -> dict[str, Any]:
        """As a person writes it: the options stand beside the VM's name."""
        told: dict[str, Any] = {"vm": self.vm, "source": self.source, "target": self.target, **self.options}
        if self.estimate:
            told["estimate"] = self.estimate
        if self.reason:
            told["reason"] = self.reason
        return told

    def check_window(self, now: datetime, where: str) -> None:
        """InputError where the move's own window is none, or over."""
        try:
            Window.from_options(self.options.get("not_before"), self.options.get("not_after"), now)
        except InputError as error:
            raise InputError(error.what, option=f"{where}.{error.option}", value=error.value, remedy=error.remedy) from error

    @property
    def seconds(self) -> float:
        """What it is estimated to take; 0 where that is not known."""
        return float(self.estimate.get("seconds") or 0)


def _options(fields: Fields) -> dict[str, Any]:
    """Only what was given, each as vm_migration takes it."""
    given: dict[str, Any] = {}
    for key, choices in (("mode", MODES), ("macs", (KEEP, REMAP)), ("shutdown_mode", _SHUTDOWNS)):
        if fields.get(key) is not None:
            given[key] = fields.choice(key, choices, choices[0])
    for key in _TEXT_MAPS:
        if fields.get(key):
            given[key] = fields.text_map(key)
    for key, least in _NUMBERS.items():
        if fields.get(key) is not None:
            given[key] = fields.integer(key, None, least, _LARGEST)
    for name in _SWITCHES:
        if fields.get(name) is not None:
            given[name] = fields.boolean(name, False)
    if fields.get("clear"):
        given["clear"] = list(fields.texts("clear"))
        unknown = sorted(set(given["clear"]) - set(CLEARABLE))
        if unknown:
            remedy = f"use one of {', '.join(CLEARABLE)}"
            raise InputError("cannot be cleared", option=fields.path("clear"), value=unknown[0], remedy=remedy)
    for key in ("not_before", "not_after", "override_reason"):
        if fields.get(key) is not None:
            given[key] = fields.text(key)
    return given
