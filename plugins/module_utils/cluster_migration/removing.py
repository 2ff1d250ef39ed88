# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects taken away: at the target what a migration made there, at the source what has moved; and nothing else."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from ..backends.cluster import ClusterApi, Object, Resource
from ..errors import ConflictError, MigrationFailed, NotFoundError
from . import resting
from .carrying import is_servers_own
from .collecting import listable, stream
from .resting import key_of, shown
from .store import FENCE, MIGRATION, NAMESPACES

_LOOK = 0.3
_NAMED = 5
# Made by the server for what is there, and gone with it.
_FOLLOWS = {"Endpoints", "EndpointSlice", "Event", "PodMetrics", "ControllerRevision", "Lease"}
Check = Callable[[], None]
Report = Callable[[str, dict[str, Any]], None]


@dataclass
class Removed:
    """What was taken away, what was left and why, as sentences, and from which objects foreign finalizers were taken."""

    objects: dict[str, int] = field(default_factory=dict)
    namespaces: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    finalizers: list[str] = field(default_factory=list)


class Removal:
    """At one cluster.

    :param stage: the order in which objects were made; they go the other way round
    :param seconds: how long to wait until they are gone
    """

    def __init__(self, api: ClusterApi, stage: Callable[[Object], int], report: Report, check: Check, seconds: float) -> None:
        self.api = api
        self.stage = stage
        self.report = report
        self.check = check
        self.seconds = seconds
        self.removed = Removed()

    def remove(self, namespaces: Collection[str], wanted: Callable[[Object], bool], *, strip: bool) -> None:
        """Every object that is wanted, those with no namespace among them; waits until they are gone.

        :param strip: finalizers of others are taken off: whoever would work on them rests, and what they guard is in use elsewhere
        """
        resources = listable(self.api.resources(fresh=True))
        stages: dict[int, list[Resource]] = {}
        for resource in resources:
            number = self.stage({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": ""}})
            stages.setdefault(number, []).append(resource)
        for _number, kinds in sorted(stages.items(), reverse=True):
            known = {(kind.api_version, kind.kind): kind for kind in kinds if kind.kind != "Namespace"}
            gone: list[tuple[Resource, Object]] = []
            for item in stream(self.api, list(known.values()), namespaces):
                if wanted(item):
                    resource = known[item["apiVersion"], item["kind"]]
                    self._delete(resource, item, strip)
                    gone.append((resource, _stub(item)))
            self._await_gone(gone)

    def _delete(self, resource: Resource, item: Object, strip: bool) -> None:
        self.check()
        metadata = item["metadata"]
        foreign = [name for name in metadata.get("finalizers") or () if not _is_kubernetes(name)]
        if strip and foreign:
            kept = [name for name in metadata["finalizers"] if name not in foreign]
            try:
                self.api.patch(resource, metadata["name"], metadata.get("namespace", ""), {"metadata": {"finalizers": kept}})
            except NotFoundError:
                return
            self.removed.finalizers.append(f"{shown(key_of(item))} ({', '.join(foreign)})")
        try:
            if self.api.delete(resource, metadata["name"], metadata.get("namespace", ""), uid=str(metadata.get("uid", ""))):
                self.removed.objects[item["kind"]] = self.removed.objects.get(item["kind"], 0) + 1
        except (ConflictError, NotFoundError):
            # Another one took its name meanwhile: that one is not ours.
            return

    def _await_gone(self, gone: Sequence[tuple[Resource, Object]]) -> None:
        deadline = time.monotonic() + self.seconds
        left = list(gone)
        while left:
            left = [(resource, item) for resource, item in left if self._is_there(resource, item)]
            if not left:
                return
            self.check()
            if time.monotonic() > deadline:
                names = ", ".join(shown(key_of(item)) for _resource, item in left[:_NAMED])
                raise MigrationFailed(
                    f"{names} at {self.api.name} did not go in {self.seconds:.0f} seconds",
                    remedy="look at their finalizers and at the pods that use them, and run it again",
                )
            self.report("removing", {"waiting_for": shown(key_of(left[0][1]))})
            time.sleep(_LOOK)

    def _is_there(self, resource: Resource, item: Object) -> bool:
        there = self.api.get(resource, item["metadata"]["name"], item["metadata"].get("namespace", ""))
        return there is not None and there["metadata"].get("uid") == item["metadata"].get("uid")

    def remove_namespaces(self, names: Mapping[str, str]) -> None:
        """Those that hold nothing of anybody's; ``names`` maps to the UID that each must have (empty: any)."""
        gone = []
        for name, uid in sorted(names.items()):
            there = self.api.get(NAMESPACES, name)
            if there is None or (uid and there["metadata"].get("uid") != uid):
                continue
            others = self.others(name)
            if others:
                self.removed.left.append(f"namespace {name} is kept, as it still holds {', '.join(others[:_NAMED])}")
                continue
            self.check()
            self.api.delete(NAMESPACES, name, uid=str(there["metadata"].get("uid", "")))
            self.removed.namespaces.append(name)
            gone.append((NAMESPACES, _stub(there)))
        self._await_gone(gone)

    def others(self, namespace: str) -> list[str]:
        """What in a namespace is neither the server's own nor goes with something else."""
        kinds = [
            resource
            for resource in listable(self.api.resources(fresh=True))
            if resource.namespaced and resource.kind not in _FOLLOWS
        ]
        return sorted(shown(key_of(item)) for item in stream(self.api, kinds, [namespace]) if not _goes_along(item))


def _goes_along(item: Object) -> bool:
    metadata = item["metadata"]
    if is_servers_own(item) or resting.controller_of(item) or metadata.get("deletionTimestamp"):
        return True
    # A token goes with its account.
    token = item["kind"] == "Secret" and item.get("type") == "kubernetes.io/service-account-token"
    fence = item["kind"] == "ResourceQuota" and metadata["name"] == FENCE and MIGRATION in (metadata.get("labels") or {})
    return token or fence


def _is_kubernetes(finalizer: str) -> bool:
    """Whether the cluster itself takes it off, whoever rests."""
    return finalizer in ("foregroundDeletion", "orphan") or finalizer.split("/")[0].endswith(("kubernetes.io", "k8s.io"))


def _stub(item: Object) -> Object:
    metadata = {key: item["metadata"][key] for key in ("name", "namespace", "uid") if key in item["metadata"]}
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}
