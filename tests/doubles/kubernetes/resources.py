# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be done with an object, for requests and controllers alike: create, replace, apply, delete, with the API's rules."""

from __future__ import annotations

import datetime
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import admission, managed, statuses, validation
from .kinds import Kind
from .statuses import ApiError
from .store import Store, Stored, copied, dumps

Object = dict[str, Any]
LARGEST_OBJECT = 1536 * 1024
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Asked:
    """How something is asked for: by which field manager, and whether only in thought."""

    manager: str = "kube-controller-manager"
    dry_run: bool = False
    strict: bool = False
    warn: Callable[[str], None] = lambda text: None


CONTROLLER = Asked()


class Resources:
    """The rules between requests and the store."""

    def __init__(self, store: Store, context: admission.Context) -> None:
        self.store, self.context = store, context

    def get(self, kind: Kind, namespace: str, name: str) -> Stored:
        found = self.store.get(kind.storage, namespace, name)
        if found is None:
            raise statuses.not_found(name, kind.group, kind.plural)
        return found

    def _namespace(self, kind: Kind, obj: Object, namespace: str) -> None:
        given = obj["metadata"].get("namespace")
        if not kind.namespaced:
            if given:
                obj["metadata"].pop("namespace")
            return
        if given and given != namespace:
            raise ApiError(400, "the namespace of the provided object does not match the namespace sent on the request")
        obj["metadata"]["namespace"] = namespace

    def _room(self, kind: Kind, obj: Object) -> None:
        """403 in a namespace that goes, 404 in one that is not there."""
        namespace, name = obj["metadata"].get("namespace", ""), obj["metadata"].get("name", "")
        if not kind.namespaced:
            return
        home = self.store.get(("", "namespaces"), "", namespace)
        if home is None:
            raise statuses.not_found(namespace, "", "namespaces")
        if home.obj["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = statuses.forbidden(name, kind.group, kind.plural, why)
            gone = statuses.cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
            error.details = {**(error.details or {}), "causes": [gone]}
            raise error

    def _checked(self, kind: Kind, obj: Object, old: Object | None, asked: Asked, subresource: str = "") -> Object:
        obj = validation.fitted(kind, obj, old, asked.strict, asked.warn)
        causes = validation.causes(kind, obj, old, subresource)
        if causes:
            raise statuses.invalid(obj["metadata"].get("name", ""), kind.group, kind.kind, causes)
        if len(dumps(obj)) > LARGEST_OBJECT:
            raise ApiError(413, f"Request entity too large: limit is {LARGEST_OBJECT}")
        return obj

    def create(self, kind: Kind, obj: Object, namespace: str = "", asked: Asked = CONTROLLER) -> Object:
        return self._create(kind, copied(obj), namespace, asked, applied=None)

    def _create(self, kind: Kind, obj: Object, namespace: str, asked: Asked, applied: Callable[[Object], Object] | None) -> Object:
        metadata = obj.setdefault("metadata", {})
        self._namespace(kind, obj, namespace)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"][:58] + "".join(secrets.choice(_LETTERS) for _each in range(5))
        name = metadata.get("name", "")
        if metadata.get("resourceVersion") and applied is None:
            raise ApiError(400, "resourceVersion should not be set on objects to be created")
        if name and self.store.get(kind.storage, namespace if kind.namespaced else "", name):
            raise statuses.exists(name, kind.group, kind.plural)
        self._room(kind, obj)
        obj.update({"apiVersion": kind.api_version, "kind": kind.kind})
        if kind.has_status:
            obj.pop("status", None)
        for key in (*_KEPT, "resourceVersion", "generation", *(("managedFields",) if applied is None else ())):
            metadata.pop(key, None)
        metadata.update({"uid": str(uuid.uuid4()), "creationTimestamp": now()})
        if kind.counts:
            metadata["generation"] = 1
        config = applied(obj) if applied else None
        obj = admission.created(self.context, kind, obj)
        obj = self._checked(kind, obj, None, asked)
        if config is None:
            managed.updated(None, obj, kind, asked.manager, "", now())
        else:
            obj["metadata"]["managedFields"] = config["metadata"].get("managedFields", [])
        self._quota(kind, obj)
        if asked.dry_run:
            return obj
        return self.store.put(kind.storage, self._to_storage(kind, obj)).obj

    def _to_storage(self, kind: Kind, obj: Object) -> Object:
        stored = f"{kind.group}/{kind.stored}" if kind.group else kind.stored
        obj["apiVersion"] = stored
        return obj

    def _quota(self, kind: Kind, obj: Object) -> None:
        exceeded = admission.over_quota(self.context, kind, obj)
        if exceeded:
            raise statuses.forbidden(obj["metadata"]["name"], kind.group, kind.plural, exceeded)

    def _preconditions(self, kind: Kind, old: Object, metadata: Object) -> None:
        name = old["metadata"]["name"]
        uid, version = metadata.get("uid"), metadata.get("resourceVersion")
        if uid and uid != old["metadata"]["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
            raise statuses.conflict(name, kind.group, kind.plural, why)
        if version and version != old["metadata"]["resourceVersion"]:
            raise statuses.conflict(name, kind.group, kind.plural)

    def replace(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        new: Object,
        asked: Asked = CONTROLLER,
        subresource: str = "",
        track: bool = True,
    ) -> Object:
        """An update: metadata that is the server's stays, as does the status, or all but the status."""
        stored = self.get(kind, namespace, name)
        old, new = stored.obj, dict(new)
        new["metadata"] = dict(new.get("metadata") or {})
        if new["metadata"].get("name") != name:
            given = new["metadata"].get("name", "")
            raise ApiError(400, f"the name of the object ({given}) does not match the name on the URL ({name})")
        self._namespace(kind, new, namespace)
        self._preconditions(kind, old, new["metadata"])
        if subresource == "status":
            kept = {key: new["metadata"][key] for key in ("managedFields",) if key in new["metadata"]}
            metadata = {**old["metadata"], **kept}
            new = {**old, "metadata": metadata, **({"status": new["status"]} if new.get("status") is not None else {})}
        elif kind.has_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        metadata = new["metadata"]
        for key in (*_KEPT, "generation", "resourceVersion"):
            metadata.pop(key, None)
            if key in old["metadata"]:
                metadata[key] = old["metadata"][key]
        new.update({"apiVersion": kind.api_version, "kind": kind.kind})
        new = admission.updated(self.context, kind, old, copied(new), subresource)
        new = self._checked(kind, new, old, asked, subresource)
        if track:
            managed.updated(old, new, kind, asked.manager, subresource, now())
        return self._stored_again(kind, stored, new, asked)

    def _stored_again(self, kind: Kind, stored: Stored, new: Object, asked: Asked) -> Object:
        old, metadata = stored.obj, new["metadata"]
        if kind.counts and _spec(new) != _spec(old):
            metadata["generation"] = old["metadata"].get("generation", 0) + 1
        self._to_storage(kind, new)
        if asked.dry_run:
            return new
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and self._may_go(kind, new):
            gone = self.store.remove(kind.storage, metadata.get("namespace", ""), metadata["name"])
            return {**new, "metadata": {**metadata, "resourceVersion": str(gone.rv if gone else self.store.rv)}}
        if _untimed(new) == _untimed(old):
            return old
        return self.store.put(kind.storage, new).obj

    def _may_go(self, kind: Kind, obj: Object) -> bool:
        """Whether nothing but finalizers holds an object that is being deleted."""
        if kind.storage == ("", "namespaces"):
            return not (obj.get("spec") or {}).get("finalizers")
        if kind.storage == ("", "pods"):
            return not self.context.pod_runs(obj)
        return True

    def apply(
        self, kind: Kind, namespace: str, name: str, config: Object, asked: Asked, force: bool = False, subresource: str = ""
    ) -> tuple[Object, bool]:
        """``(object, whether it is new)``."""
        config = copied(config)
        metadata = config.setdefault("metadata", {})
        if metadata.get("name", name) != name:
            raise ApiError(400, f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
        metadata["name"] = name
        self._namespace(kind, config, namespace)
        stored = self.store.get(kind.storage, namespace, name)
        if stored is None:
            if subresource:
                raise statuses.not_found(name, kind.group, kind.plural)
            if metadata.get("uid"):
                raise statuses.conflict(
                    name, kind.group, kind.plural, "uid mismatch: the provided object specified uid and none was found"
                )

            def own(obj: Object) -> Object:
                return managed.applied(None, {**config, "metadata": metadata}, kind, asked.manager, "", force, now())

            return self._create(kind, copied(config), namespace, asked, own), True
        self._preconditions(kind, stored.obj, metadata)
        # The live object as this version of the API has it.
        live = {**stored.obj, "apiVersion": kind.api_version}
        config = {**config, "metadata": {key: value for key, value in metadata.items() if key not in ("uid", "resourceVersion")}}
        new = managed.applied(live, config, kind, asked.manager, subresource, force, now())
        fields = new["metadata"].get("managedFields")
        result = admission.updated(self.context, kind, stored.obj, copied(new), subresource)
        result["metadata"].update(
            {key: stored.obj["metadata"][key] for key in (*_KEPT, "generation") if key in stored.obj["metadata"]}
        )
        result = self._checked(kind, result, stored.obj, asked, subresource)
        if fields:
            result["metadata"]["managedFields"] = fields
        result["metadata"]["resourceVersion"] = stored.obj["metadata"]["resourceVersion"]
        return self._stored_again(kind, stored, result, asked), False

    def delete(self, kind: Kind, namespace: str, name: str, options: Object, asked: Asked = CONTROLLER) -> tuple[Object, bool]:
        """``(what is left of it or a Status, whether it is gone)``."""
        stored = self.get(kind, namespace, name)
        old = stored.obj
        self._preconditions(kind, old, options.get("preconditions") or {})
        policy = options.get("propagationPolicy") or ""
        if options.get("orphanDependents") is not None and not policy:
            policy = "Orphan" if options["orphanDependents"] else "Background"
        new = {**old, "metadata": dict(old["metadata"])}
        metadata = new["metadata"]
        finalizers = [each for each in metadata.get("finalizers") or [] if each not in ("orphan", "foregroundDeletion")]
        kept = [each for each in metadata.get("finalizers") or [] if each in ("orphan", "foregroundDeletion")]
        wanted = {"Orphan": ["orphan"], "Foreground": ["foregroundDeletion"]}.get(policy, kept if not policy else [])
        metadata["finalizers"] = [*finalizers, *wanted]
        if not metadata["finalizers"]:
            del metadata["finalizers"]
        grace = self._grace(kind, old, options)
        held = bool(metadata.get("finalizers")) or kind.storage == ("", "namespaces") or (grace > 0 and self.context.pod_runs(old))
        if asked.dry_run:
            return (new, False) if held else (statuses.success(name, kind.group, kind.plural, old["metadata"]["uid"]), True)
        if not held:
            last = self.store.remove(kind.storage, namespace, name)
            answer = last.obj if last and kind.storage == ("", "pods") else None
            return answer or statuses.success(name, kind.group, kind.plural, old["metadata"]["uid"]), True
        if not metadata.get("deletionTimestamp"):
            metadata["deletionTimestamp"] = now()
            metadata["deletionGracePeriodSeconds"] = grace
            if kind.counts:
                metadata["generation"] = metadata.get("generation", 0) + 1
            if kind.storage == ("", "namespaces"):
                metadata.pop("deletionGracePeriodSeconds")
                new["status"] = {**(new.get("status") or {}), "phase": "Terminating"}
        elif grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionGracePeriodSeconds"] = grace
        if _untimed(new) == _untimed(old):
            return old, False
        return self.store.put(kind.storage, new).obj, False

    def _grace(self, kind: Kind, obj: Object, options: Object) -> int:
        if kind.storage != ("", "pods"):
            return 0
        given = options.get("gracePeriodSeconds")
        if given is None:
            given = (obj.get("spec") or {}).get("terminationGracePeriodSeconds", 30)
        return int(given)


def _spec(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion", "kind")}


def _untimed(obj: Object) -> Object:
    """What makes a new version of an object: not that its managers' times alone changed."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    if "managedFields" in metadata:
        metadata["managedFields"] = [{k: v for k, v in entry.items() if k != "time"} for entry in metadata["managedFields"]]
    return {**obj, "metadata": metadata}
