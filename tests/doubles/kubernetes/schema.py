# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Structural schemas of custom resources: unknown fields are pruned, defaults filled, the rest is validated."""

from __future__ import annotations

import re
from typing import Any

from .statuses import cause, required
from .store import copied

Object = dict[str, Any]
_META = ("apiVersion", "kind", "metadata")


def pruned(value: Any, schema: Object, path: str = "", unknown: list[str] | None = None, root: bool = True) -> Any:
    """The value less what its schema does not know; the paths of that are added to ``unknown``."""
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [pruned(each, items, f"{path}[{index}]", unknown, False) for index, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    keep = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    embedded = root or bool(schema.get("x-kubernetes-embedded-resource"))
    result = {}
    for key, each in value.items():
        where = f"{path}.{key}" if path else key
        if embedded and key in _META:
            result[key] = each
        elif key in properties:
            result[key] = pruned(each, properties[key], where, unknown, False)
        elif isinstance(additional, dict):
            result[key] = pruned(each, additional, where, unknown, False)
        elif keep or additional is True:
            result[key] = each
        elif unknown is not None:
            unknown.append(where)
    return result


def defaulted(value: Any, schema: Object) -> Any:
    """In place."""
    if isinstance(value, dict):
        for key, inner in (schema.get("properties") or {}).items():
            if "default" in inner and (key not in value or (value[key] is None and not inner.get("nullable"))):
                value[key] = copied(inner["default"])
            if key in value:
                defaulted(value[key], inner)
        if isinstance(schema.get("additionalProperties"), dict):
            for each in value.values():
                defaulted(each, schema["additionalProperties"])
    elif isinstance(value, list):
        for each in value:
            defaulted(each, schema.get("items") or {})
    return value


def _kind_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]


def _bounds(value: Any, schema: Object, path: str) -> list[Object]:
    found = []
    rules = (
        ("minimum", lambda limit: value < limit, "should be greater than or equal to {}"),
        ("maximum", lambda limit: value > limit, "should be less than or equal to {}"),
        ("minLength", lambda limit: len(value) < limit, "should be at least {} chars long"),
        ("maxLength", lambda limit: len(value) > limit, "may not be more than {} bytes"),
        ("minItems", lambda limit: len(value) < limit, "should have at least {} items"),
        ("maxItems", lambda limit: len(value) > limit, "must have at most {} items"),
        ("pattern", lambda limit: not re.search(limit, value), "should match '{}'"),
    )
    for name, broken, text in rules:
        if name in schema and broken(schema[name]):
            found.append(cause("FieldValueInvalid", f"Invalid value: {value!r}: {path} in body {text.format(schema[name])}", path))
    if schema.get("enum") and value not in schema["enum"]:
        allowed = ", ".join(f'"{each}"' for each in schema["enum"])
        found.append(cause("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {allowed}', path))
    return found


def causes(value: Any, schema: Object, path: str = "") -> list[Object]:
    """What is wrong with a value, each as a cause of an Invalid."""
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        wanted = "string" if isinstance(value, str) else "integer"
    kind = _kind_of(value)
    if value is None and (schema.get("nullable") or not wanted):
        return []
    if wanted and kind != wanted and not (wanted == "number" and kind == "integer"):
        text = f'Invalid value: "{kind}": {path or "<nil>"} in body must be of type {wanted}: "{kind}"'
        return [cause("FieldValueTypeInvalid", text, path or "<nil>")]
    found = _bounds(value, schema, path)
    if isinstance(value, dict):
        for name in schema.get("required") or []:
            if name not in value:
                found.append(required(f"{path}.{name}" if path else name))
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, each in value.items():
            inner = properties.get(key, additional)
            if isinstance(inner, dict) and not (not path and key in _META):
                found += causes(each, inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += causes(each, schema.get("items") or {}, f"{path}[{index}]")
        found += _doubles(value, schema, path)
    return found


def _doubles(value: list[Any], schema: Object, path: str) -> list[Object]:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    if kind not in ("set", "map"):
        return []
    seen, found = [], []
    for index, each in enumerate(value):
        key = each if kind == "set" else [each.get(name) for name in keys] if isinstance(each, dict) else each
        if key in seen:
            found.append(cause("FieldValueDuplicate", f"Duplicate value: {key}", f"{path}[{index}]"))
        seen.append(key)
    return found
