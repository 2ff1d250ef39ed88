# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of an AWX that exists in memory only: lists, filters, references, secrets that are never shown, related lists."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from .rules import KINDS, RRULE, UNIFIED, Kind, credential_type_fault, survey_fault

SECRET = "$encrypted$"
BASE = "/api/v2"
BUILT_IN = {
    "Machine": ({"username": False, "password": True, "ssh_key_data": True, "become_password": True}, "ssh"),
    "Source Control": ({"username": False, "password": True, "ssh_key_data": True}, "scm"),
}


class Refused(Exception):
    """A status, and the body that goes with it."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body))
        self.status, self.body = status, body


class Store:
    """``playbooks`` are those that a project of git has once it was updated; ``writes`` counts what changed."""

    def __init__(self, playbooks: Iterable[str]) -> None:
        self.playbooks = set(playbooks)
        self.writes = 0
        self._numbers = itertools.count(1)
        self._kinds: dict[int, str] = {}
        self._objects: dict[int, dict[str, Any]] = {}
        self._surveys: dict[int, dict[str, Any]] = {}
        self._related: dict[tuple[int, str], list[int]] = {}
        for name, (inputs, kind) in BUILT_IN.items():
            fields = [{"id": one, "label": one, "type": "string", "secret": secret} for one, secret in inputs.items()]
            self._keep(
                "credential_types",
                {**KINDS["credential_types"].defaults, "name": name, "kind": kind, "inputs": {"fields": fields}, "managed": True},
            )

    def listed(self, plural: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """In order of their numbers; a filter on what is no field is refused."""
        members = [
            number
            for number, kind in self._kinds.items()
            if kind == plural or (plural == "unified_job_templates" and kind in UNIFIED)
        ]
        shown = [self.shown(number) for number in members]
        either = {key[4:]: value for key, value in query.items() if key.startswith("or__")}
        both = {key: value for key, value in query.items() if not key.startswith("or__") and key not in ("page", "page_size")}
        for key in [*either, *both]:
            if not plural.startswith("unified") and key not in ("id", "type", *KINDS[plural].defaults):
                raise Refused(400, {"detail": f"{plural} has no field named '{key}'"})
        shown = [one for one in shown if all(_text(one.get(key)) == value for key, value in both.items())]
        return [one for one in shown if not either or any(_text(one.get(key)) == value for key, value in either.items())]

    def shown(self, number: int) -> dict[str, Any]:
        """As the API shows it; Refused with 404 where there is none."""
        plural, fields = self._of(number)
        url = f"{BASE}/{plural}/{number}/"
        related = {name: f"{url}{name}/" for name in KINDS[plural].related}
        if plural in ("job_templates", "workflow_job_templates"):
            related["survey_spec"] = f"{url}survey_spec/"
        if plural == "workflow_job_template_nodes" and fields["unified_job_template"]:
            related["unified_job_template"] = (
                f"{BASE}/{self._kinds[fields['unified_job_template']]}/{fields['unified_job_template']}/"
            )
        summary: dict[str, Any] = {"current_update": {"id": number}} if plural == "projects" and fields["scm_type"] else {}
        return {
            "id": number,
            "type": KINDS[plural].type,
            "url": url,
            "related": related,
            "summary_fields": summary,
            **self._without_secrets(plural, fields),
        }

    def create(self, plural: str, given: Mapping[str, Any]) -> dict[str, Any]:
        if plural not in KINDS:
            raise Refused(404, {"detail": "Not found."})
        kind = KINDS[plural]
        fields = {**kind.defaults, **{key: value for key, value in given.items() if key in kind.defaults}}
        self._check(plural, kind, fields, None)
        return self.shown(self._keep(plural, fields))

    def change(self, number: int, given: Mapping[str, Any]) -> dict[str, Any]:
        plural, before = self._of(number)
        kind = KINDS[plural]
        fields = {**before, **{key: value for key, value in given.items() if key in kind.defaults}}
        if plural == "inventories" and fields["kind"] is None:
            raise Refused(400, {"kind": ["This field may not be null."]})
        for name in ("inputs", "notification_configuration"):
            if isinstance(fields.get(name), dict):
                fields[name] = {key: before[name].get(key) if value == SECRET else value for key, value in fields[name].items()}
        self._check(plural, kind, fields, number)
        self.writes += fields != before
        self._objects[number] = fields
        return self.shown(number)

    def related(self, number: int, name: str) -> list[dict[str, Any]]:
        plural, _fields = self._of(number)
        if name not in KINDS[plural].related:
            raise Refused(404, {"detail": "Not found."})
        return [self.shown(one) for one in self._related.get((number, name), [])]

    def relate(self, number: int, name: str, given: Mapping[str, Any]) -> None:
        there = [one["id"] for one in self.related(number, name)]
        other, wanted = given.get("id"), KINDS[self._kinds[number]].related[name]
        if self._kinds.get(other if isinstance(other, int) else 0) != wanted:
            raise Refused(400, {"msg": f"{other} is none of {wanted}"})
        if given.get("disassociate"):
            there = [one for one in there if one != other]
        elif other not in there:
            self._check_kind_of_credential(name, there, int(other or 0))
            there.append(int(other or 0))
        self._related[number, name] = there
        self.writes += 1

    def survey(self, number: int, spec: Any = None) -> dict[str, Any]:
        self._of(number)
        if spec is not None:
            fault = survey_fault(spec)
            if fault:
                raise Refused(400, {"error": fault})
            self._surveys[number] = spec
            self.writes += 1
        return self._surveys.get(number, {})

    def approve(self, number: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """The approval template of a node that has no template yet."""
        plural, fields = self._of(number)
        if plural != "workflow_job_template_nodes" or fields["unified_job_template"]:
            raise Refused(400, {"detail": "the node has a template already"})
        made = self.create("workflow_approval_templates", given)
        self._objects[number] = {**fields, "unified_job_template": made["id"]}
        return made

    def _of(self, number: int) -> tuple[str, dict[str, Any]]:
        if number not in self._objects:
            raise Refused(404, {"detail": "Not found."})
        return self._kinds[number], self._objects[number]

    def _keep(self, plural: str, fields: dict[str, Any]) -> int:
        number = next(self._numbers)
        self._kinds[number], self._objects[number] = plural, fields
        self.writes += 1
        return number

    def _check(self, plural: str, kind: Kind, fields: Mapping[str, Any], number: int | None) -> None:
        for name in kind.required:
            if fields[name] in ("", None):
                raise Refused(400, {name: ["This field is required."]})
        for name, choices in kind.choices.items():
            if fields[name] not in choices:
                raise Refused(400, {name: [f'"{fields[name]}" is not a valid choice.']})
        for name, plural_of in kind.refers.items():
            found = self._kinds.get(fields[name]) if fields[name] is not None else plural_of
            if found != plural_of and not (plural_of == "unified_job_templates" and found in UNIFIED):
                raise Refused(400, {name: [f'Invalid pk "{fields[name]}" - object does not exist.']})
        for other, its in self._objects.items():
            if (
                other != number
                and self._kinds[other] == plural
                and kind.unique
                and all(its.get(one) == fields.get(one) for one in kind.unique)
            ):
                raise Refused(400, {"__all__": [f"{kind.type} with this {' and '.join(kind.unique)} already exists."]})
        getattr(self, f"_check_{plural}", lambda _fields: None)(fields)

    def _check_credential_types(self, fields: Mapping[str, Any]) -> None:
        fault = credential_type_fault(dict(fields))
        if fault:
            raise Refused(400, {"injectors": [fault]})

    def _check_credentials(self, fields: Mapping[str, Any]) -> None:
        known = {one["id"] for one in self._objects[fields["credential_type"]]["inputs"].get("fields", [])}
        if set(fields["inputs"]) - known:
            raise Refused(400, {"inputs": [f"Additional properties are not allowed ({sorted(set(fields['inputs']) - known)})"]})

    def _check_job_templates(self, fields: Mapping[str, Any]) -> None:
        if fields["playbook"] not in self.playbooks:
            raise Refused(400, {"playbook": [f"Playbook not found for project: {fields['playbook']}"]})
        if fields["inventory"] is None and not fields["ask_inventory_on_launch"]:
            raise Refused(400, {"inventory": ["Job Template must provide 'inventory' or allow prompting for it."]})

    def _check_inventory_sources(self, fields: Mapping[str, Any]) -> None:
        if fields["source"] == "scm" and not (fields["source_project"] and fields["source_path"]):
            raise Refused(400, {"source_project": ["Project required for scm type sources."]})
        if fields["credential"] and self._type_of_credential(fields["credential"])["kind"] in ("ssh", "scm", "vault"):
            raise Refused(
                400,
                {"credential": ["Credentials of type machine, source control and vault are disallowed for scm inventory sources."]},
            )

    def _check_schedules(self, fields: Mapping[str, Any]) -> None:
        if not RRULE.fullmatch(fields["rrule"]):
            raise Refused(400, {"rrule": ["rrule parsing failed validation"]})

    def _check_kind_of_credential(self, name: str, there: Iterable[int], number: int) -> None:
        if name == "credentials" and self._type_of_credential(number) in [self._type_of_credential(one) for one in there]:
            raise Refused(400, {"error": "Cannot assign multiple credentials of one type."})

    def _type_of_credential(self, number: int) -> dict[str, Any]:
        return self._objects[self._objects[number]["credential_type"]]

    def _without_secrets(self, plural: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        shown = dict(fields)
        if plural == "credentials":
            kinds = self._objects[fields["credential_type"]]["inputs"]["fields"]
            secret = {one["id"] for one in kinds if one.get("secret")}
            shown["inputs"] = {key: SECRET if key in secret and value else value for key, value in fields["inputs"].items()}
        if plural == "notification_templates" and fields["notification_configuration"].get("password"):
            shown["notification_configuration"] = {**fields["notification_configuration"], "password": SECRET}
        return shown


def _text(value: Any) -> str:
    return "" if value is None else str(value)
