# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects carried to the target: streamed from the source, cleaned, applied server-side in the order that they need each other.

Nothing that is carried runs: what has replicas has none, what has a schedule is suspended. What could start something by itself
(custom resources, for which an operator may wait) or could refuse everything else (webhooks) is late: it comes after the source
was put to rest. An object that is rejected keeps no other from being carried; all rejections are told at the end.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

from ..backends.cluster import ClusterApi, Object, Resource
from ..crew import work_through_stream
from ..errors import FederationError, MigrationFailed, UnreachableError
from . import resting
from .collecting import stream
from .resting import Memory, key_of, parts_of, shown
from .store import MANAGER, MIGRATION

DIGEST = "federation.virt8ra.eu/digest"
CRDS = Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
LAST = {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService"}
_NAMED = 5
_LOOK = 0.2
_ESTABLISHED_SECONDS = 60.0
Report = Callable[[str, dict[str, Any]], None]
Check = Callable[[], None]
Cleaner = Callable[[Object], Optional[Object]]


@dataclass(frozen=True)
class There:
    """What the target has under a key; ``ours``: this migration made it."""

    uid: str
    ours: bool
    digest: str


@dataclass(frozen=True)
class Carried:
    """What a pass brought: numbers of objects that were applied, and of those that were in step already."""

    applied: int
    kept: int


class Carrying:
    """The way of the objects of one migration.

    :param clean: from the source's object to the one for the target, without owners; None for what is not carried
    :param stage: the order: objects of a lower stage come first; it depends on ``apiVersion`` and ``kind`` only
    :param check: called before every change; raises when this run may not go on
    """

    def __init__(
        self,
        source: ClusterApi,
        target: ClusterApi,
        migration_id: str,
        *,
        clean: Cleaner,
        stage: Callable[[Object], int],
        workers: int,
        report: Report,
        check: Check,
    ) -> None:
        self.source = source
        self.target = target
        self.id = migration_id
        self.clean = clean
        self.stage = stage
        self.workers = workers
        self.report = report
        self.check = check
        self.there: dict[str, There] = {}
        self.shared: set[str] = set()
        self._lock = threading.Lock()
        self._applied = self._kept = 0
        self._faults: dict[str, str] = {}
        self._unowned: list[str] = []
        # The source's versions that are at the target, so that a later pass need not look into them.
        self._versions: dict[str, str] = {}
        self._late_groups: set[tuple[str, str]] | None = None

    # What is at the target

    def look(self, resources: Sequence[Resource], namespaces: Collection[str]) -> None:
        """Learn what the target has of these kinds in these namespaces."""
        known = [found for found in (self._at_target(resource) for resource in resources) if found is not None]
        self.there = {key_of(item): self._there(item) for item in stream(self.target, known, namespaces)}

    def _at_target(self, resource: Resource) -> Resource | None:
        return self.target.resource(resource.api_version, resource.kind)

    def _there(self, item: Object) -> There:
        annotations = item["metadata"].get("annotations") or {}
        ours = annotations.get(MIGRATION) == self.id
        return There(str(item["metadata"].get("uid", "")), ours, annotations.get(DIGEST, "") if ours else "")

    def conflicts(self, items: Iterable[Object]) -> list[str]:
        """A sentence for each of these cleaned objects that somebody else has at the target, and has in another form.

        What is there already in the very form that it would be given is shared: it is neither touched nor ever taken away.
        """
        found = []
        for item in items:
            key = key_of(item)
            there = self.there.get(key)
            if there is None or there.ours or key in self.shared or is_servers_own(item):
                continue
            fault = self._differs(item)
            if fault is None:
                self.shared.add(key)
            else:
                found.append(f"{shown(key)} is at {self.target.name} already and is somebody else's{fault}")
        return sorted(found)

    def _differs(self, item: Object) -> str | None:
        """How it differs, for the end of a sentence; None where applying it would change nothing."""
        if item["kind"] == "Namespace":
            return None
        resource = self._resource(item)
        metadata = item["metadata"]
        before = self.target.get(resource, metadata["name"], metadata.get("namespace", ""))
        if before is None:
            return None
        try:
            after = self.target.apply(resource, resting.asleep(item, self.id), manager=MANAGER, force=True, dry_run=True)
        except UnreachableError:
            raise
        except FederationError as error:
            return f", and it could not be compared ({error.what})"
        return None if _essence(before) == _essence(after) else ""

    # Passes

    def carry(
        self, resources: Sequence[Resource], namespaces: Collection[str], *, late: bool, skip: Collection[str] = ()
    ) -> Carried:
        """Bring the target in step; MigrationFailed names the objects that were rejected, after all others were carried.

        :param late: also what is late
        :param skip: kinds that are not carried in this pass
        """
        self._applied = self._kept = 0
        self._faults.clear()
        self._unowned.clear()
        stages: dict[int, list[Resource]] = {}
        for resource in resources:
            if resource.kind in skip or (self.is_late(resource) and not late):
                continue
            stages.setdefault(self._stage_of(resource), []).append(resource)
        for _number, kinds in sorted(stages.items()):
            news = filter(self._is_new, stream(self.source, kinds, namespaces))
            work_through_stream(news, self._carry, workers=self.workers)
            self._await_definitions(kinds)
        # Those whose owner came after them, and those that wanted something which is there only now.
        again = [*self._unowned, *self._faults]
        self._unowned = []
        self._faults.clear()
        work_through_stream(again, self._carry_again, workers=self.workers)
        self._raise_faults()
        return Carried(self._applied, self._kept)

    def _stage_of(self, resource: Resource) -> int:
        return self.stage({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": ""}})

    def is_late(self, resource: Resource) -> bool:
        if self._late_groups is None:
            self._late_groups = {(crd["spec"]["group"], crd["spec"]["names"]["kind"]) for crd in self.source.each(CRDS)}
        return resource.kind in LAST or (resource.group, resource.kind) in self._late_groups

    def _is_new(self, item: Object) -> bool:
        """Whether the target lacks this version of it; one that it has is counted, and need not go through the workers' hands."""
        version = str(item["metadata"].get("resourceVersion", ""))
        if not version or self._versions.get(key_of(item)) != version:
            return True
        with self._lock:
            self._kept += 1
        return False

    def _carry(self, item: Object) -> None:
        self.check()
        key, version = key_of(item), str(item["metadata"].get("resourceVersion", ""))
        try:
            body = self.body(item)
            if body is None or key in self.shared or body["kind"] == "Pod":
                return
            there = self.there.get(key)
            if body["kind"] == "Namespace" and there is not None and not there.ours:
                return
            if there is not None and there.ours and there.digest == body["metadata"]["annotations"][DIGEST]:
                with self._lock:
                    self._kept += 1
            else:
                self.apply(body)
            # An owner may still have to come.
            if len(body["metadata"].get("ownerReferences") or ()) == len(item["metadata"].get("ownerReferences") or ()):
                self._versions[key] = version
        except UnreachableError:
            raise
        except MigrationFailed:
            raise
        except FederationError as error:
            with self._lock:
                self._faults[key] = error.what

    def _carry_again(self, key: str) -> None:
        api_version, kind, namespace, name = parts_of(key)
        resource = self.source.resource(api_version, kind)
        item = None if resource is None else self.source.get(resource, name, namespace)
        if item is not None:
            self._carry(item)

    def _raise_faults(self) -> None:
        if not self._faults:
            return
        told = [f"{shown(key)} ({what})" for key, what in sorted(self._faults.items())]
        more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        error = MigrationFailed(
            f"{self.target.name} rejected {', '.join(told[:_NAMED])}{more}; {self._applied + self._kept} other objects are there",
            remedy="mend that and run the migration again, which goes on, or take it back with state: aborted",
        )
        error.details["rejected"] = dict(sorted(self._faults.items()))
        raise error

    # One object

    def body(self, item: Object, memory: Memory | None = None) -> Object | None:
        """The object for the target, marked as ours; asleep, or with a memory as it was before it was put to rest."""
        cleaned = None if is_migrations_own(item) else self.clean(item)
        if cleaned is None:
            return None
        body = resting.asleep(cleaned, self.id) if memory is None else resting.awake(cleaned, memory)
        body = {**body, "metadata": dict(body["metadata"])}
        owners = self._owners(item)
        if owners:
            body["metadata"]["ownerReferences"] = owners
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
        annotations = {**(body["metadata"].get("annotations") or {}), MIGRATION: self.id, DIGEST: digest}
        body["metadata"]["annotations"] = annotations
        return body

    def _owners(self, item: Object) -> list[Object]:
        """Its owners with the UIDs that they have at the target; one that is not there yet is left for a second look."""
        owners = []
        for owner in item["metadata"].get("ownerReferences") or ():
            api_version, there = self._preferred(str(owner["apiVersion"]), str(owner["kind"])), None
            for namespace in (item["metadata"].get("namespace", ""), ""):
                there = there or self.there.get(f"{api_version}/{owner['kind']}/{namespace}/{owner['name']}")
            if there is None:
                with self._lock:
                    self._unowned.append(key_of(item))
                return []
            owners.append({**owner, "uid": there.uid})
        return owners

    def _preferred(self, api_version: str, kind: str) -> str:
        """The version in which objects of that kind are read, whatever version an owner was written down with."""
        group = api_version.rpartition("/")[0]
        for resource in self.source.resources():
            if resource.preferred and (resource.group, resource.kind) == (group, kind):
                return resource.api_version
        return api_version

    def apply(self, body: Object) -> Object:
        self.check()
        before = self.there.get(key_of(body))
        if before is not None and not before.ours:
            # It stays somebody else's, and is not to be taken away with what is ours.
            annotations = {key: value for key, value in body["metadata"]["annotations"].items() if key not in (MIGRATION, DIGEST)}
            body = {**body, "metadata": {**body["metadata"], "annotations": annotations}}
        # What is there is ours, or was asked for. What came since is somebody else's: its fields are not taken.
        applied = self.target.apply(self._resource(body), body, manager=MANAGER, force=before is not None)
        with self._lock:
            self.there[key_of(body)] = self._there(applied)
            self._applied += 1
            count = self._applied
        if count % 50 == 0:
            self.report("objects", {"objects": count})
        return applied

    def _resource(self, body: Object) -> Resource:
        resource = self.target.resource(body["apiVersion"], body["kind"])
        if resource is None:
            raise FederationError(f"{self.target.name} does not have {body['kind']} in version {body['apiVersion']}")
        return resource

    def _await_definitions(self, kinds: Sequence[Resource]) -> None:
        if all(kind.kind != CRDS.kind for kind in kinds):
            return
        deadline = time.monotonic() + _ESTABLISHED_SECONDS
        ours = {parts_of(key)[3] for key, there in self.there.items() if parts_of(key)[1] == CRDS.kind and there.ours}
        while ours:
            late = [
                crd["metadata"]["name"]
                for crd in self.target.each(CRDS)
                if crd["metadata"]["name"] in ours and not _established(crd)
            ]
            if not late:
                break
            if time.monotonic() > deadline:
                raise MigrationFailed(
                    f"{self.target.name} did not establish {', '.join(sorted(late)[:_NAMED])}",
                    remedy="look at the conditions of this CustomResourceDefinition",
                )
            time.sleep(_LOOK)
        self.target.resources(fresh=True)

    # Start

    def start(self, at_rest: Mapping[str, Memory], pods: Mapping[str, Object]) -> None:
        """Wake at the target what ran at the source, but for webhooks; MigrationFailed names what was rejected."""
        woken = [(key, memory) for key, memory in at_rest.items() if "failurePolicy" not in memory]
        self._faults.clear()
        work_through_stream(woken, lambda pair: self._start(*pair, pods), workers=self.workers)
        self._raise_faults()

    def carry_last(self, resources: Sequence[Resource], at_rest: Mapping[str, Memory]) -> None:
        """What could refuse everything else, once that which answers it runs."""
        self._faults.clear()
        last = [resource for resource in resources if resource.kind in LAST]
        for item in stream(self.source, last, ()):
            memory = at_rest.get(key_of(item))
            if memory is not None:
                self._start(key_of(item), memory, {})
            else:
                self._carry(item)
        self._raise_faults()

    def _start(self, key: str, memory: Memory, pods: Mapping[str, Object]) -> None:
        self.check()
        _version, kind, namespace, name = parts_of(key)
        there = self.there.get(key)
        if there is not None and there.ours and not resting.wakes(memory):
            return
        try:
            item = pods.get(key) if kind == "Pod" else self.source.get(resting.RESTED[kind], name, namespace)
            body = None if item is None else self.body(item, memory)
            if body is None or key in self.shared:
                return
            applied = self.apply(body)
            self._versions.pop(key, None)
            # What a run that took this back had set by a patch is not given up by applying.
            patch = resting.wake_patch(applied, memory)
            if patch is not None:
                self.target.patch(resting.RESTED[kind], name, namespace, patch[1], kind=patch[0], manager=MANAGER)
        except (UnreachableError, MigrationFailed):
            raise
        except FederationError as error:
            with self._lock:
                self._faults[key] = error.what


def is_migrations_own(item: Object) -> bool:
    """Whether a migration made it for its work, as the pods that carry data: it is no part of the application."""
    return MIGRATION in (item["metadata"].get("labels") or {})


def is_servers_own(item: Object) -> bool:
    """What every namespace is given by the server itself: it may be there, and is changed to be as it was."""
    return (item["kind"], item["metadata"]["name"]) in (("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt"))


def _established(crd: Object) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)


def _essence(item: Object) -> Object:
    """The object without what changes by the mere asking."""
    metadata = {
        key: value for key, value in item["metadata"].items() if key not in ("managedFields", "resourceVersion", "generation")
    }
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}
