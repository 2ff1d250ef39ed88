# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Custom resource definitions: what they are filled with, and the kinds that they serve."""

from __future__ import annotations

import datetime
from typing import Any

from .kinds import Kind

Object = dict[str, Any]


def fill(obj: Object) -> None:
    """Names that follow from others, conversion, and the status of a definition that is accepted."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    names.setdefault("singular", kind.lower())
    names.setdefault("listKind", f"{kind}List")
    spec.setdefault("conversion", {"strategy": "None"})
    versions = [each for each in spec.get("versions") or [] if isinstance(each, dict)]
    at = obj["metadata"].get("creationTimestamp") or datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    before = obj.get("status") or {}
    stored = [each["name"] for each in versions if each.get("storage") and "name" in each]
    words = (("NamesAccepted", "NoConflicts", "no conflicts found"),
             ("Established", "InitialNamesAccepted", "the initial names have been accepted"))  # fmt: skip
    obj["status"] = {
        "conditions": [
            {"lastTransitionTime": at, "message": message, "reason": reason, "status": "True", "type": kind_of}
            for kind_of, reason, message in words
        ],
        "acceptedNames": dict(names),
        "storedVersions": [*[each for each in before.get("storedVersions") or [] if each not in stored], *stored],
    }


def kinds(obj: Object) -> list[Kind]:
    """The kinds of a definition, one for each served version."""
    spec = obj["spec"]
    names = spec["names"]
    stored = next(each["name"] for each in spec["versions"] if each.get("storage"))
    made = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        subresources = version.get("subresources") or {}
        made.append(
            Kind(
                spec["group"],
                version["name"],
                names["plural"],
                names["kind"],
                spec.get("scope") == "Namespaced",
                singular=names["singular"],
                list_kind=names["listKind"],
                short=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=tuple(name for name in ("status", "scale") if name in subresources),
                stored=stored,
                schema=(version.get("schema") or {}).get("openAPIV3Schema") or {},
                scale=subresources.get("scale"),
                custom=True,
            )
        )
    return made
