# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets of fields as ``fieldsV1`` writes them: nested maps of ``f:NAME``, ``k:{keys}`` and ``v:value``.

In memory every member has the key ``.``; on the wire a member without children is ``{}``.
"""

from __future__ import annotations

import json
from typing import Any

from .shapes import Shape

Set = dict[str, Any]
MEMBER = "."
_PLAIN = Shape()
# Fields that an empty object already has, so that nobody comes to own them by filling them.
_ALWAYS = ("metadata", "spec", "status", "template", "containers", "strategy", "updateStrategy", "roleRef")


def load(fields: Set | None) -> Set:
    if not fields:
        return {MEMBER: True}
    return {key: True if key == MEMBER else load(value) for key, value in fields.items()}


def loaded(fields: Set | None) -> Set:
    """A whole set: an empty one has no members."""
    return load(fields) if fields else {}


def dump(node: Set) -> Set:
    if len(node) == 1 and MEMBER in node:
        return {}
    return {key: {} if key == MEMBER else dump(node[key]) for key in sorted(node)}


def element(item: Any, shape: Shape) -> str:
    """The path element of an item of a list that merges."""
    if shape.relation == "set":
        return "v:" + json.dumps(item, separators=(",", ":"))
    inner = shape.items or _PLAIN
    keys = {key: item.get(key, inner.defaults.get(key)) for key in sorted(shape.keys)}
    return "k:" + json.dumps({key: value for key, value in keys.items() if value is not None}, separators=(",", ":"))


def of(value: Any, shape: Shape | None, parents: bool = False) -> Set:
    """All that a value sets. ``parents``: the maps and lists that hold it too, as for what an update adds."""
    shape = shape or _PLAIN
    node: Set = {MEMBER: True} if parents else {}
    if isinstance(value, dict) and value and shape.relation != "atomic":
        for key, each in value.items():
            child = of(each, shape.field(key), parents)
            if shape.free:
                child[MEMBER] = True
            if child:
                node["f:" + key] = child
        return node
    if isinstance(value, list) and shape.merges:
        for each in value:
            child = of(each, shape.items, parents) if shape.relation == "map" else {}
            child[MEMBER] = True
            node[element(each, shape)] = child
        return node
    return {MEMBER: True}


def compared(old: Any, new: Any, shape: Shape | None) -> tuple[Set, Set]:
    """``(changed or added, removed)``."""
    shape = shape or _PLAIN
    changed: Set = {}
    removed: Set = {}
    if old == new:
        return changed, removed
    if isinstance(old, dict) and isinstance(new, dict) and shape.relation != "atomic":
        before = {("f:" + key): (value, shape.field(key)) for key, value in old.items()}
        after = {("f:" + key): (value, shape.field(key)) for key, value in new.items()}
        for key in _ALWAYS:
            name = "f:" + key
            if name in after and name not in before and isinstance(after[name][0], (dict, list)):
                before[name] = (type(after[name][0])(), after[name][1])
    elif isinstance(old, list) and isinstance(new, list) and shape.merges:
        before = {element(each, shape): (each, shape.items) for each in old}
        after = {element(each, shape): (each, shape.items) for each in new}
    else:
        return {MEMBER: True}, removed
    for key, (value, inner) in after.items():
        if key not in before:
            child = of(value, inner, parents=True)
            child[MEMBER] = True
            changed[key] = child
            continue
        more, less = compared(before[key][0], value, inner)
        if more:
            changed[key] = more
        if less:
            removed[key] = less
    for key, (value, inner) in before.items():
        if key not in after:
            child = of(value, inner, parents=True)
            child[MEMBER] = True
            removed[key] = child
    return changed, removed


def union(one: Set, other: Set) -> Set:
    if not one or not other:
        return one or other
    result = dict(one)
    for key, value in other.items():
        result[key] = True if key == MEMBER else union(result[key], value) if key in result else value
    return result


def difference(one: Set, other: Set) -> Set:
    if not other:
        return one
    result: Set = {}
    for key, value in one.items():
        if key == MEMBER:
            if MEMBER not in other:
                result[key] = True
        elif key in other:
            child = difference(value, other[key])
            if child:
                result[key] = child
        else:
            result[key] = value
    return result


def intersection(one: Set, other: Set) -> Set:
    result: Set = {}
    for key, value in one.items():
        if key not in other:
            continue
        if key == MEMBER:
            result[key] = True
        else:
            child = intersection(value, other[key])
            if child:
                result[key] = child
    return result


def paths(node: Set, prefix: str = "") -> list[str]:
    """As messages say them: ``.spec.containers[name="app"].image``."""
    found = [prefix] if MEMBER in node and prefix else []
    for key in sorted(node):
        if key == MEMBER:
            continue
        if key.startswith("f:"):
            step = "." + key[2:]
        elif key.startswith("v:"):
            step = f"[={key[2:]}]"
        else:
            step = "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in json.loads(key[2:]).items()) + "]"
        found.extend(paths(node[key], prefix + step))
    return found


def merged(live: Any, applied: Any, shape: Shape | None) -> Any:
    """The live value with what is applied; a null takes a field away."""
    shape = shape or _PLAIN
    if isinstance(applied, dict):
        result = dict(live) if isinstance(live, dict) and shape.relation != "atomic" else {}
        for key, value in applied.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merged(result.get(key), value, shape.field(key))
        return result
    if isinstance(applied, list) and isinstance(live, list) and shape.merges:
        result_list = list(live)
        places = {element(each, shape): index for index, each in enumerate(live)}
        for each in applied:
            name = element(each, shape)
            if name not in places:
                places[name] = len(result_list)
                result_list.append(merged(None, each, shape.items))
            elif shape.relation == "map":
                result_list[places[name]] = merged(result_list[places[name]], each, shape.items)
        return result_list
    if isinstance(applied, list):
        return [merged(None, each, shape.items) for each in applied]
    return applied


def without(value: Any, gone: Set, kept: Set, shape: Shape | None) -> Any:
    """The value less the fields in ``gone``, but for those that somebody in ``kept`` still has. ``value`` is not changed."""
    shape = shape or _PLAIN
    if isinstance(value, dict):
        result = dict(value)
        for key in value:
            name = "f:" + key
            if name not in gone:
                continue
            if MEMBER in gone[name] and name not in kept:
                del result[key]
                continue
            rest = without(value[key], gone[name], kept.get(name, {}), shape.field(key))
            if rest in ({}, []) and value[key] and MEMBER not in kept.get(name, {}):
                del result[key]
            else:
                result[key] = rest
        return result
    if isinstance(value, list) and shape.merges:
        items = []
        for each in value:
            name = element(each, shape)
            if name not in gone:
                items.append(each)
            elif MEMBER not in gone[name] or name in kept:
                items.append(without(each, gone[name], kept.get(name, {}), shape.items))
        return items
    return value
