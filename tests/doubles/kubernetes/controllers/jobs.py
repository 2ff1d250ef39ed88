# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs run pods until enough of them succeed; CronJobs make Jobs by the clock."""

from __future__ import annotations

import datetime
import time

from ..resources import now
from ..store import copied
from .hub import CRONJOBS, JOBS, PODS, Controller, Object, condition, is_active, is_ready, owner_of
from .replicas import pod_of


class Jobs(Controller):
    storages = (JOBS, PODS)

    def sync(self, namespace: str, name: str) -> float | None:
        hub = self.hub
        job = hub.get(JOBS, namespace, name)
        if job is None or job["metadata"].get("deletionTimestamp"):
            return None
        status, spec = job.get("status") or {}, job["spec"]
        if any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in status.get("conditions") or []):
            return self._expire(namespace, name, job)
        pods = hub.children(PODS, job)
        succeeded = sum(pod["status"].get("phase") == "Succeeded" for pod in pods)
        failed = sum(pod["status"].get("phase") == "Failed" for pod in pods)
        active = [pod for pod in pods if is_active(pod)]
        wanted = spec["completions"] if spec.get("completions") is not None else 1
        conditions = [each for each in status.get("conditions") or [] if each["type"] != "Suspended"]
        ended: Object = {}
        if succeeded >= wanted:
            conditions += [
                condition(kind, True, "CompletionsReached", "", now(), []) for kind in ("SuccessCriteriaMet", "Complete")
            ]
            ended = {"completionTime": now()}
        elif failed > spec["backoffLimit"]:
            conditions.append(
                condition("Failed", True, "BackoffLimitExceeded", "Job has reached the specified backoff limit", now(), [])
            )
        elif spec["suspend"]:
            conditions.append(condition("Suspended", True, "JobSuspended", "Job suspended", now(), status.get("conditions") or []))
        if spec["suspend"] or len(conditions) > 0:
            for pod in active:
                hub.delete(PODS, namespace, pod["metadata"]["name"])
        else:
            for _each in range(min(spec["parallelism"], wanted - succeeded) - len(active)):
                metadata = {"generateName": f"{name}-", "ownerReferences": [owner_of(hub.kind(JOBS), job)]}
                hub.create(PODS, pod_of(spec["template"], metadata), namespace)
        active = [pod for pod in hub.children(PODS, job) if is_active(pod)]
        hub.status(
            JOBS,
            hub.get(JOBS, namespace, name) or job,
            startTime=None if spec["suspend"] else status.get("startTime", now()),
            active=len(active) or None,
            ready=sum(is_ready(pod) for pod in active),
            terminating=0,
            succeeded=succeeded or None,
            failed=failed or None,
            conditions=conditions or None,
            uncountedTerminatedPods={},
            **ended,
        )
        return None

    def _expire(self, namespace: str, name: str, job: Object) -> float | None:
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return None
        ended = max(each["lastTransitionTime"] for each in job["status"]["conditions"])
        moment = datetime.datetime.strptime(ended, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
        left = moment.timestamp() + seconds - time.time()
        if left > 0:
            return left
        self.hub.delete(JOBS, namespace, name, propagationPolicy="Background")
        return None


def _fits(field: str, value: int, first: int, last: int) -> bool:
    """One of the five fields of a schedule: ``*``, ``*/n``, numbers, ranges, and lists of these."""
    for part in field.split(","):
        span, _slash, step = part.partition("/")
        low, high = (first, last) if span == "*" else (int(span.split("-")[0]), int(span.split("-")[-1]))
        if step and "-" not in span and span != "*":
            high = last
        if low <= value <= high and (value - low) % int(step or 1) == 0:
            return True
    return False


def due(schedule: str, at: datetime.datetime) -> bool:
    names = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *"}
    fields = names.get(schedule, schedule).split()
    day = at.isoweekday() % 7
    values = ((at.minute, 0, 59), (at.hour, 0, 23), (at.day, 1, 31), (at.month, 1, 12), (day, 0, 7))
    return all(_fits(field, *value) for field, value in zip(fields, values))


class CronJobs(Controller):
    storages = (CRONJOBS, JOBS)

    def sync(self, namespace: str, name: str) -> float | None:
        hub = self.hub
        owner = hub.get(CRONJOBS, namespace, name)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return None
        spec = owner["spec"]
        at = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
        stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        jobs = hub.children(JOBS, owner)
        active = [job for job in jobs if not (job.get("status") or {}).get("conditions")]
        status = owner.get("status") or {}
        last = status.get("lastScheduleTime")
        created = owner["metadata"]["creationTimestamp"]
        if not spec["suspend"] and due(spec["schedule"], at) and stamp > max(last or "", created):
            if spec["concurrencyPolicy"] == "Replace":
                for job in active:
                    hub.delete(JOBS, namespace, job["metadata"]["name"], propagationPolicy="Background")
            if spec["concurrencyPolicy"] != "Forbid" or not active:
                active.append(self._make(namespace, owner, int(at.timestamp()) // 60))
                last = stamp
        references = [
            {
                "kind": "Job",
                "apiVersion": "batch/v1",
                "namespace": namespace,
                "name": job["metadata"]["name"],
                "uid": job["metadata"]["uid"],
            }
            for job in active
        ]
        succeeded = [job["status"]["completionTime"] for job in jobs if (job.get("status") or {}).get("completionTime")]
        hub.status(
            CRONJOBS,
            hub.get(CRONJOBS, namespace, name) or owner,
            active=references or None,
            lastScheduleTime=last,
            lastSuccessfulTime=max(succeeded, default=status.get("lastSuccessfulTime")),
        )
        self._prune(namespace, spec, jobs)
        return 60.5 - time.time() % 60

    def _make(self, namespace: str, owner: Object, number: int) -> Object:
        template = owner["spec"]["jobTemplate"]
        given = template.get("metadata") or {}
        metadata = {
            "name": f"{owner['metadata']['name']}-{number}",
            "labels": dict(given.get("labels") or {}),
            "annotations": dict(given.get("annotations") or {}),
            "ownerReferences": [owner_of(self.hub.kind(CRONJOBS), owner)],
        }
        return self.hub.create(JOBS, {"metadata": metadata, "spec": copied(template["spec"])}, namespace)

    def _prune(self, namespace: str, spec: Object, jobs: list[Object]) -> None:
        for kind, limit in (("Complete", spec["successfulJobsHistoryLimit"]), ("Failed", spec["failedJobsHistoryLimit"])):
            over = [job for job in jobs if any(each["type"] == kind for each in (job.get("status") or {}).get("conditions") or [])]
            over.sort(key=lambda job: job["metadata"]["creationTimestamp"])
            for job in over[: max(0, len(over) - limit)]:
                self.hub.delete(JOBS, namespace, job["metadata"]["name"], propagationPolicy="Background")
