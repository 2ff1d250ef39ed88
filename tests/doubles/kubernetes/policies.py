# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""ValidatingAdmissionPolicies: whether one that is bound refuses a request. Of expressions, only ``false`` is known."""

from __future__ import annotations

from typing import Any

from .kinds import Kind
from .statuses import ApiError
from .store import Store

Object = dict[str, Any]
_GROUP = "admissionregistration.k8s.io"
_OPERATIONS = {"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE", "deletecollection": "DELETE"}


def check(store: Store, verb: str, kind: Kind, namespace: str, name: str, subresource: str) -> None:
    """422 when a policy denies it. Policies and their bindings are never subject to one."""
    operation = _OPERATIONS.get(verb)
    if operation is None or (kind.group == _GROUP and kind.plural.startswith("validatingadmission")):
        return
    for binding in store.objects((_GROUP, "validatingadmissionpolicybindings")):
        policy = store.get((_GROUP, "validatingadmissionpolicies"), "", binding["spec"]["policyName"])
        if policy is None or "Deny" not in binding["spec"].get("validationActions", []):
            continue
        spec = policy.obj["spec"]
        if not _matches(spec["matchConstraints"], operation, kind, subresource) or _elsewhere(store, spec, kind, namespace):
            continue
        for validation in spec.get("validations") or []:
            if validation["expression"] != "false":
                raise AssertionError(f"the double knows no expression {validation['expression']}")
            title = policy.obj["metadata"]["name"]
            told = f"ValidatingAdmissionPolicy '{title}' with binding '{binding['metadata']['name']}' denied request"
            why = f'{kind.plural} "{name}" is forbidden: {told}: {validation.get("message", "failed expression: false")}'
            raise ApiError(422, why, details={"name": name, "group": kind.group, "kind": kind.plural})


def _matches(constraints: Object, operation: str, kind: Kind, subresource: str) -> bool:
    def among(rules: list[Object]) -> bool:
        return any(_rule(rule, operation, kind, subresource) for rule in rules)

    return among(constraints.get("resourceRules") or []) and not among(constraints.get("excludeResourceRules") or [])


def _rule(rule: Object, operation: str, kind: Kind, subresource: str) -> bool:
    def has(key: str, value: str) -> bool:
        return "*" in rule[key] or value in rule[key]

    names = {"*/*", f"{kind.plural}/*", f"*/{subresource}" if subresource else "*"}
    names.add(f"{kind.plural}/{subresource}" if subresource else kind.plural)
    return has("apiGroups", kind.group) and has("operations", operation) and bool(names & set(rule["resources"]))


def _elsewhere(store: Store, spec: Object, kind: Kind, namespace: str) -> bool:
    """Whether the namespace is one that the policy does not choose. What is in none is never left out."""
    if not kind.namespaced:
        return False
    found = store.get(("", "namespaces"), "", namespace)
    labels = (found.obj["metadata"].get("labels") or {}) if found else {}
    rules = (spec["matchConstraints"].get("namespaceSelector") or {}).get("matchExpressions") or []
    for rule in rules:
        inside = labels.get(rule["key"]) in rule.get("values", [])
        if {"In": not inside, "NotIn": inside}[rule["operator"]]:
            return True
    return False
