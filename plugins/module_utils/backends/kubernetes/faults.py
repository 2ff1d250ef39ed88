# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API's refusals in our words. What is told of a Secret leaves out the API's text, which may show its data; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import BackendError, ConflictError, ExistsError, FederationError, ForbiddenError, NotFoundError

_LONGEST = 600
# What the API server itself says when the authorizer refuses; any other 403 is an admission plugin's.
_NOT_ALLOWED = re.compile(r"cannot ([a-z]+) (?:resource|path) ")
_MANAGER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Question:
    """What is asked of the API, for messages: ``verb`` as RBAC has it, ``resource`` as kubectl says it (``deployments.apps``)."""

    cluster: str
    verb: str
    resource: str = ""
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        place = f" in namespace {self.namespace}" if self.namespace else ""
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{name}{place}"


def refusal(question: Question, code: int, status: Mapping[str, Any]) -> FederationError:
    """The error for a Status with an HTTP code of 400 or more.

    ConflictErrors of server-side apply have ``details["conflicts"]``: ``[{manager, field}]``.
    """
    reason = str(status.get("reason") or "")
    said = message(status)
    causes = _causes(status)
    if code == 403:
        return _forbidden(question, said)
    if code == 404:
        return NotFoundError(_told(question, status, "does not have it"), remedy="check what is there")
    if code == 409 and reason == "AlreadyExists":
        return ExistsError(f"cluster {question.cluster}: {question}: there is one already", remedy="remove it, or use another name")
    if code == 409:
        return _conflict(question, status, causes)
    error = BackendError(_told(question, status, f"answered {code}"))
    error.details = {"reason": reason, "code": code, "fields": [cause.get("field", "") for cause in causes]}
    return error


def message(status: Mapping[str, Any]) -> str:
    """The API's sentence in one line, shortened."""
    text = " ".join(str(status.get("message") or "").split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _told(question: Question, status: Mapping[str, Any], otherwise: str) -> str:
    if question.resource.partition("/")[0] != "secrets":
        said = message(status) or otherwise
    else:
        fields = ", ".join(str(cause.get("field", "")) for cause in _causes(status))
        said = str(status.get("reason") or otherwise) + (f" ({fields})" if fields else "")
    return f"cluster {question.cluster}: {question}: {said}"


def _causes(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return [cause for cause in causes or () if isinstance(cause, Mapping)]


def _forbidden(question: Question, said: str) -> FederationError:
    found = _NOT_ALLOWED.search(said)
    # A policy, a quota or a namespace on its way out refuses with the same code, and no right would help.
    if found is None and said and "forbidden:" in said:
        secret = question.resource.partition("/")[0] == "secrets"
        why = "was refused by an admission policy" if secret else said
        error: FederationError = BackendError(f"cluster {question.cluster}: {question}: {why}")
        error.details = {"reason": "Forbidden", "code": 403}
        return error
    verb = found[1] if found else question.verb
    place = f" in namespace {question.namespace}" if question.namespace else ""
    name = f" {question.name}" if question.name else ""
    error = ForbiddenError(
        f"cluster {question.cluster}: this user may not {verb} {question.resource}{name}{place}",
        remedy=f"give it the verb {verb} on {question.resource}, or use another kubeconfig",
    )
    error.details = {"verb": verb, "resource": question.resource, "namespace": question.namespace}
    return error


def _conflict(question: Question, status: Mapping[str, Any], causes: list[Mapping[str, Any]]) -> FederationError:
    conflicts = []
    for cause in causes:
        found = _MANAGER.search(str(cause.get("message") or ""))
        if cause.get("reason") == "FieldManagerConflict":
            conflicts.append({"manager": found[1] if found else "", "field": str(cause.get("field") or "")})
    if not conflicts:
        return ConflictError(_told(question, status, "it changed meanwhile"), remedy="run again")
    owners: dict[str, list[str]] = {}
    for conflict in conflicts:
        owners.setdefault(conflict["manager"], []).append(conflict["field"])
    shown = "; ".join(f"{manager} owns {', '.join(fields)}" for manager, fields in owners.items())
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
    error = ConflictError(f"cluster {question.cluster}: {question}: {shown}", remedy="let that owner go, or force the change")
    error.details = {"conflicts": conflicts}
    return error
