# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Label and field selectors, as ``labelSelector``, ``fieldSelector`` and the selectors inside objects have them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .statuses import ApiError

Object = dict[str, Any]
Test = Callable[[Object], bool]

_KEY = r"[A-Za-z0-9]([A-Za-z0-9./_-]*[A-Za-z0-9])?"
_SET = re.compile(rf"^\s*(?P<key>{_KEY})\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)\s*$")
_EQUAL = re.compile(rf"^\s*(?P<key>{_KEY})\s*(?P<operator>==|!=|=)\s*(?P<value>[A-Za-z0-9._-]*)\s*$")
_EXISTS = re.compile(rf"^\s*(?P<no>!?)\s*(?P<key>{_KEY})\s*$")

# Which fields a kind can be chosen by; metadata.name and metadata.namespace go for all.
_FIELDS = {
    "Pod": ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase", "status.podIP",
            "status.nominatedNodeName", "spec.hostNetwork"),
    "Event": ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "reason", "type",
              "source", "reportingComponent", "involvedObject.apiVersion", "involvedObject.resourceVersion",
              "involvedObject.fieldPath"),
    "Secret": ("type",),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "ReplicaSet": ("status.replicas",),
    "ReplicationController": ("status.replicas",),
    "Job": ("status.successful",),
    "Service": ("spec.clusterIP", "spec.type"),
}  # fmt: skip


def _split(text: str) -> list[str]:
    """At the commas outside of parentheses."""
    return [part for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label_test(text: str) -> Callable[[dict[str, str]], bool]:
    found = _SET.match(text)
    if found:
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["operator"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    found = _EQUAL.match(text)
    if found:
        key, value = found["key"], found["value"]
        if found["operator"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    found = _EXISTS.match(text)
    if found:
        key, wanted = found["key"], not found["no"]
        return lambda labels: (key in labels) is wanted
    raise ApiError(400, f"unable to parse requirement: found '{text}', expected: a label selector")


def by_labels(text: str) -> Test | None:
    """None when everything is chosen."""
    tests = [_label_test(part) for part in _split(text)]
    if not tests:
        return None
    return lambda obj: all(test(obj["metadata"].get("labels") or {}) for test in tests)


def field_of(obj: Object, path: str) -> str:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def by_fields(text: str, kind: str, selectable: tuple[str, ...] = ()) -> Test | None:
    """``selectable``: the ``selectableFields`` of a custom resource. 400 for a field that the kind cannot be chosen by."""
    tests: list[tuple[str, bool, str]] = []
    for part in _split(text):
        found = re.match(r"^\s*([^=!\s]+)\s*(==|!=|=)\s*(.*?)\s*$", part)
        if not found:
            raise ApiError(400, f"invalid selector: '{part}'; can't understand '{part}'")
        path = found[1]
        if path not in ("metadata.name", "metadata.namespace", *_FIELDS.get(kind, ()), *selectable):
            raise ApiError(400, f'field label not supported: "{path}"')
        tests.append((path, found[2] != "!=", found[3]))
    if not tests:
        return None
    return lambda obj: all((field_of(obj, path) == value) is same for path, same, value in tests)


def both(labels: Test | None, fields: Test | None) -> Test | None:
    if labels and fields:
        return lambda obj: labels(obj) and fields(obj)
    return labels or fields


def chosen(selector: Object | None, labels: dict[str, str] | None) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) takes these labels; None takes nothing, an empty one all."""
    if selector is None:
        return False
    labels = labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for each in selector.get("matchExpressions") or []:
        key, operator, values = each["key"], each["operator"], each.get("values") or []
        good = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not good.get(operator, False):
            return False
    return True
