# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan of many migrations as YAML that a person may edit and feed back; whatever was edited into nonsense is refused whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import InputError
from ..fields import Fields, unique
from ..model import Portable
from .moves import Move
from .waves import Limits, excess, schedule

try:
    import yaml

    HAS_YAML = True
except ImportError:
    HAS_YAML = False

SCHEMA = 1
_HEAD = """\
# A plan of migrations, wave after wave; the moves of one wave go at the same time, within the limits.
# Edit it as you like: move an entry to another wave, take one out, change its target or its mode, or give it options of
# vm_migration (storage, networks, formats, macs, clear, bandwidth, downtime_budget, not_before, not_after, …). Then run
#   ansible-playbook virt8ra.federation.migrate_plan -e plan=THIS_FILE
# What stands under estimate, reason and blocked is only told.
"""


@dataclass(frozen=True)
class Blocked(Portable):
    """A VM that no wave takes, and why: sentences."""

    vm: str
    source: str
    reasons: tuple[str, ...]

    @classmethod
    def from_dict(cls, data: Any, where: str = "blocked") -> Blocked:
        fields = Fields(data, where)
        read = cls(fields.text("vm", required=True), fields.text("source"), fields.texts("reasons"))
        fields.finish()
        return read


@dataclass(frozen=True)
class PlanFile:
    """``waves`` in their order, none of them empty."""

    limits: Limits
    waves: tuple[tuple[Move, ...], ...]
    blocked: tuple[Blocked, ...] = ()

    @classmethod
    def made(cls, moves: Sequence[Move], blocked: Sequence[Blocked], sites: dict[str, str], limits: Limits) -> PlanFile:
        """From moves in any order; InputError as ``from_dict``."""
        plan = cls(limits, schedule(moves, _known(moves, sites, "moves"), limits), tuple(blocked))
        unique([move.vm for move in moves], "moves[].vm")
        return plan

    @classmethod
    def from_dict(cls, data: Any, sites: dict[str, str], now: datetime) -> PlanFile:
        """InputError, one sentence with the path of the key, for whatever cannot be meant.

        :param sites: the site of each hypervisor that there is
        :param now: for windows that are over
        """
        fields = Fields(data, "")
        if fields.integer("schema", None, 1, 2**31, required=True) > SCHEMA:
            raise InputError(
                "is newer than this collection", option="schema", value=fields.get("schema"), remedy="update virt8ra.federation"
            )
        limits = Limits.from_dict(fields.get("limits", {}), "limits")
        waves = fields.each("waves", _wave)
        blocked = fields.each("blocked", Blocked.from_dict)
        fields.finish()
        unique([move.vm for wave in waves for move in wave], "waves[].moves[].vm")
        for number, wave in enumerate(waves):
            where = f"waves[{number}]"
            over = excess(wave, _known(wave, sites, f"{where}.moves"), limits)
            if over:
                raise InputError(over, option=where, remedy="put some into another wave, or raise the limit")
            for place, move in enumerate(wave):
                move.check_window(now, f"{where}.moves[{place}]")
        return cls(limits, tuple(wave for wave in waves if wave), blocked)

    @classmethod
    def from_text(cls, text: str, sites: dict[str, str], now: datetime) -> PlanFile:
        return cls.from_dict(_parsed(text), sites, now)

    def to_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "schema": SCHEMA,
            "limits": self.limits.to_dict(),
            "waves": [{"moves": [move.to_dict() for move in wave]} for wave in self.waves],
        }
        if self.blocked:
            told["blocked"] = [entry.to_dict() for entry in self.blocked]
        return told

    def to_text(self) -> str:
        _check_yaml()
        return _HEAD + str(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=120))


def _wave(data: Any, where: str) -> tuple[Move, ...]:
    fields = Fields(data, where)
    moves = fields.each("moves", Move.from_dict)
    fields.finish()
    return moves


def _known(moves: Sequence[Move], sites: dict[str, str], where: str) -> dict[str, str]:
    """``sites``, once every move names hypervisors that are in it."""
    for number, move in enumerate(moves):
        for end, name in (("source", move.source), ("target", move.target)):
            if name not in sites:
                remedy = f"use one of: {', '.join(sorted(sites))}"
                raise InputError("is no hypervisor of the federation", option=f"{where}[{number}].{end}", value=name, remedy=remedy)
    return sites


def _check_yaml() -> None:
    if not HAS_YAML:
        raise InputError("cannot be read or written without PyYAML", option="path", remedy="install PyYAML for this Python")


def _parsed(text: str) -> Any:
    """InputError for what is no YAML, and for a key that stands twice: one of the two would be lost without a word."""
    _check_yaml()
    try:
        _check_keys(yaml.compose(text, Loader=yaml.SafeLoader))
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"is no YAML ({' '.join(str(error).split())})", option="path", remedy="mend that line") from error


def _check_keys(node: Any) -> None:
    if isinstance(node, yaml.MappingNode):
        unique([str(key.value) for key, _value in node.value], f"line {node.start_mark.line + 1}")
    for child in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in child if isinstance(child, tuple) else (child,):
            _check_keys(part)
