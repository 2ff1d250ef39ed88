# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWX accepts: required fields, references, choices and formats, by the documented behaviour of its API version 2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

NOTIFIED = {f"notification_templates_{one}": "notification_templates" for one in ("started", "success", "error")}
APPROVED = {**NOTIFIED, "notification_templates_approvals": "notification_templates"}
NEXT = {f"{one}_nodes": "workflow_job_template_nodes" for one in ("success", "failure", "always")}


@dataclass(frozen=True)
class Kind:
    """``defaults`` are the fields that can be written; ``refers`` names the list in which a field's number is looked for."""

    type: str
    defaults: dict[str, Any]
    required: tuple[str, ...] = ("name",)
    refers: dict[str, str] = field(default_factory=dict)
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unique: tuple[str, ...] = ("name", "organization")
    related: dict[str, str] = field(default_factory=dict)


NAMED = {"name": "", "description": ""}
IN_ORGANIZATION = {**NAMED, "organization": None}
OF_ORGANIZATION = {"organization": "organizations"}
ORGANIZATION = Kind("organization", {**NAMED, "max_hosts": 0, "default_environment": None}, unique=("name",), related=APPROVED)
JOB_DEFAULTS = {
    **IN_ORGANIZATION,
    **{"job_type": "run", "inventory": None, "project": None, "playbook": "", "execution_environment": None, "extra_vars": ""},
    **{"survey_enabled": False, "ask_variables_on_launch": False, "ask_inventory_on_launch": False, "limit": "", "verbosity": 0},
}

KINDS = {
    "organizations": ORGANIZATION,
    "credential_types": Kind(
        "credential_type",
        {**NAMED, "kind": "", "inputs": {}, "injectors": {}, "managed": False},
        required=("name", "kind"),
        choices={"kind": ("cloud", "net")},
        unique=("name",),
    ),
    "credentials": Kind(
        "credential",
        {**IN_ORGANIZATION, "credential_type": None, "inputs": {}},
        required=("name", "credential_type"),
        refers={**OF_ORGANIZATION, "credential_type": "credential_types"},
        unique=("name", "organization", "credential_type"),
    ),
    "execution_environments": Kind(
        "execution_environment",
        {**IN_ORGANIZATION, "image": "", "pull": "", "credential": None},
        required=("name", "image"),
        refers={**OF_ORGANIZATION, "credential": "credentials"},
        choices={"pull": ("", "always", "missing", "never")},
        unique=("name",),
    ),
    "notification_templates": Kind(
        "notification_template",
        {**IN_ORGANIZATION, "notification_type": "", "notification_configuration": {}, "messages": None},
        required=("name", "organization", "notification_type"),
        refers=OF_ORGANIZATION,
        choices={"notification_type": ("email", "webhook", "mattermost", "slack")},
    ),
    "projects": Kind(
        "project",
        {
            **IN_ORGANIZATION,
            **{"scm_type": "", "scm_url": "", "scm_branch": "", "scm_update_on_launch": False, "scm_update_cache_timeout": 0},
            **{"credential": None, "default_environment": None, "allow_override": False, "scm_revision": ""},
        },
        refers={**OF_ORGANIZATION, "credential": "credentials", "default_environment": "execution_environments"},
        choices={"scm_type": ("", "git", "svn", "archive", "insights")},
        related=NOTIFIED,
    ),
    "inventories": Kind(
        "inventory",
        {**IN_ORGANIZATION, "kind": "", "host_filter": None, "variables": ""},
        required=("name", "organization"),
        refers=OF_ORGANIZATION,
        choices={"kind": ("", "smart", "constructed")},
    ),
    "inventory_sources": Kind(
        "inventory_source",
        {
            **NAMED,
            **{"inventory": None, "source": "", "source_project": None, "source_path": "", "source_vars": "", "credential": None},
            **{"execution_environment": None, "overwrite": False, "overwrite_vars": False, "update_on_launch": False},
            **{"update_cache_timeout": 0, "scm_branch": "", "organization": None},
        },
        required=("name", "inventory", "source"),
        refers={
            **{"inventory": "inventories", "source_project": "projects", "credential": "credentials"},
            "execution_environment": "execution_environments",
        },
        unique=("name", "inventory"),
        related=NOTIFIED,
    ),
    "job_templates": Kind(
        "job_template",
        JOB_DEFAULTS,
        required=("name", "project", "playbook"),
        refers={"inventory": "inventories", "project": "projects", "execution_environment": "execution_environments"},
        choices={"job_type": ("run", "check")},
        related={**NOTIFIED, "credentials": "credentials"},
    ),
    "workflow_job_templates": Kind(
        "workflow_job_template",
        {**IN_ORGANIZATION, "extra_vars": "", "survey_enabled": False, "inventory": None, "ask_variables_on_launch": False},
        refers={**OF_ORGANIZATION, "inventory": "inventories"},
        related=APPROVED,
    ),
    "workflow_job_template_nodes": Kind(
        "workflow_job_template_node",
        {
            "identifier": "",
            "workflow_job_template": None,
            "unified_job_template": None,
            "extra_data": {},
            "all_parents_must_converge": False,
        },
        required=("workflow_job_template",),
        refers={"workflow_job_template": "workflow_job_templates", "unified_job_template": "unified_job_templates"},
        unique=("identifier", "workflow_job_template"),
        related={**NEXT, "credentials": "credentials"},
    ),
    "workflow_approval_templates": Kind("workflow_approval_template", {**NAMED, "timeout": 0}, unique=()),
    "schedules": Kind(
        "schedule",
        {**NAMED, "rrule": "", "enabled": True, "unified_job_template": None, "extra_data": {}, "inventory": None},
        required=("name", "rrule", "unified_job_template"),
        refers={"unified_job_template": "unified_job_templates", "inventory": "inventories"},
        unique=("name", "unified_job_template"),
        related={"credentials": "credentials"},
    ),
}
UNIFIED = ("projects", "inventory_sources", "job_templates", "workflow_job_templates", "workflow_approval_templates")
QUESTIONS = ("text", "textarea", "password", "integer", "float", "multiplechoice", "multiselect")
RRULE = re.compile(
    r"DTSTART(;TZID=[A-Za-z/_]+:\d{8}T\d{6}|:\d{8}T\d{6}Z) RRULE:FREQ=(MINUTELY|HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY)(;[A-Z]+=[A-Z0-9,+-]+)*"
)


def survey_fault(spec: Any) -> str:
    """Why AWX would refuse the survey; empty where it takes it."""
    return next(_survey_faults(spec), "")


def _survey_faults(spec: Any) -> Iterator[str]:
    if not isinstance(spec, dict) or not all(isinstance(spec.get(key), str) for key in ("name", "description")):
        yield "name and description are missing from survey spec"
        return
    if not isinstance(spec.get("spec"), list) or not spec["spec"]:
        yield "spec is missing from survey spec, or is empty"
        return
    seen: set[str] = set()
    for number, item in enumerate(spec["spec"]):
        missing = [key for key in ("question_name", "type", "variable", "required") if key not in item]
        if missing:
            yield f"survey question {number} has no {missing[0]}"
            return
        if item["type"] not in QUESTIONS:
            yield f"'{item['type']}' in survey question {number} is not one of {QUESTIONS}"
        if item["variable"] in seen or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", item["variable"]):
            yield f"'variable' '{item['variable']}' in survey question {number} is duplicated or no variable"
        seen.add(item["variable"])
        fault = _question_fault(number, item)
        if fault:
            yield fault


def _question_fault(number: int, item: dict[str, Any]) -> str:
    default = item.get("default", "")
    for key in ("min", "max"):
        if key in item and not isinstance(item[key], int):
            return f"{key} of survey question {number} must be an integer"
    if item["type"] in ("multiplechoice", "multiselect"):
        if not item.get("choices") or not all(isinstance(one, str) for one in item["choices"]):
            return f"survey question {number} must specify choices, as strings"
        if default and default not in item["choices"]:
            return f"the default of survey question {number} is none of its choices"
    if item["type"] == "integer" and default != "" and not isinstance(default, int):
        return f"the default of survey question {number} must be an integer"
    if item["type"] in ("text", "textarea") and not isinstance(default, str):
        return f"the default of survey question {number} must be a string"
    return ""


def credential_type_fault(fields: dict[str, Any]) -> str:
    """Why AWX would refuse inputs and injectors; empty where it takes them."""
    return next(_credential_type_faults(fields), "")


def _credential_type_faults(fields: dict[str, Any]) -> Iterator[str]:
    declared: dict[str, dict[str, Any]] = {}
    for one in fields["inputs"].get("fields", []):
        if set(one) - {"id", "label", "type", "secret", "multiline", "format", "help_text", "choices", "default"} or not {
            "id",
            "label",
        } <= set(one):
            yield f"{one} is no input"
            return
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", one["id"]) or one["id"] == "tower" or one["id"] in declared:
            yield f"{one['id']} is no name of an input, or stands twice"
        declared[one["id"]] = one
    if set(fields["inputs"].get("required", [])) - set(declared):
        yield "what is required is no input"
    injectors = fields["injectors"]
    files = injectors.get("file", {})
    names = {key.partition(".")[2] for key in files}
    if set(injectors) - {"file", "env", "extra_vars"} or any(not re.fullmatch(r"template(\.[a-z_]+)?", key) for key in files):
        yield "injectors are file, env and extra_vars; files are template or template.NAME"
    if "" in names and len(names) > 1:
        yield "one file is template, several are template.NAME"
    known = set(declared) | {f"tower.filename.{one}" if one else "tower.filename" for one in names}
    for text in [*files.values(), *injectors.get("env", {}).values(), *injectors.get("extra_vars", {}).values()]:
        for used in re.findall(r"{{\s*([a-z_.]+)\s*}}", text):
            if used not in known:
                yield f"{used} is undefined"
    if any(not re.fullmatch(r"[A-Z_][A-Z0-9_]*", key) for key in injectors.get("env", {})):
        yield "env has a name that is none"
