# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kinds an API server has: in two requests where it can tell all at once (Kubernetes 1.26), else group by group."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...errors import BackendError, UnreachableError
from ..cluster import Resource
from .faults import Question
from .requests import JSON, Request, Requests

_AGGREGATED = ",".join(
    [f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")] + [JSON]
)


class Discovery:
    """Read once, when first asked; ``silent`` are the versions of groups that were announced and gave no answer."""

    def __init__(self, requests: Requests, cluster: str) -> None:
        self._requests, self._cluster = requests, cluster
        self._lock = threading.Lock()
        self._found: tuple[Resource, ...] | None = None
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self.silent: tuple[str, ...] = ()

    def resources(self, *, fresh: bool = False) -> tuple[Resource, ...]:
        # Asked for every object by many threads, which need not wait for each other once it was read: it is set last of all.
        if self._found is not None and not fresh:
            return self._found
        with self._lock:
            if self._found is None or fresh:
                silent: list[str] = []
                found = tuple(each for path in ("/api", "/apis") for each in self._under(path, silent))
                self._by_kind = {(each.api_version, each.kind): each for each in found}
                self.silent = tuple(silent)
                self._found = found
            return self._found

    def resource(self, api_version: str, kind: str) -> Resource | None:
        known = self._found is not None
        self.resources()
        found = self._by_kind.get((api_version, kind))
        if found is None and known:
            self.resources(fresh=True)
            found = self._by_kind.get((api_version, kind))
        return found

    def _under(self, path: str, silent: list[str]) -> Iterator[Resource]:
        document = self._read(path, _AGGREGATED)
        if document.get("kind") == "APIGroupDiscoveryList":
            yield from _aggregated(document, silent)
            return
        core = [("", str(version), True) for version in document.get("versions") or ()]
        for group, version, preferred in core if path == "/api" else _versions(document):
            own = f"{path}/{group}/{version}" if group else f"{path}/{version}"
            try:
                listed = self._read(own, JSON)
            except (BackendError, UnreachableError):
                # An API server of somebody's own, which the main one stands for, is down; the main one answered just now.
                silent.append(own.partition(f"{path}/")[2])
                continue
            yield from _listed(listed.get("resources") or (), group, version, preferred)

    def _read(self, path: str, accept: str) -> dict[str, Any]:
        question = Question(self._cluster, "get", f"path {path}")
        return self._requests.send(Request(question, "GET", path, accept=accept)).body


def _versions(document: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Of an APIGroupList: group, version, and whether it is the group's own choice."""
    for group in document.get("groups") or ():
        chosen = (group.get("preferredVersion") or {}).get("version")
        for version in group.get("versions") or ():
            yield str(group["name"]), str(version["version"]), version["version"] == chosen


def _listed(entries: Iterable[Mapping[str, Any]], group: str, version: str, preferred: bool) -> Iterator[Resource]:
    """Of an APIResourceList; a subresource stands there as ``deployments/scale``."""
    listed = list(entries)
    below: dict[str, set[str]] = {}
    for entry in listed:
        plural, slash, subresource = str(entry["name"]).partition("/")
        if slash:
            below.setdefault(plural, set()).add(subresource)
    for entry in listed:
        plural = str(entry["name"])
        if "/" not in plural:
            yield Resource(
                # Some list what belongs to another group or version than their own.
                group=str(entry.get("group") or group),
                version=str(entry.get("version") or version),
                kind=str(entry["kind"]),
                plural=plural,
                namespaced=bool(entry.get("namespaced")),
                verbs=frozenset(map(str, entry.get("verbs") or ())),
                subresources=frozenset(below.get(plural, ())),
                preferred=preferred,
            )


def _aggregated(document: Mapping[str, Any], silent: list[str]) -> Iterator[Resource]:
    """Of an APIGroupDiscoveryList, whose groups have their own choice of version first."""
    for item in document.get("items") or ():
        group = str((item.get("metadata") or {}).get("name") or "")
        for index, entry in enumerate(item.get("versions") or ()):
            version = str(entry["version"])
            if entry.get("freshness") == "Stale":
                silent.append(f"{group}/{version}" if group else version)
            for resource in entry.get("resources") or ():
                with contextlib.suppress(KeyError):
                    yield _resource(resource, group, version, preferred=index == 0)


def _resource(entry: Mapping[str, Any], group: str, version: str, *, preferred: bool) -> Resource:
    kind = entry.get("responseKind") or {}
    return Resource(
        group=str(kind.get("group") or group),
        version=str(kind.get("version") or version),
        kind=str(kind["kind"]),
        plural=str(entry["resource"]),
        namespaced=entry.get("scope") == "Namespaced",
        verbs=frozenset(map(str, entry.get("verbs") or ())),
        subresources=frozenset(str(each["subresource"]) for each in entry.get("subresources") or ()),
        preferred=preferred,
    )
