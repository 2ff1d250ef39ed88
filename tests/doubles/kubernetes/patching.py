# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The patches that carry no ownership: JSON patch, merge patch, and strategic merge patch for built-in kinds."""

from __future__ import annotations

from typing import Any

from .shapes import Shape
from .statuses import ApiError
from .store import copied

Object = dict[str, Any]


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _pointer(path: str) -> list[str]:
    if path == "":
        return []
    if not path.startswith("/"):
        raise ApiError(422, f"the server rejected our request due to an error in our request: invalid path {path!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _step(where: Any, part: str) -> Any:
    try:
        return where[int(part)] if isinstance(where, list) else where[part]
    except (KeyError, IndexError, ValueError, TypeError):
        raise ApiError(
            422, f"the server rejected our request due to an error in our request: missing path element {part!r}"
        ) from None


def _found(root: Any, parts: list[str]) -> Any:
    for part in parts:
        root = _step(root, part)
    return root


def _removed(root: Any, parts: list[str]) -> Any:
    where = _found(root, parts[:-1])
    value = _step(where, parts[-1])
    if isinstance(where, list):
        del where[int(parts[-1])]
    else:
        del where[parts[-1]]
    return value


def _added(root: Any, parts: list[str], value: Any) -> Any:
    if not parts:
        return value
    where = _found(root, parts[:-1])
    last = parts[-1]
    if isinstance(where, list):
        at = len(where) if last == "-" else int(last) if last.isdigit() else -1
        if not 0 <= at <= len(where):
            raise ApiError(422, f"the server rejected our request due to an error in our request: invalid index {last!r}")
        where.insert(at, value)
    elif isinstance(where, dict):
        where[last] = value
    else:
        raise ApiError(422, f"the server rejected our request due to an error in our request: no place for {last!r}")
    return root


def json_patched(target: Any, operations: Any) -> Any:
    """RFC 6902: all or nothing; 422 when a step does not fit."""
    if not isinstance(operations, list):
        raise ApiError(400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    root = copied(target)
    for each in operations:
        operation, parts = each.get("op"), _pointer(each.get("path", ""))
        if operation == "test":
            try:
                same = _found(root, parts) == each.get("value")
            except ApiError:
                same = each.get("value") is None
            if not same:
                raise ApiError(
                    422, f"the server rejected our request due to an error in our request: testing value {each['path']} failed"
                )
        elif operation == "add":
            root = _added(root, parts, copied(each.get("value")))
        elif operation == "remove":
            _removed(root, parts)
        elif operation == "replace":
            where = _found(root, parts[:-1]) if parts else None
            if not parts:
                root = copied(each.get("value"))
                continue
            _step(where, parts[-1])
            where[int(parts[-1]) if isinstance(where, list) else parts[-1]] = copied(each.get("value"))
        elif operation in ("move", "copy"):
            source = _pointer(each.get("from", ""))
            value = _removed(root, source) if operation == "move" else copied(_found(root, source))
            root = _added(root, parts, value)
        else:
            raise ApiError(400, f"Unexpected kind: {operation}")
    return root


def strategic(target: Any, patch: Any, shape: Shape | None) -> Any:
    """Lists of a known key are merged by it, as their types say; ``$patch`` and its like are obeyed."""
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return _cleaned(patch)
    if patch.get("$patch") == "replace":
        return _cleaned({key: value for key, value in patch.items() if key != "$patch"})
    result = dict(target)
    retained = patch.get("$retainKeys")
    if retained is not None:
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        if key in ("$patch", "$retainKeys") or key.startswith("$setElementOrder/"):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.split("/", 1)[1]
            result[name] = [each for each in result.get(name) or [] if each not in value]
            continue
        inner = shape.field(key) if shape else None
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            if value.get("$patch") == "delete":
                result.pop(key, None)
            else:
                result[key] = strategic(result.get(key) or {}, value, inner)
        elif isinstance(value, list) and inner is not None and inner.merges:
            order = patch.get(f"$setElementOrder/{key}")
            result[key] = _list(list(result.get(key) or []), value, inner, order)
        else:
            result[key] = _cleaned(value)
    return result


def _list(target: list[Any], patch: list[Any], shape: Shape, order: list[Any] | None) -> list[Any]:
    if not shape.merge_key:
        return target + [each for each in patch if each not in target]
    key = shape.merge_key
    if any(isinstance(each, dict) and each.get("$patch") == "replace" for each in patch):
        return [_cleaned(each) for each in patch if each.get("$patch") != "replace"]
    for each in patch:
        if not isinstance(each, dict) or key not in each:
            raise ApiError(400, f"map: {each} does not contain declared merge key: {key}")
        at = next((index for index, old in enumerate(target) if old.get(key) == each[key]), None)
        if each.get("$patch") == "delete":
            if at is not None:
                del target[at]
        elif at is None:
            target.append(_cleaned(each))
        else:
            target[at] = strategic(target[at], each, shape.items)
    if order:
        place = {each.get(key): index for index, each in enumerate(order)}
        target.sort(key=lambda each: place.get(each.get(key), len(place)))
    return target


def _cleaned(value: Any) -> Any:
    """Without nulls and directives, which are words of the patch and not of the object."""
    if isinstance(value, dict):
        return {key: _cleaned(each) for key, each in value.items() if each is not None and not key.startswith("$")}
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    return value
