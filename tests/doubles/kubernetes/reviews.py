# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds that are questions: may I, who am I, a token please. And those of a namespace's finalizers and a pod's binding."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

from .http import Request, Response
from .resources import now
from .rest import Rest, Target
from .statuses import ApiError

Object = dict[str, Any]


def handlers(rest: Rest) -> dict[str, Callable[[Request, Target], Awaitable[Response]]]:
    def allowed(user: str, groups: tuple[str, ...], spec: Object) -> Object:
        asked = spec.get("resourceAttributes")
        if asked is None:
            path = (spec.get("nonResourceAttributes") or {}).get("path", "")
            return {"allowed": "system:masters" in groups or path.startswith(("/version", "/healthz", "/api", "/openapi"))}
        resource = asked.get("resource", "") + (f"/{asked['subresource']}" if asked.get("subresource") else "")
        parts = (asked.get("verb", ""), asked.get("group", ""), resource, asked.get("namespace", ""), asked.get("name", ""))
        yes = rest.access.may(user, groups, *parts)
        return {"allowed": True, "reason": "RBAC: allowed"} if yes else {"allowed": False}

    def body(request: Request, target: Target) -> Object:
        given = request.object()
        if not isinstance(given, dict) or request.method != "POST":
            raise ApiError(405, "the server does not allow this method on the requested resource", details={})
        return {"kind": target.kind.kind, "apiVersion": target.kind.api_version, "metadata": {"creationTimestamp": None}, **given}

    async def self_access(request: Request, target: Target) -> Response:
        review = body(request, target)
        return Response({**review, "status": allowed(request.user, request.groups, review.get("spec") or {})}, 201)

    async def subject_access(request: Request, target: Target) -> Response:
        review = body(request, target)
        spec = review.get("spec") or {}
        return Response({**review, "status": allowed(spec.get("user", ""), tuple(spec.get("groups") or ()), spec)}, 201)

    async def rules(request: Request, target: Target) -> Response:
        review = body(request, target)
        namespace = (review.get("spec") or {}).get("namespace", "")
        found = rest.access._rules(request.user, request.groups, namespace)
        return Response({**review, "status": {"resourceRules": found, "nonResourceRules": [], "incomplete": False}}, 201)

    async def who(request: Request, target: Target) -> Response:
        info = {"username": request.user, "groups": list(request.groups)}
        return Response({**body(request, target), "status": {"userInfo": info}}, 201)

    async def token_review(request: Request, target: Target) -> Response:
        review = body(request, target)
        known = rest.access.tokens.get((review.get("spec") or {}).get("token", ""))
        status: Object = {"authenticated": known is not None}
        if known:
            status["user"] = {"username": known[0], "groups": list(known[1])}
        return Response({**review, "status": status}, 201)

    async def token(request: Request, target: Target) -> Response:
        rest.resources.get(target.kind, target.namespace, target.name)
        spec = (request.object() or {}).get("spec") or {}
        seconds = int(spec.get("expirationSeconds") or 3600)
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{target.namespace}")
        made = rest.access.issue(f"system:serviceaccount:{target.namespace}:{target.name}", groups)
        ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        status = {"token": made, "expirationTimestamp": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}
        head = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        metadata = {"name": target.name, "namespace": target.namespace, "creationTimestamp": now()}
        return Response({**head, "metadata": metadata, "spec": {"expirationSeconds": seconds, **spec}, "status": status}, 201)

    return {
        "selfsubjectaccessreviews": self_access,
        "subjectaccessreviews": subject_access,
        "selfsubjectrulesreviews": rules,
        "selfsubjectreviews": who,
        "tokenreviews": token_review,
        "serviceaccounts/token": token,
    }
