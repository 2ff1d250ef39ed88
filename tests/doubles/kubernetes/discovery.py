# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kinds are served, and the documents that tell so: discovery, aggregated discovery, and as much OpenAPI as kubectl needs."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from .http import Request, Response
from .kinds import Kind, built_in

Object = dict[str, Any]

_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "exec": ("", "v1", "PodExecOptions", ("create", "get")),
    "attach": ("", "v1", "PodAttachOptions", ("create", "get")),
    "portforward": ("", "v1", "PodPortForwardOptions", ("create", "get")),
    "log": ("", "v1", "Pod", ("get",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "finalize": ("", "v1", "Namespace", ("update",)),
    "proxy": ("", "v1", "NodeProxyOptions", ("create", "delete", "get", "patch", "update")),
}


def _age(version: str) -> tuple[int, int, int]:
    """What sorts versions as the API does: v2 before v1 before v1beta2 before v1alpha1."""
    found = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if not found:
        return (3, 0, 0)
    return ({None: 0, "beta": 1, "alpha": 2}[found[2]], -int(found[1]), -int(found[3] or 0))


class Registry:
    """The kinds by path: ``find(group, version, plural)``."""

    def __init__(self) -> None:
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in built_in()}
        self._groups: dict[str, list[str]] = {}

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kinds.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        for each in self._kinds.values():
            if each.kind == kind and each.api_version == api_version:
                return each
        return None

    def stored(self, storage: tuple[str, str]) -> Kind | None:
        """The kind in the version that it is stored in."""
        for each in self._kinds.values():
            if each.storage == storage and each.version == each.stored:
                return each
        return None

    def storages(self) -> list[Kind]:
        """One of each kind that keeps objects."""
        return [kind for kind in self._kinds.values() if kind.version == kind.stored and "list" in kind.verbs]

    def replace_custom(self, group: str, plural: str, kinds: list[Kind]) -> None:
        """The versions of a custom resource, or none of them any more."""
        for key in [key for key, kind in self._kinds.items() if kind.custom and kind.storage == (group, plural)]:
            del self._kinds[key]
        self._kinds.update({(kind.group, kind.version, kind.plural): kind for kind in kinds})
        self._groups.clear()

    def groups(self) -> dict[str, list[str]]:
        """Versions of each group, the preferred one first. Every request asks for them, so they are put in order once."""
        if not self._groups:
            found: dict[str, set[str]] = {}
            for kind in self._kinds.values():
                found.setdefault(kind.group, set()).add(kind.version)
            self._groups.update({group: sorted(versions, key=_age) for group, versions in found.items()})
        return self._groups

    def of(self, group: str, version: str) -> list[Kind]:
        return [kind for kind in self._kinds.values() if kind.group == group and kind.version == version]


def _subresource(kind: Kind, name: str) -> tuple[str, str, str, tuple[str, ...]]:
    if name in ("status", "ephemeralcontainers"):
        return (kind.group, kind.version, kind.kind, ("get", "patch", "update"))
    return _SUBRESOURCE_KINDS[name]


def _resource_list(registry: Registry, group: str, version: str) -> Object | None:
    resources: list[Object] = []
    for kind in registry.of(group, version):
        hashed = hashlib.sha256(f"{kind.group}/{kind.plural}".encode()).hexdigest()[:11] + "="
        resource: Object = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": list(kind.verbs),
        }
        resource.update({"shortNames": list(kind.short)} if kind.short else {})
        resource.update({"categories": list(kind.categories)} if kind.categories else {})
        resource.update({"storageVersionHash": hashed} if "list" in kind.verbs else {})
        resources.append(resource)
        for name in kind.subresources:
            sub_group, sub_version, sub_kind, verbs = _subresource(kind, name)
            sub = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced, "kind": sub_kind}
            if (sub_group, sub_version) != (group, version):
                sub.update({"group": sub_group, "version": sub_version} if sub_group else {})
            resources.append({**sub, "verbs": list(verbs)})
    if not resources:
        return None
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _group(name: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _aggregated(registry: Registry, groups: dict[str, list[str]], api: str) -> Response:
    items = []
    for group, versions in groups.items():
        served = []
        for version in versions:
            resources = []
            for kind in registry.of(group, version):
                subs = []
                for name in kind.subresources:
                    sub_group, sub_version, sub_kind, verbs = _subresource(kind, name)
                    answer = {"group": sub_group, "version": sub_version, "kind": sub_kind}
                    subs.append({"subresource": name, "responseKind": answer, "verbs": list(verbs)})
                resource: Object = {
                    "resource": kind.plural,
                    "responseKind": {"group": group, "version": version, "kind": kind.kind},
                    "scope": "Namespaced" if kind.namespaced else "Cluster",
                    "singularResource": kind.singular,
                    "verbs": list(kind.verbs),
                }
                resource.update({"shortNames": list(kind.short)} if kind.short else {})
                resource.update({"categories": list(kind.categories)} if kind.categories else {})
                resource.update({"subresources": subs} if subs else {})
                resources.append(resource)
            served.append({"version": version, "resources": resources, "freshness": "Current"})
        items.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": served})
    body = {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{api}", "metadata": {}, "items": items}
    return Response(body, content_type=f"application/json;g=apidiscovery.k8s.io;v={api};as=APIGroupDiscoveryList")


def _wanted_aggregated(request: Request) -> str:
    """Which version of aggregated discovery is asked for before plain JSON; empty when none is."""
    for part in request.headers.get("accept", "").split(","):
        if "as=APIGroupDiscoveryList" in part and "json" in part:
            return "v2beta1" if "v=v2beta1" in part else "v2"
    return ""


def _openapi_v3(registry: Registry, group: str, version: str) -> Object:
    """A document with no schemas: it tells kubectl that fields are validated at the server (``fieldValidation``)."""
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation", "force")
    ]
    paths: Object = {}
    for kind in registry.of(group, version):
        scope = "/namespaces/{namespace}" if kind.namespaced else ""
        known = {"group": group, "version": version, "kind": kind.kind}
        paths[f"{base}{scope}/{kind.plural}/{{name}}"] = {
            "patch": {
                "operationId": f"patch{kind.kind}",
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": known,
            }
        }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1"}, "paths": paths, "components": {"schemas": {}}}


def _openapi(registry: Registry, request: Request, parts: list[str]) -> Response | None:
    if parts == ["v2"]:
        if "protobuf" in request.headers.get("accept", ""):
            # An empty message is a document without schemas.
            return Response(b"", content_type="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
        return Response({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1"}, "paths": {}, "definitions": {}})
    if parts == ["v3"]:
        paths = {}
        for group, versions in registry.groups().items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={len(registry.of(group, version))}"}
        return Response({"paths": paths})
    if parts[:2] == ["v3", "api"] and len(parts) == 3:
        return Response(_openapi_v3(registry, "", parts[2]))
    if parts[:2] == ["v3", "apis"] and len(parts) == 4:
        return Response(_openapi_v3(registry, parts[2], parts[3]))
    return None


def answer(registry: Registry, request: Request, address: str) -> Response | None:  # noqa: PLR0911 - one path, one return
    """None when the path is none of discovery's."""
    parts = [part for part in request.path.split("/") if part]
    aggregated = _wanted_aggregated(request)
    groups = registry.groups()
    named = {group: versions for group, versions in groups.items() if group}
    if parts[:1] == ["openapi"]:
        return _openapi(registry, request, parts[1:])
    if parts == ["api"]:
        if aggregated:
            return _aggregated(registry, {"": groups[""]}, aggregated)
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
        return Response({"kind": "APIVersions", "versions": groups[""], "serverAddressByClientCIDRs": addresses})
    if parts == ["apis"]:
        if aggregated:
            return _aggregated(registry, named, aggregated)
        listed = [_group(name, versions) for name, versions in named.items()]
        return Response({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
    if parts[:1] == ["apis"] and len(parts) == 2 and parts[1] in named:
        return Response({"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], named[parts[1]])})
    found = None
    if parts[:1] == ["api"] and len(parts) == 2:
        found = _resource_list(registry, "", parts[1])
    elif parts[:1] == ["apis"] and len(parts) == 3:
        found = _resource_list(registry, parts[1], parts[2])
    return Response(found) if found else None
