# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The source's copy put to rest, held there, and woken again just as it was.

Autoscalers need no hand: a HorizontalPodAutoscaler leaves alone what has no replicas. Whatever else would start something
again is held off by a quota of no pods in every one of the namespaces, from before the target starts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ..backends.cluster import ClusterApi, Object, Resource
from ..crew import work_through_stream
from ..errors import ConflictError, ExistsError, MigrationFailed, NotFoundError
from . import resting
from .bare_pods import BarePods
from .resting import Memory, key_of, parts_of, shown
from .store import FENCE, MANAGER, MIGRATION

QUOTAS = Resource("", "v1", "ResourceQuota", "resourcequotas", namespaced=True)
_LOOK = 0.3
_READERS = 6
_NAMED = 5
_TRIES = 5
Report = Callable[[str, dict[str, Any]], None]
Check = Callable[[], None]
PatchOf = Callable[[Object, Memory], Any]
Remember = Callable[[Mapping[str, Memory]], Mapping[str, Memory]]


class Quiesce:
    """What runs in the chosen namespaces of the source.

    :param check: called before every change; raises when this run may not go on
    """

    workers = 16

    def __init__(self, api: ClusterApi, namespaces: Sequence[str], migration_id: str, report: Report, check: Check) -> None:
        self.api = api
        self.namespaces = tuple(namespaces)
        self.id = migration_id
        self.report = report
        self.check = check
        self.bare = BarePods(api, migration_id)

    def find(self) -> dict[str, Memory]:
        """What is to be put to rest, and what it is now, by key. All kinds are read at the same time."""
        of_kind: dict[str, dict[str, Memory]] = {kind: {} for kind in resting.RESTED}

        def read(resource: Resource) -> None:
            for item in self.each(resource):
                memory = None if _is_ours(item) else resting.remembered(item, self.namespaces)
                if memory is not None:
                    of_kind[resource.kind][key_of(item)] = memory

        work_through_stream(resting.RESTED.values(), read, workers=_READERS)
        return {key: memory for found in of_kind.values() for key, memory in found.items()}

    def rest(self, remember: Remember, *, jobs: str, seconds: float) -> None:
        """Put all of it to rest and wait until none of it runs; MigrationFailed after ``seconds``, with what still does.

        :param remember: called with what was found before any of it is touched; gives all that is known, the first memory of each
        :param jobs: ``wait`` until those that run are finished, or ``suspend`` them
        """
        deadline = time.monotonic() + seconds
        groups = self._groups(remember(self.find()))
        self._rest(groups["webhooks"])
        self._rest(groups["schedules"])
        if groups["schedules"]:
            # One of them may have begun a job just before it was suspended.
            groups = self._groups(remember(self.find()))
        if jobs == "wait":
            self._wait_for(lambda: self._unfinished(groups["jobs"]), deadline, "set jobs: suspend, or a longer quiesce_timeout")
        else:
            self._rest(groups["jobs"])
        # Operators first: what they own would be scaled up again by them.
        self._rest(groups["operators"])
        self._wait_for(lambda: self._pods_of(groups["operators"]), deadline, "look at these pods, or set a longer quiesce_timeout")
        at_rest = remember(self.find())
        groups = self._groups(at_rest)
        self._rest({**groups["operators"], **groups["owned"]})
        self._keep_pods([key for key in at_rest if parts_of(key)[1] == "Pod"])
        for key in groups["pods"]:
            self._delete_pod(key)
        self._wait_until_nothing_runs(at_rest, deadline)

    def _groups(self, at_rest: Mapping[str, Memory]) -> dict[str, dict[str, Memory]]:
        groups: dict[str, dict[str, Memory]] = {
            name: {} for name in ("webhooks", "schedules", "jobs", "operators", "owned", "pods")
        }
        for key, memory in at_rest.items():
            kind = parts_of(key)[1]
            group = {"CronJob": "schedules", "Job": "jobs", "Pod": "pods"}.get(kind)
            if group is None:
                group = "webhooks" if "failurePolicy" in memory else ("owned" if memory["owner"] else "operators")
            groups[group][key] = memory
        return groups

    def running(self) -> list[str]:
        """The pods of these namespaces that run, whoever made them, but for those that carry data for us."""
        return [f"Pod {item['metadata']['namespace']}/{item['metadata']['name']}" for item in self._pods()]

    def awake(self, at_rest: Mapping[str, Memory]) -> list[str]:
        """What of ``at_rest`` is not at rest by its spec, though it is there."""
        return [
            shown(key)
            for key, item in self._those(at_rest).items()
            if item["kind"] != "Pod"
            and not resting.rests(item, at_rest[key])
            and not (item["kind"] == "Job" and resting.is_finished(item))
        ]

    def unfinished_jobs(self, at_rest: Mapping[str, Memory]) -> dict[str, Memory]:
        """``at_rest`` without the jobs that came to their end meanwhile, which are not to run once more."""
        there = self._those({key: memory for key, memory in at_rest.items() if parts_of(key)[1] == "Job"})
        over = {key for key in at_rest if parts_of(key)[1] == "Job" and (key not in there or resting.is_finished(there[key]))}
        return {key: memory for key, memory in at_rest.items() if key not in over}

    def verify(self, at_rest: Mapping[str, Memory]) -> None:
        """MigrationFailed unless nothing runs, and nothing is about to."""
        names = [*self.awake(at_rest), *self.running()]
        if names:
            remedy = "find out who starts it, and run the migration again"
            raise MigrationFailed(f"at {self.api.name}, {_named(names)} runs although it was put to rest", remedy=remedy)

    # The fence

    def fence(self) -> None:
        """From now on the API server refuses every new pod in these namespaces."""
        for namespace in self.namespaces:
            self.check()
            metadata = {"name": FENCE, "namespace": namespace, "labels": {MIGRATION: self.id}}
            body: Object = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "0"}}}
            try:
                self.api.create(QUOTAS, body)
            except ExistsError:
                self.api.apply(QUOTAS, body, manager=MANAGER, force=True)

    def lift_fence(self) -> None:
        for namespace in self.namespaces:
            there = self.api.get(QUOTAS, FENCE, namespace)
            if there is not None and (there["metadata"].get("labels") or {}).get(MIGRATION) == self.id:
                self.api.delete(QUOTAS, FENCE, namespace)

    # Back again

    def restore(self, at_rest: Mapping[str, Memory], *, seconds: float) -> list[str]:
        """Make all of it what it was; gives what was not ready again after ``seconds``. Webhooks come last: they need their pods."""
        self.lift_fence()
        groups = self._groups(at_rest)
        pods = self.bare.kept()
        for name in ("operators", "owned", "jobs", "schedules"):
            self._change(groups[name], resting.wake_patch)
        for key in groups["pods"]:
            if key in pods:
                self.bare.make(pods[key])
        late = self._wait_ready(at_rest, seconds)
        self._change(groups["webhooks"], resting.wake_patch)
        self.bare.forget()
        return late

    def _wait_ready(self, at_rest: Mapping[str, Memory], seconds: float) -> list[str]:
        deadline = time.monotonic() + seconds
        while True:
            late = [shown(key) for key, item in self._those(at_rest).items() if not _is_ready(item, at_rest[key])]
            if not late or time.monotonic() > deadline:
                return late
            self.report("restoring", {"waiting_for": _named(late)})
            time.sleep(_LOOK)

    # Many objects, and one

    def _rest(self, group: Mapping[str, Memory]) -> None:
        def patch_of(item: Object, memory: Memory) -> Any:
            self.check()
            return resting.rest_patch(item, memory, self.id)

        self._change(group, patch_of)

    def _change(self, group: Mapping[str, Memory], patch_of: PatchOf) -> None:
        """All of them at once, as far as they are not as they are to be."""
        there = self._those(group)
        keys = [key for key, item in there.items() if patch_of(item, group[key]) is not None]
        work_through_stream(keys, lambda key: self._patched(key, group[key], patch_of), workers=self.workers)

    def _those(self, group: Mapping[str, Memory]) -> dict[str, Object]:
        """The objects of these keys that there are, read by kinds."""
        found = {}
        for kind in {parts_of(key)[1] for key in group}:
            for item in self.each(resting.RESTED[kind]):
                if key_of(item) in group:
                    found[key_of(item)] = item
        return found

    def _patched(self, key: str, memory: Memory, patch_of: PatchOf) -> None:
        """What is gone meanwhile needs no patch; what changed is looked at again."""
        for attempt in range(_TRIES):
            item = self._get(key)
            patch = None if item is None else patch_of(item, memory)
            if item is None or patch is None:
                return
            _version, kind, namespace, name = parts_of(key)
            try:
                self.api.patch(resting.RESTED[kind], name, namespace, patch[1], kind=patch[0], manager=MANAGER)
                return
            except NotFoundError:
                return
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise

    def _get(self, key: str) -> Object | None:
        _version, kind, namespace, name = parts_of(key)
        return self.api.get(resting.RESTED[kind], name, namespace)

    def each(self, resource: Resource) -> list[Object]:
        if not resource.namespaced:
            return list(self.api.each(resource))
        return [item for namespace in self.namespaces for item in self.api.each(resource, namespace)]

    # Pods

    def _pods(self) -> list[Object]:
        return [
            item
            for item in self.each(resting.PODS)
            if not resting.is_over(item)
            and not _is_ours(item)
            and resting.MIRROR not in (item["metadata"].get("annotations") or {})
        ]

    def _pods_of(self, group: Mapping[str, Memory]) -> list[str]:
        """The pods that are controlled by one of these, over the ReplicaSets between a Deployment and its pods."""
        owners = {parts_of(key)[1:] for key in group}
        for item in self.each(resting.REPLICA_SETS):
            owner, namespace = resting.controller_of(item), item["metadata"]["namespace"]
            if (owner.get("kind"), namespace, owner.get("name")) in owners:
                owners.add(("ReplicaSet", namespace, item["metadata"]["name"]))
        found = []
        for item in self._pods():
            owner, namespace = resting.controller_of(item), item["metadata"]["namespace"]
            if (owner.get("kind"), namespace, owner.get("name")) in owners:
                found.append(f"Pod {namespace}/{item['metadata']['name']}")
        return found

    def _unfinished(self, jobs: Mapping[str, Memory]) -> list[str]:
        at_work = {key: memory for key, memory in jobs.items() if not memory["suspend"]}
        return [shown(key) for key, item in self._those(at_work).items() if not resting.is_finished(item)]

    def _wait_for(self, left: Callable[[], list[str]], deadline: float, remedy: str) -> None:
        while True:
            self.check()
            names = left()
            if not names:
                return
            if time.monotonic() > deadline:
                raise MigrationFailed(f"at {self.api.name}, {_named(names)} did not come to rest in time", remedy=remedy)
            self.report("stopping", {"waiting_for": _named(names)})
            time.sleep(_LOOK)

    def _wait_until_nothing_runs(self, at_rest: Mapping[str, Memory], deadline: float) -> None:
        fights: dict[str, int] = {}

        def left() -> list[str]:
            for item in self._pods():
                owner = str(resting.controller_of(item).get("kind", ""))
                # What an operator of its own kind made goes with it no more, now that the operator rests.
                if owner and owner not in resting.RESTED and not item["metadata"].get("deletionTimestamp"):
                    self._delete_pod(key_of(item))
            for name in self.awake(at_rest):
                fights[name] = fights.get(name, 0) + 1
                if fights[name] > _TRIES:
                    remedy = "put what controls it to rest, or take it along by naming its namespace too"
                    raise MigrationFailed(f"{name} at {self.api.name} is scaled up again and again by somebody else", remedy=remedy)
            if fights:
                self._rest({key: memory for key, memory in at_rest.items() if parts_of(key)[1] not in ("Job", "Pod")})
            return self.running()

        self._wait_for(left, deadline, "look at these pods, or set a longer quiesce_timeout")

    def _keep_pods(self, keys: Sequence[str]) -> None:
        if keys:
            self.bare.keep(keys)

    def _delete_pod(self, key: str) -> None:
        self.check()
        _version, _kind, namespace, name = parts_of(key)
        self.api.delete(resting.PODS, name, namespace)


def _is_ready(item: Object, memory: Memory) -> bool:
    return (item["kind"] == "Pod" and not memory.get("ready")) or resting.is_ready(item, memory)


def _is_ours(item: Object) -> bool:
    return MIGRATION in (item["metadata"].get("labels") or {})


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
