# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API's refusals in our words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.faults import Question, refusal
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import (
    BackendError,
    ConflictError,
    ExistsError,
    ForbiddenError,
    NotFoundError,
)

APPLY = Question("es", "patch", "deployments.apps", "web", "shop")
SECRET = Question("es", "patch", "secrets", "login", "shop")


def status(message: str, reason: str = "", **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "message": message, "reason": reason, "details": details}


def test_the_authorizer_is_named_with_verb_and_resource() -> None:
    said = 'deployments.apps "web" is forbidden: User "u" cannot patch resource "deployments" in API group "apps" in the namespace "shop"'
    error = refusal(APPLY, 403, status(said))
    assert isinstance(error, ForbiddenError)
    assert str(error) == (
        "cluster es: this user may not patch deployments.apps web in namespace shop; "
        "give it the verb patch on deployments.apps, or use another kubeconfig"
    )
    assert error.details == {"verb": "patch", "resource": "deployments.apps", "namespace": "shop"}


def test_a_quota_is_no_lack_of_rights() -> None:
    error = refusal(APPLY, 403, status('pods "web" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3'))
    assert error.__class__ is BackendError and "exceeded quota: small" in str(error)


def test_owners_of_fields_are_named() -> None:
    causes = [
        {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl" using apps/v1', "field": field}
        for field in (".spec.replicas", ".spec.paused")
    ]
    error = refusal(APPLY, 409, status("Apply failed with 2 conflicts", "Conflict", causes=causes))
    assert isinstance(error, ConflictError)
    assert "kubectl owns .spec.replicas, .spec.paused" in str(error)
    assert error.details["conflicts"][0] == {"manager": "kubectl", "field": ".spec.replicas"}


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (404, "NotFound", NotFoundError),
        (409, "AlreadyExists", ExistsError),
        (409, "Conflict", ConflictError),
        (422, "Invalid", BackendError),
    ],
)
def test_classes(code: int, reason: str, kind: type[Exception]) -> None:
    assert refusal(APPLY, code, status("said", reason)).__class__ is kind


@pytest.mark.parametrize("code", [400, 403, 404, 409, 422, 500])
def test_what_a_secret_holds_is_never_told(code: int) -> None:
    causes = [{"reason": "FieldValueInvalid", "message": 'Invalid value: "hunter2"', "field": "data[password]"}]
    error = refusal(SECRET, code, status('Secret "login" is forbidden: data[password]: "hunter2"', "Invalid", causes=causes))
    assert "hunter2" not in f"{error} {error.to_dict()} {error.details}"
    assert "secrets login" in str(error)


def test_a_long_message_is_shortened() -> None:
    assert len(str(refusal(APPLY, 500, status("x" * 5000)))) < 800
