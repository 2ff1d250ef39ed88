# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who asks (client certificates, bearer tokens), and whether they may: roles and bindings as RBAC has them, and a fault ``forbid``."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

from .http import Request
from .statuses import ApiError, forbidden
from .store import Store

Object = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
RESTRICTED = "restricted"
_PUBLIC = ("/version", "/healthz", "/readyz", "/livez")
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "HEAD": "get"}


class Access:
    """``tokens``: token to (user, groups). ``forbidden``: rules of the fault; an empty or missing part fits all."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.tokens: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.forbidden: list[Object] = []

    def issue(self, user: str, groups: tuple[str, ...] = ()) -> str:
        """A token that has the form of a JWT, and no more of one than that."""
        parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, {"sub": user, "jti": secrets.token_hex(8)})]
        token = ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), secrets.token_urlsafe(32)])
        self.tokens[token] = (user, (*groups, "system:authenticated"))
        return token

    def identify(self, request: Request) -> None:
        """401 for a token that is none of ours."""
        scheme, _space, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            known = self.tokens.get(token.strip())
            if known is None:
                raise ApiError(401, "Unauthorized")
            request.user, request.groups = known
            return
        certificate = request.writer.get_extra_info("ssl_object").getpeercert() or {}
        subject = [pair for part in certificate.get("subject", ()) for pair in part]
        names = [value for key, value in subject if key == "commonName"]
        if names:
            organisations = tuple(value for key, value in subject if key == "organizationName")
            request.user, request.groups = names[0], (*organisations, "system:authenticated")

    def may(self, user: str, groups: tuple[str, ...], verb: str, group: str, resource: str, namespace: str, name: str = "") -> bool:
        """``resource`` may have a subresource: ``pods/exec``."""
        for rule in self.forbidden:
            fits = {"user": user, "verb": verb, "resource": resource, "namespace": namespace, "group": group, "name": name}
            if all(not rule.get(key) or rule[key] in ("*", value) for key, value in fits.items()):
                return False
        if "system:masters" in groups:
            return True
        return any(_permits(rule, verb, group, resource, name) for rule in self._rules(user, groups, namespace))

    def _rules(self, user: str, groups: tuple[str, ...], namespace: str) -> list[Object]:
        bindings = [(each, "") for each in self._store.objects((RBAC, "clusterrolebindings"))]
        if namespace:
            bindings += [(each, namespace) for each in self._store.objects((RBAC, "rolebindings"), namespace)]
        rules: list[Object] = []
        for binding, where in bindings:
            if not any(_is(subject, user, groups) for subject in binding.get("subjects") or []):
                continue
            reference = binding["roleRef"]
            plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
            role = self._store.get((RBAC, plural), "" if plural == "clusterroles" else where, reference["name"])
            rules += (role.obj.get("rules") or []) if role else []
        return rules

    def require(self, request: Request, verb: str, group: str, resource: str, namespace: str, name: str = "") -> None:
        """403 in the API's words."""
        if self.may(request.user, request.groups, verb, group, resource, namespace, name):
            return
        where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
        why = f'User "{request.user}" cannot {verb} resource "{resource}" in API group "{group}"{where}'
        raise forbidden(name, group, resource.split("/")[0], why)

    def require_path(self, request: Request) -> None:
        """Discovery is for all who are known, health for all."""
        if request.path.startswith(_PUBLIC) or "system:authenticated" in request.groups:
            return
        verb = _VERBS.get(request.method, request.method.lower())
        raise ApiError(403, f'forbidden: User "{request.user}" cannot {verb} path "{request.path}"', details={})


def _is(subject: Object, user: str, groups: tuple[str, ...]) -> bool:
    if subject["kind"] == "User":
        return bool(subject["name"] == user)
    if subject["kind"] == "Group":
        return subject["name"] in groups
    return user == f"system:serviceaccount:{subject.get('namespace', '')}:{subject['name']}"


def _permits(rule: Object, verb: str, group: str, resource: str, name: str) -> bool:
    def has(field: str, value: str) -> bool:
        listed = rule.get(field) or []
        return "*" in listed or value in listed

    sub = resource.split("/", 1)[1] if "/" in resource else ""
    named = rule.get("resourceNames") or []
    resources = has("resources", resource) or bool(sub and f"*/{sub}" in (rule.get("resources") or []))
    return has("verbs", verb) and has("apiGroups", group) and resources and (not named or name in named)
