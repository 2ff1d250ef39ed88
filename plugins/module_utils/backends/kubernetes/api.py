# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One cluster's API server as the modules see it: each verb of the API as one request, or a few."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import NotFoundError
from ..cluster import Changed, ClusterApi, Object, Resource, Running
from .discovery import Discovery
from .execution import run_command
from .faults import Question
from .kubeconfig import Login
from .paging import pages
from .requests import JSON, Request, Requests
from .watching import watch

NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
_REVIEWS = Resource("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False)
_PATCHES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}


class KubernetesApi(ClusterApi):
    """``name`` is the context's."""

    def __init__(self, login: Login) -> None:
        self.name, self.server = login.context, login.server
        self._requests = Requests(login)
        self._discovery = Discovery(self._requests, self.name)

    @property
    def silent(self) -> tuple[str, ...]:
        self.resources()
        return self._discovery.silent

    def version(self) -> dict[str, str]:
        question = Question(self.name, "get", "path /version")
        told = self._requests.send(Request(question, "GET", "/version")).body
        return {key: str(told.get(key) or "") for key in ("major", "minor", "gitVersion")}

    def uid(self) -> str:
        found = self.get(NAMESPACES, "kube-system")
        if found is None:
            raise NotFoundError(f"cluster {self.name} has no namespace kube-system", remedy="check that this is a cluster")
        return str(found["metadata"]["uid"])

    def resources(self, *, fresh: bool = False) -> tuple[Resource, ...]:
        return self._discovery.resources(fresh=fresh)

    def resource(self, api_version: str, kind: str) -> Resource | None:
        return self._discovery.resource(api_version, kind)

    def each(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> Iterator[Object]:
        question = Question(self.name, "list", resource.name, "", namespace)
        request = Request(question, "GET", _path(resource, namespace), query=_selectors(labels, fields))
        for item in pages(self._requests, request):
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
            yield item

    def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object | None:
        request = self._request("get", "GET", resource, name, namespace, subresource)
        answer = self._requests.send(request, absent=True)
        return None if answer.code == 404 else answer.body

    def create(self, resource: Resource, body: Object, *, dry_run: bool = False) -> Object:
        name, namespace = _identity(resource, body)
        question = Question(self.name, "create", resource.name, name, namespace)
        path, query = _path(resource, namespace), _dry(dry_run)
        return self._requests.send(Request(question, "POST", path, query, body, repeatable=dry_run)).body

    def replace(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        name, namespace = _identity(resource, body)
        request = self._request("update", "PUT", resource, name, namespace, subresource, body=body, repeatable=False)
        return self._requests.send(request).body

    def apply(self, resource: Resource, body: Object, *, manager: str, force: bool = False, dry_run: bool = False) -> Object:
        name, namespace = _identity(resource, body)
        query = [("fieldManager", manager), ("force", "true" if force else "false"), *_dry(dry_run)]
        # JSON is YAML as well.
        kind = "application/apply-patch+yaml"
        request = self._request("patch", "PATCH", resource, name, namespace, query=query, body=body, content_type=kind)
        return self._requests.send(request).body

    def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        body: Any,
        *,
        kind: str = "merge",
        subresource: str = "",
        manager: str = "",
    ) -> Object:
        query = [("fieldManager", manager)] if manager else []
        repeatable = kind == "merge" and not (body.get("metadata") or {}).get("resourceVersion")
        request = self._request(
            "patch",
            "PATCH",
            resource,
            name,
            namespace,
            subresource,
            query=query,
            body=body,
            content_type=_PATCHES[kind],
            repeatable=repeatable,
        )
        return self._requests.send(request).body

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        propagation: str = "Background",
        grace_seconds: int | None = None,
    ) -> bool:
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        request = self._request("delete", "DELETE", resource, name, namespace, body=body, repeatable=bool(uid))
        answer = self._requests.send(request, absent=True)
        # When the first answer got lost, the object may be gone because of us.
        return answer.code != 404 or answer.repeated

    def watch(
        self, resource: Resource, namespace: str = "", *, since: str = "", labels: str = "", fields: str = "", seconds: int = 60
    ) -> Iterator[Changed]:
        query = [("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", str(seconds))]
        if since:
            query.append(("resourceVersion", since))
        question = Question(self.name, "watch", resource.name, "", namespace)
        request = Request(question, "GET", _path(resource, namespace), [*query, *_selectors(labels, fields)])
        yield from watch(self._requests, request, seconds)

    def allowed(self, verb: str, resource: Resource, namespace: str = "", *, subresource: str = "") -> bool:
        asked = {
            "verb": verb,
            "group": resource.group,
            "resource": resource.plural,
            "namespace": namespace,
            "subresource": subresource,
        }
        body = {
            "apiVersion": _REVIEWS.api_version,
            "kind": _REVIEWS.kind,
            "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
        }
        question = Question(self.name, "create", _REVIEWS.name)
        status = self._requests.send(Request(question, "POST", _path(_REVIEWS), body=body)).body.get("status") or {}
        return bool(status.get("allowed"))

    def run(self, namespace: str, pod: str, command: Sequence[str], *, container: str = "", stdin: bool = False) -> Running:
        return run_command(self._requests, self.name, namespace, pod, command, container=container, stdin=stdin)

    def close(self) -> None:
        self._requests.close()

    def _request(
        self,
        verb: str,
        method: str,
        resource: Resource,
        name: str,
        namespace: str,
        subresource: str = "",
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        content_type: str = JSON,
        repeatable: bool = True,
    ) -> Request:
        if resource.namespaced and not namespace:
            raise ValueError(f"{resource.kind} {name} needs a namespace")
        told = f"{resource.name}/{subresource}" if subresource else resource.name
        question = Question(self.name, verb, told, name, namespace if resource.namespaced else "")
        path = "/".join([_path(resource, namespace), _quoted(name), *([subresource] if subresource else [])])
        return Request(question, method, path, query, body, content_type, repeatable=repeatable)


def _path(resource: Resource, namespace: str = "") -> str:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    inside = f"/namespaces/{_quoted(namespace)}" if namespace and resource.namespaced else ""
    return f"{root}{inside}/{resource.plural}"


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _identity(resource: Resource, body: Object) -> tuple[str, str]:
    metadata = body.get("metadata") or {}
    namespace = str(metadata.get("namespace") or "") if resource.namespaced else ""
    if resource.namespaced and not namespace:
        raise ValueError(f"{resource.kind} {metadata.get('name')} needs a namespace")
    return str(metadata.get("name") or ""), namespace


def _dry(dry_run: bool) -> list[tuple[str, str]]:
    return [("dryRun", "All")] if dry_run else []


def _selectors(labels: str, fields: str) -> list[tuple[str, str]]:
    return [(key, value) for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value]
