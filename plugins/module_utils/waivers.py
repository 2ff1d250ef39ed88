# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waivers of the federation file: who bears which failing control, where, why, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

from .errors import InputError
from .fields import Fields
from .portable import Portable

_SUBJECTS = ("site", "hypervisor", "vm", "cluster")


@dataclass(frozen=True)
class Scope(Portable):
    """Shell patterns of sites and names, and types of subjects; an empty one matches all."""

    site: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    name: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: Any, where: str = "scope") -> Scope:
        fields = Fields(data, where)
        read = cls(*(_patterns(fields, key) for key in ("site", "type", "name")))
        fields.finish()
        for kind in read.type:
            if kind not in _SUBJECTS:
                remedy = f"use {', '.join(_SUBJECTS)}"
                raise InputError("is no type of subject", option=f"{where}.type", value=kind, remedy=remedy)
        return read

    def covers(self, subject: dict[str, str]) -> bool:
        """Whether all that it says is so of ``{type, name, site}``."""
        return all(
            not patterns or any(fnmatchcase(subject[key], pattern) for pattern in patterns)
            for key, patterns in (("site", self.site), ("type", self.type), ("name", self.name))
        )


@dataclass(frozen=True)
class Waiver(Portable):
    """``expires``: the last day on which it holds, ISO 8601."""

    control: str
    scope: Scope
    reason: str
    owner: str
    expires: str

    @classmethod
    def from_dict(cls, data: Any, where: str = "waiver") -> Waiver:
        fields = Fields(data, where)
        read = cls(
            control=fields.text("control", required=True),
            scope=Scope.from_dict(fields.get("scope", {}), fields.path("scope")),
            reason=fields.text("reason", required=True),
            owner=fields.text("owner", required=True),
            expires=_day(fields),
        )
        fields.finish()
        return read


def _patterns(fields: Fields, key: str) -> tuple[str, ...]:
    written = fields.get(key, [])
    return (written,) if isinstance(written, str) else fields.texts(key)


def _day(fields: Fields) -> str:
    written = fields.get("expires")
    if written is None:
        remedy = "add the last day on which it holds, such as 2026-12-31"
        raise InputError("is required, as no waiver holds for ever", option=fields.path("expires"), remedy=remedy)
    try:
        return date.fromisoformat(written).isoformat()
    except (TypeError, ValueError):
        raise InputError("is not a date", option=fields.path("expires"), value=written, remedy="write it as 2026-12-31") from None
