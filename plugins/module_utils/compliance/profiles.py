# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles: which controls are judged, by which thresholds, what is added up to a score, and what fails a run; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..errors import InputError
from ..fields import Fields, unique
from ..portable import Portable
from .controls import SEVERITIES, Control

FAIL_ON = (*SEVERITIES, "never")


@dataclass(frozen=True)
class Objective(Portable):
    """``clauses``: shell patterns of the framework's clauses that count for it. ``source``: where the weight was read."""

    objective: str
    title: str
    weight: float
    clauses: tuple[str, ...]
    source: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "objective") -> Objective:
        fields = Fields(data, where)
        read = cls(
            objective=fields.text("objective", required=True),
            title=fields.text("title", required=True),
            weight=fields.number("weight", 0, 1000) or 0.0,
            clauses=fields.texts("clauses"),
            source=fields.text("source"),
        )
        fields.finish()
        return read


@dataclass(frozen=True)
class Scoring(Portable):
    """How findings of the clauses of one framework become a score."""

    framework: str
    title: str
    objectives: tuple[Objective, ...]
    source: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "scoring") -> Scoring:
        fields = Fields(data, where)
        read = cls(
            framework=fields.text("framework", required=True),
            title=fields.text("title", required=True),
            objectives=fields.each("objectives", Objective.from_dict),
            source=fields.text("source"),
        )
        fields.finish()
        unique([one.objective for one in read.objectives], f"{where}.objectives")
        return read


@dataclass(frozen=True)
class Profile:
    """``include``, ``exclude``: shell patterns of ids, ``frameworks``: short names of which a control must have a clause; empty: all.

    ``fail_on``: the least severity of a fail that fails the run.
    """

    name: str
    title: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    fail_on: str = "high"
    scoring: tuple[Scoring, ...] = ()

    @classmethod
    def from_dict(cls, data: Any, where: str = "profile") -> Profile:
        fields = Fields(data, where)
        read = cls(
            name=fields.name(),
            title=fields.text("title", required=True),
            include=fields.texts("include"),
            exclude=fields.texts("exclude"),
            frameworks=fields.texts("frameworks"),
            parameters=_parameters(fields),
            fail_on=fields.choice("fail_on", FAIL_ON, "high"),
            scoring=fields.each("scoring", Scoring.from_dict),
        )
        fields.finish()
        return read

    def chosen(self, controls: Sequence[Control]) -> tuple[Control, ...]:
        """The controls that are judged, with the profile's parameters.

        InputError for an id or a pattern that means no control, and when none is chosen.
        """
        for key in ("include", "exclude"):
            for pattern in getattr(self, key):
                if not any(fnmatchcase(control.id, pattern) for control in controls):
                    remedy = "use an id of a control, or a pattern such as LOC-*"
                    raise InputError("means no control", option=f"profile {self.name}.{key}", value=pattern, remedy=remedy)
        known = {control.id for control in controls}
        for name in self.parameters:
            if name not in known:
                option = f"profile {self.name}.parameters"
                raise InputError("is no known control", option=option, value=name, remedy="use an id of a control")
        kept = tuple(
            control.with_parameters(self.parameters.get(control.id, {}), f"profile {self.name}.parameters.{control.id}")
            for control in controls
            if self._wants(control)
        )
        if not kept:
            raise InputError("chooses no control", option=f"profile {self.name}", remedy="widen include, or name other frameworks")
        return kept

    def _wants(self, control: Control) -> bool:
        def named(patterns: Iterable[str]) -> bool:
            return any(fnmatchcase(control.id, pattern) for pattern in patterns)

        framed = not self.frameworks or any(clause.framework in self.frameworks for clause in control.clauses)
        return framed and (not self.include or named(self.include)) and not named(self.exclude)


def _parameters(fields: Fields) -> dict[str, dict[str, Any]]:
    value = fields.get("parameters", {})
    if not isinstance(value, Mapping) or not all(isinstance(changes, Mapping) for changes in value.values()):
        remedy = "write id: {parameter: value} pairs"
        raise InputError("is not a mapping of mappings", option=fields.path("parameters"), value=value, remedy=remedy)
    return {str(name): dict(changes) for name, changes in value.items()}


def find_profile(documents: Sequence[tuple[str, Any]], name: str) -> Profile:
    """The one of that name, of files that hold a profile each; InputError for a name that none has.

    A profile that ``extends`` another one has all that it does not say itself of that one, and its parameters beside that one's.
    """
    found = {str(document.get("name")): (path, document) for path, document in documents if isinstance(document, Mapping)}
    for path, document in documents:
        Profile.from_dict(_alone(document), path)
    where, whole = _extended(found, name, "profile", ())
    return Profile.from_dict(whole, where)


def _alone(document: Any) -> Any:
    return {key: value for key, value in document.items() if key != "extends"} if isinstance(document, Mapping) else document


def _extended(found: Mapping[str, tuple[str, Mapping[str, Any]]], name: str, option: str, over: tuple[str, ...]) -> tuple[str, Any]:
    """``(file, document)`` of a profile, with what it extends; ``over`` are the profiles that extend it."""
    if name in over:
        raise InputError("extends itself", option=option, value=name, remedy="take one extends out of the profiles")
    if name not in found:
        remedy = f"use one of {', '.join(sorted(found)) or 'none'}, or add a folder of profiles"
        raise InputError("is no known profile", option=option, value=name, remedy=remedy)
    path, document = found[name]
    if "extends" not in document:
        return path, document
    _path, base = _extended(found, str(document["extends"]), f"profile {name}.extends", (*over, name))
    parameters = {
        key: {**base.get("parameters", {}).get(key, {}), **changes} for key, changes in document.get("parameters", {}).items()
    }
    return path, {**base, **_alone(document), "parameters": {**base.get("parameters", {}), **parameters}}
