# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From paths and methods to what is done with objects; lists, selections and the subresources that are plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import patching, policies, selectors, watching
from .access import Access
from .discovery import Registry
from .http import Request, Response
from .kinds import Kind
from .managed import shape_of
from .resources import Asked, Resources
from .statuses import ApiError, conflict, no_resource, not_found
from .store import copied, dumps

Object = dict[str, Any]
_APPLY = "application/apply-patch+yaml"
_TYPES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", _APPLY)


@dataclass(frozen=True)
class Target:
    """What a path names."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    @property
    def resource(self) -> str:
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural


def target_of(registry: Registry, path: str) -> Target:
    """404 for a path that names nothing."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        raise no_resource()
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and not (len(parts) == 3 and parts[2] in ("status", "finalize")):
        namespace, parts = parts[1], parts[2:]
    kind = registry.find(group, version, parts[0])
    if kind is None or (namespace and not kind.namespaced):
        raise no_resource()
    name, subresource, rest = [*parts[1:3], "", ""][:1] + [*parts[2:3], ""][:1] + ["/".join(parts[3:])]
    if kind.namespaced and name and not namespace:
        raise no_resource()
    if subresource and subresource not in kind.subresources:
        raise no_resource()
    return Target(kind, namespace, name, subresource, rest)


class Rest:
    """Answers requests for resources; what streams is in the module's ``streams``, by subresource."""

    def __init__(self, registry: Registry, resources: Resources, access: Access) -> None:
        self.registry, self.resources, self.access = registry, resources, access
        self.store = resources.store
        self.special: dict[str, Any] = {}

    def verb(self, request: Request, target: Target) -> str:
        if request.method in ("GET", "HEAD"):
            if request.flag("watch"):
                return "watch"
            return "get" if target.name else "list"
        if request.method == "DELETE":
            return "delete" if target.name else "deletecollection"
        return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method, "")

    async def answer(self, request: Request, target: Target, verb: str) -> Response | None:
        kind = target.kind
        policies.check(self.store, verb, kind, target.namespace, target.name, target.subresource)
        special = self.special.get(target.resource)
        if special is not None:
            return await special(request, target)  # an exec, a review, a token
        if verb not in kind.verbs and not target.subresource:
            raise ApiError(405, "the server does not allow this method on the requested resource", details={})
        if verb == "watch":
            wanted = self._selection(request, target)
            await watching.serve(request, self.store, kind, target.namespace, wanted)
            return None
        return getattr(self, f"_{verb}")(request, target)

    def _asked(self, request: Request) -> Asked:
        dry = request.query.get("dryRun", [])
        if any(each != "All" for each in dry if each):
            raise ApiError(422, f'dryRun: Unsupported value: {dry}: supported values: "All"')
        manager = request.first("fieldManager") or request.headers.get("user-agent", "unknown").split("/")[0] or "unknown"
        if len(manager) > 128:
            raise ApiError(422, f'fieldManager: Invalid value: "{manager}": may not be more than 128 bytes')
        strict = request.first("fieldValidation", "Warn") == "Strict"
        warn = request.warnings.append if request.first("fieldValidation", "Warn") == "Warn" else lambda text: None
        return Asked(manager, bool(dry), strict, warn)

    def _selection(self, request: Request, target: Target) -> Any:
        fields = request.first("fieldSelector")
        if target.name:
            fields = f"metadata.name={target.name}"
        return selectors.both(selectors.by_labels(request.first("labelSelector")), selectors.by_fields(fields, target.kind.kind))

    def _body(self, request: Request, target: Target) -> Object:
        body = request.object()
        kind = target.kind
        if not isinstance(body, dict):
            raise ApiError(400, "the body of the request is not an object")
        version, name = body.get("apiVersion") or kind.api_version, body.get("kind") or kind.kind
        if name != kind.kind:
            raise ApiError(
                400, f'{name} in version "{version}" cannot be handled as a {kind.kind}: no kind "{name}" is registered for it here'
            )
        if version != kind.api_version:
            raise ApiError(
                400, f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
            )
        metadata = body.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise ApiError(
                400, f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: metadata is not an object'
            )
        return body

    def _seen(self, target: Target, obj: Object, code: int = 200) -> Response:
        if obj.get("kind") == "Status":
            return Response(obj, code)
        metadata = obj["metadata"]
        stored = self.store.get(target.kind.storage, metadata.get("namespace", ""), metadata["name"])
        if stored is not None and stored.obj is obj:
            return Response(stored.raw(target.kind), code)
        return Response({**obj, "apiVersion": target.kind.api_version, "kind": target.kind.kind}, code)

    def _get(self, request: Request, target: Target) -> Response:
        stored = self.resources.get(target.kind, target.namespace, target.name)
        if target.subresource == "scale":
            return Response(_scale(target.kind, stored.obj))
        return Response(stored.raw(target.kind))

    def _list(self, request: Request, target: Target) -> Response:
        kind = target.kind
        try:
            limit = int(request.first("limit") or 0)
        except ValueError:
            raise ApiError(400, f'strconv.ParseInt: parsing "{request.first("limit")}": invalid syntax') from None
        wanted = self._selection(request, target)
        taken, version, token, left = self.store.page(kind.storage, target.namespace, wanted, limit, request.first("continue"))
        metadata: Object = {"resourceVersion": str(version)}
        metadata.update({"continue": token} if token else {})
        metadata.update({"remainingItemCount": left} if left is not None else {})
        if "as=PartialObjectMetadataList" in request.headers.get("accept", ""):
            return Response(_partial(kind, [stored.obj for stored in taken], metadata))
        beginning = dumps({"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata})
        return Response(beginning[:-1] + b',"items":[' + b",".join(stored.raw(kind) for stored in taken) + b"]}")

    def _create(self, request: Request, target: Target) -> Response:
        asked = self._asked(request)
        if target.name:
            raise ApiError(405, "the server does not allow this method on the requested resource", details={})
        if target.kind.namespaced and not target.namespace:
            raise ApiError(405, "the server does not allow this method on the requested resource", details={})
        body = self._body(request, target)
        return self._seen(target, self.resources.create(target.kind, body, target.namespace, asked), 201)

    def _update(self, request: Request, target: Target) -> Response:
        asked = self._asked(request)
        if target.subresource == "scale":
            return self._scaled(target, request.object(), asked)
        body = self._body(request, target)
        if self.store.get(target.kind.storage, target.namespace, target.name) is None:
            raise not_found(target.name, target.kind.group, target.kind.plural)
        if target.kind.custom and not (body.get("metadata") or {}).get("resourceVersion"):
            wrong = "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
            raise ApiError(422, f'{target.kind.plural}.{target.kind.group} "{target.name}" is invalid: {wrong}')
        new = self.resources.replace(target.kind, target.namespace, target.name, body, asked, self._level(target))
        return self._seen(target, new)

    def _level(self, target: Target) -> str:
        return target.subresource if target.subresource in ("status", "finalize") else ""

    def _patch(self, request: Request, target: Target) -> Response:
        asked, kind = self._asked(request), target.kind
        given = request.headers.get("content-type", "").split(";")[0].strip()
        if given not in _TYPES:
            raise ApiError(
                415, f"the body of the request was in an unknown format - accepted media types include: {', '.join(_TYPES)}"
            )
        if given == _APPLY:
            return self._apply(request, target, asked)
        if kind.custom and "strategic" in given:
            raise ApiError(
                415, "the body of the request was in an unknown format - accepted media types include: " + ", ".join(_TYPES[:2])
            )
        patch = request.object()
        live = self.resources.get(kind, target.namespace, target.name)
        old = _scale(kind, live.obj) if target.subresource == "scale" else live.seen(kind)
        if "json-patch" in given:
            new = patching.json_patched(old, patch)
        elif "strategic" in given:
            new = patching.strategic(old, patch, shape_of(kind))
        else:
            new = patching.merged(old, patch)
        if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
            raise ApiError(422, "the server rejected our request due to an error in our request: metadata is not an object")
        if target.subresource == "scale":
            return self._scaled(target, new, asked)
        # A resourceVersion in the patch is a precondition; that of the live object is none.
        if new["metadata"].get("resourceVersion") == live.obj["metadata"]["resourceVersion"]:
            new["metadata"] = {key: value for key, value in new["metadata"].items() if key != "resourceVersion"}
        return self._seen(target, self.resources.replace(kind, target.namespace, target.name, new, asked, self._level(target)))

    def _apply(self, request: Request, target: Target, asked: Asked) -> Response:
        if not request.first("fieldManager"):
            raise ApiError(
                422, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch', "Invalid"
            )
        body = self._body(request, target)
        if not body.get("apiVersion") or not body.get("kind"):
            raise ApiError(400, "invalid object type: apiVersion and kind must be set")
        force = request.flag("force")
        new, created = self.resources.apply(target.kind, target.namespace, target.name, body, asked, force, self._level(target))
        return self._seen(target, new, 201 if created else 200)

    def _scaled(self, target: Target, scale: Object, asked: Asked) -> Response:
        live = self.resources.get(target.kind, target.namespace, target.name)
        wanted = (scale.get("spec") or {}).get("replicas", 0)
        if not isinstance(wanted, int) or wanted < 0:
            message = f'Scale.autoscaling "{target.name}" is invalid: spec.replicas: Invalid value: {wanted}: must be greater than or equal to 0'
            raise ApiError(422, message)
        version = (scale.get("metadata") or {}).get("resourceVersion")
        if version and version != live.obj["metadata"]["resourceVersion"]:
            raise conflict(target.name, target.kind.group, target.kind.plural)
        new = copied(live.seen(target.kind))
        where = new
        *parents, last = _scale_path(target.kind, "specReplicasPath", "replicas")
        for part in parents:
            where = where.setdefault(part, {})
        where[last] = wanted
        new = self.resources.replace(target.kind, target.namespace, target.name, new, asked)
        return Response(_scale(target.kind, new))

    def _options(self, request: Request) -> Object:
        options = request.object() if request.body else {}
        if not isinstance(options, dict):
            raise ApiError(400, "the body of the request is not DeleteOptions")
        for name in ("propagationPolicy", "gracePeriodSeconds"):
            if request.first(name):
                options[name] = int(request.first(name)) if name.endswith("Seconds") else request.first(name)
        if options.get("propagationPolicy") not in (None, "", "Orphan", "Background", "Foreground"):
            wrong = f'propagationPolicy: Unsupported value: "{options["propagationPolicy"]}"'
            raise ApiError(422, f'DeleteOptions.meta.k8s.io "" is invalid: {wrong}')
        return options

    def _delete(self, request: Request, target: Target) -> Response:
        options, asked = self._options(request), self._asked(request)
        dry = asked.dry_run or bool(options.get("dryRun"))
        left, _gone = self.resources.delete(target.kind, target.namespace, target.name, options, Asked(asked.manager, dry))
        return self._seen(target, left)

    def _deletecollection(self, request: Request, target: Target) -> Response:
        options, asked = self._options(request), self._asked(request)
        wanted = self._selection(request, target)
        taken, version, _token, _left = self.store.page(target.kind.storage, target.namespace, wanted, 0, "")
        for stored in taken:
            metadata = stored.obj["metadata"]
            self.resources.delete(target.kind, metadata.get("namespace", ""), metadata["name"], options, asked)
        items = [stored.seen(target.kind) for stored in taken]
        listed = {
            "kind": target.kind.list_kind,
            "apiVersion": target.kind.api_version,
            "metadata": {"resourceVersion": str(version)},
        }
        return Response({**listed, "items": items})


def _scale_path(kind: Kind, name: str, default: str) -> list[str]:
    if kind.custom:
        return str(kind.scale[name]).lstrip(".").split(".")
    return ["status" if name.startswith("status") else "spec", default]


def _scale(kind: Kind, obj: Object) -> Object:
    """The Scale of an object that has one."""
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")

    def at(path: list[str]) -> Any:
        value: Any = obj
        for part in path:
            value = (value or {}).get(part)
        return value or 0

    selector = (obj.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels") if isinstance(selector.get("matchLabels"), dict) else {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in kept if key in obj["metadata"]},
        "spec": {"replicas": at(_scale_path(kind, "specReplicasPath", "replicas"))},
        "status": {
            "replicas": at(_scale_path(kind, "statusReplicasPath", "replicas")),
            "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
        },
    }


def _partial(kind: Kind, objects: list[Object], metadata: Object) -> Object:
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    items = [{**head, "metadata": obj["metadata"]} for obj in objects]
    return {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items}
