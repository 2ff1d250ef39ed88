# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who owns which field: ``metadata.managedFields`` after an update, and server-side apply with its conflicts."""

from __future__ import annotations

from typing import Any

from . import fieldsets
from .fieldsets import Set
from .kinds import Kind
from .shapes import Shape, built_in, of_custom
from .statuses import ApiError

Object = dict[str, Any]
# (manager, operation, API version, subresource)
Owner = tuple[str, str, str, str]

_NOBODYS = {
    "f:metadata": {
        "f:" + name: {".": True}
        for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion",
                     "deletionTimestamp", "deletionGracePeriodSeconds", "generateName")
    },
    "f:apiVersion": {".": True},
    "f:kind": {".": True},
}  # fmt: skip
_SHAPES: dict[Any, Shape] = {}


def shape_of(kind: Kind) -> Shape:
    if not kind.custom:
        return built_in(kind.kind)
    key = (kind.group, kind.version, kind.plural, id(kind.schema))
    if key not in _SHAPES:
        _SHAPES[key] = of_custom(kind.schema)
    return _SHAPES[key]


def _read(obj: Object | None) -> tuple[dict[Owner, Set], dict[Owner, str]]:
    owners: dict[Owner, Set] = {}
    times: dict[Owner, str] = {}
    for entry in (obj or {}).get("metadata", {}).get("managedFields") or []:
        if "manager" not in entry:
            continue
        owner = (entry["manager"], entry["operation"], entry.get("apiVersion", ""), entry.get("subresource", ""))
        owners[owner] = fieldsets.loaded(entry.get("fieldsV1"))
        times[owner] = entry.get("time", "")
    return owners, times


def _write(obj: Object, owners: dict[Owner, Set], times: dict[Owner, str]) -> None:
    entries = []
    for owner, fields in owners.items():
        if not fields:
            continue
        manager, operation, api_version, subresource = owner
        entry = {
            "manager": manager,
            "operation": operation,
            "apiVersion": api_version,
            "time": times[owner],
            "fieldsType": "FieldsV1",
            "fieldsV1": fieldsets.dump(fields),
        }
        entries.append({**entry, "subresource": subresource} if subresource else entry)
    entries.sort(key=lambda each: (each["operation"], each["time"], each["manager"]))
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def _stripped(fields: Set, kind: Kind, subresource: str) -> Set:
    fields = fieldsets.difference(fields, _NOBODYS)
    if subresource == "status":
        return {key: value for key, value in fields.items() if key not in ("f:spec", "f:metadata")}
    if kind.has_status:
        return {key: value for key, value in fields.items() if key != "f:status"}
    return fields


def _bare(obj: Object | None) -> Object:
    """Without managedFields, which are no field of anybody's."""
    if obj is None:
        return {}
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


def updated(old: Object | None, new: Object, kind: Kind, manager: str, subresource: str, now: str) -> None:
    """Note in ``new`` who changed what since ``old``. An empty list given in ``new`` means that all is forgotten."""
    given = new["metadata"].get("managedFields")
    if old is not None and given is not None and given in ([], [{}]):
        new["metadata"].pop("managedFields", None)
        return
    owners, times = _read(old)
    changed, removed = fieldsets.compared(_bare(old), _bare(new), shape_of(kind))
    changed, removed = _stripped(changed, kind, subresource), _stripped(removed, kind, subresource)
    if not changed and not removed and old is not None:
        _write(new, owners, times)
        return
    me: Owner = (manager, "Update", kind.api_version, subresource)
    for owner in owners:
        if owner != me:
            owners[owner] = fieldsets.difference(fieldsets.difference(owners[owner], changed), removed)
    mine = fieldsets.difference(fieldsets.union(owners.get(me, {}), changed), removed)
    if mine != owners.get(me):
        owners[me], times[me] = mine, now
    _write(new, owners, times)


def _conflict(found: dict[Owner, Set]) -> ApiError:
    causes, said = [], []
    for owner in sorted(found):
        manager, operation, api_version, subresource = owner
        with_what = f' with subresource "{subresource}"' if subresource else ""
        who = f'"{manager}"{with_what}' + (f" using {api_version}" if operation == "Update" else "")
        fields = fieldsets.paths(found[owner])
        causes += [{"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": field} for field in fields]
        one = len(fields) == 1
        said.append(
            f"conflict with {who}: {fields[0]}" if one else f"conflicts with {who}:" + "".join(f"\n- {each}" for each in fields)
        )
    count = f"{len(causes)} conflict" + ("" if len(causes) == 1 else "s")
    return ApiError(409, f"Apply failed with {count}: " + "\n".join(said), details={"causes": causes})


def applied(live: Object | None, config: Object, kind: Kind, manager: str, subresource: str, force: bool, now: str) -> Object:
    """The object as it is after the apply; 409 with its causes when others own what would change."""
    if config["metadata"].get("managedFields"):
        raise ApiError(400, "metadata.managedFields must be nil")
    shape = shape_of(kind)
    owners, times = _read(live)
    if live is not None and not owners:
        first: Owner = ("before-first-apply", "Update", kind.api_version, "")
        owners[first], times[first] = _stripped(fieldsets.of(_bare(live), shape), kind, ""), now
    me: Owner = (manager, "Apply", kind.api_version, subresource)
    reset = ("spec",) if subresource == "status" else ("status",) if kind.has_status else ()
    config = {key: value for key, value in config.items() if key not in reset}
    wanted = _stripped(fieldsets.of(config, shape), kind, subresource)
    base = _bare(live)
    new = fieldsets.merged(base, config, shape)
    changed, _removed = fieldsets.compared(base, new, shape)
    changed = _stripped(changed, kind, subresource)
    found = {}
    for owner, fields in owners.items():
        both = fieldsets.intersection(fields, changed) if owner != me else {}
        if both:
            found[owner] = both
    if found and not force:
        raise _conflict(found)
    for owner, both in found.items():
        owners[owner] = fieldsets.difference(owners[owner], both)
    # An apply through another version or subresource of ours is the same manager's.
    before = owners.get(me, {})
    for owner in [owner for owner in owners if owner != me and owner[:2] == me[:2] and owner[3] == me[3]]:
        before = fieldsets.union(before, owners.pop(owner))
    owners[me] = wanted
    gone = fieldsets.difference(before, wanted)
    if gone:
        kept: Set = {}
        for fields in owners.values():
            kept = fieldsets.union(kept, fields)
        new = fieldsets.without(new, gone, kept, shape)
    if wanted != before or me not in times or _bare(new) != base:
        times[me] = now
    new["metadata"] = dict(new["metadata"])
    _write(new, owners, times)
    return new
