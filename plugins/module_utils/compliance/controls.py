# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controls as stanzas in YAML: what is demanded, of whom, and by which expression it is judged."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..federation import plain
from ..fields import Fields
from ..files import read_text
from ..portable import Portable
from .expression import Expression
from .frameworks import FRAMEWORKS

try:
    import yaml

    HAS_YAML = True
except ImportError:
    HAS_YAML = False

HOWS = ("measured", "attested", "compared")
SEVERITIES = ("low", "medium", "high", "critical")
SUBJECTS = ("site", "hypervisor", "vm", "cluster")
_ID = re.compile(r"^[A-Z][A-Z0-9]*(-[A-Z0-9]+)*\Z")


@dataclass(frozen=True)
class Clause(Portable):
    """Where a framework demands it; ``source`` says which edition was read."""

    framework: str
    clause: str
    source: str

    @classmethod
    def from_dict(cls, data: Any, where: str, frameworks: Mapping[str, str]) -> Clause:
        fields = Fields(data, where)
        read = cls(
            fields.text("framework", required=True), fields.text("clause", required=True), fields.text("source", required=True)
        )
        fields.finish()
        if read.framework not in frameworks:
            remedy = f"use one of {', '.join(sorted(frameworks))}, or name it under frameworks of the file"
            raise InputError("is no known framework", option=f"{where}.framework", value=read.framework, remedy=remedy)
        return read


@dataclass(frozen=True)
class Control:
    """A stanza, its expressions compiled. ``tells``: the sentence of a pass; without it, the title is one."""

    id: str
    title: str
    how: str
    clauses: tuple[Clause, ...]
    applies_to: tuple[str, ...]
    passes: Expression
    reason: str
    remedy: str
    severity: str = "medium"
    needs: tuple[str, ...] = ()
    attested: str = ""
    when: Expression | None = None
    offending: Expression | None = None
    tells: Expression | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    valid_from: str = ""
    valid_to: str = ""
    where: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "control", frameworks: Mapping[str, str] | None = None) -> Control:
        """InputError with the path of the key that is wrong."""
        fields = Fields(data, where)
        read = cls(
            id=_identifier(fields),
            title=fields.text("title", required=True),
            how=fields.choice("how", HOWS, "measured"),
            clauses=fields.each(
                "clauses", lambda item, path: Clause.from_dict(item, path, FRAMEWORKS if frameworks is None else frameworks)
            ),
            applies_to=_subjects(fields),
            passes=Expression.compile(fields.text("passes", required=True), fields.path("passes")),
            reason=fields.text("reason", required=True),
            remedy=fields.text("remedy", required=True),
            severity=fields.choice("severity", SEVERITIES, "medium"),
            needs=fields.texts("needs"),
            attested=fields.text("attested"),
            when=_expression(fields, "when"),
            offending=_expression(fields, "offending"),
            tells=_expression(fields, "tells"),
            parameters=_mapping(fields, "parameters"),
            valid_from=_day(fields, "valid_from"),
            valid_to=_day(fields, "valid_to"),
            where=where,
        )
        fields.finish()
        read._check(where)
        return read

    def _check(self, where: str) -> None:
        if (self.how == "attested") != bool(self.attested) and self.how != "compared":
            what = "needs the claim that is attested" if self.how == "attested" else f"is no key of a control that is {self.how}"
            remedy = "give attested with how: attested or how: compared, and only then"
            raise InputError(what, option=f"{where}.attested", value=self.attested or None, remedy=remedy)
        if self.valid_from and self.valid_to and self.valid_from > self.valid_to:
            remedy = f"use a day from valid_from ({self.valid_from}) on"
            raise InputError("is before valid_from", option=f"{where}.valid_to", value=self.valid_to, remedy=remedy)

    def holds_on(self, today: str) -> bool:
        """Whether it is judged on that day, both ends counted in."""
        return (self.valid_from or today) <= today <= (self.valid_to or today)

    def with_parameters(self, changes: Mapping[str, Any], where: str) -> Control:
        """With other values; InputError for a parameter that it has not, or a value of another kind."""
        for name, value in changes.items():
            if name not in self.parameters:
                remedy = f"use {', '.join(sorted(self.parameters))}" if self.parameters else "take it out, the control has none"
                raise InputError(f"is no parameter of {self.id}", option=f"{where}.{name}", value=value, remedy=remedy)
            kind = _kind(self.parameters[name])
            if self.parameters[name] is not None and _kind(value) != kind:
                raise InputError(f"is not {kind}", option=f"{where}.{name}", value=value, remedy=f"write {kind}")
        return dataclasses.replace(self, parameters={**self.parameters, **changes})


def _identifier(fields: Fields) -> str:
    written = fields.text("id", required=True)
    if not _ID.match(written):
        raise InputError("is no id of a control", option=fields.path("id"), value=written, remedy="write it as LOC-01")
    return written


def _subjects(fields: Fields) -> tuple[str, ...]:
    """The types of subjects that are judged; at least one."""
    types = fields.texts("applies_to")
    wrong = [one for one in types if one not in SUBJECTS]
    if wrong or not types:
        what = "is no type of subject" if wrong else "names no type of subject"
        remedy = f"use {', '.join(SUBJECTS)}"
        raise InputError(what, option=fields.path("applies_to"), value=wrong[0] if wrong else None, remedy=remedy)
    return types


def _expression(fields: Fields, key: str) -> Expression | None:
    text = fields.text(key)
    return Expression.compile(text, fields.path(key)) if text else None


def _mapping(fields: Fields, key: str) -> dict[str, Any]:
    value = fields.get(key, {})
    if not isinstance(value, Mapping):
        raise InputError("is not a mapping", option=fields.path(key), value=value, remedy="write name: value pairs")
    return dict(value)


def _day(fields: Fields, key: str) -> str:
    """A day as text; dates compare as their texts do."""
    written = fields.text(key)
    try:
        return date.fromisoformat(written).isoformat() if written else ""
    except ValueError:
        raise InputError("is not a date", option=fields.path(key), value=written, remedy="write it as 2026-12-31") from None


def _kind(value: Any) -> str:
    kinds = (
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "a string"),
        ((list, tuple), "a list"),
        (Mapping, "a mapping"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "a value")


def read_documents(folders: Sequence[str], option: str) -> list[tuple[str, Any]]:
    """``(path, document)`` of each YAML file in the folders, by name, dates as text; InputError for what is none."""
    if not HAS_YAML:
        raise InputError("needs PyYAML, which is not installed", option=option, remedy="install PyYAML on the controller")
    documents = []
    for folder in folders:
        if not Path(folder).is_dir():
            raise InputError("is no folder", option=option, value=folder, remedy="name a folder with YAML files")
        for path in sorted((*Path(folder).glob("*.yml"), *Path(folder).glob("*.yaml"))):
            try:
                document = yaml.load(read_text(str(path)), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            except yaml.YAMLError as error:
                what = f"is no YAML ({' '.join(str(error).split())})"
                raise InputError(what, option=option, value=str(path), remedy="mend the file") from None
            documents.append((str(path), plain(document) if isinstance(document, Mapping) else document))
    return documents


def read_controls(documents: Iterable[tuple[str, Any]]) -> tuple[Control, ...]:
    """All controls, by id; InputError for an id that stands twice, naming both places, and for no control at all."""
    found: dict[str, Control] = {}
    for path, document in documents:
        for control in _read_document(path, document):
            if control.id in found:
                what = f"is there twice, first at {found[control.id].where}"
                raise InputError(what, option=f"{control.where}.id", value=control.id, remedy="give every control its own id")
            found[control.id] = control
    if not found:
        raise InputError("have no control in them", option="controls", remedy="name a folder with files of controls")
    return tuple(found[name] for name in sorted(found))


def _read_document(path: str, document: Any) -> tuple[Control, ...]:
    fields = Fields(document, path)
    frameworks = {**FRAMEWORKS, **fields.text_map("frameworks")}
    controls = fields.each("controls", lambda item, where: Control.from_dict(item, where, frameworks))
    fields.finish()
    return controls
