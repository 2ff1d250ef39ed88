# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The request, read against both clusters: what goes along, how it is cleaned and ordered, and the plan."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..backends.cluster import ClusterApi, Object
from ..errors import NotFoundError
from . import preflight
from .cleaning import cleaned
from .collecting import listable, stream
from .ordering import stage
from .plan import Blocker, ClusterPlan, Estimate
from .request import Request
from .scope import Context, carried, chosen
from .store import NAMESPACES
from .survey import Survey
from .target_facts import minor_of, target_facts

_PROBES = 3


class Preparing:
    """The engine's ``Preparation``.

    :param chosen_before: the namespaces of a migration that is under way, which stay as its first run chose them
    :param workers: how many requests go at once, for the estimate
    """

    def __init__(
        self,
        request: Request,
        source: ClusterApi,
        target: ClusterApi,
        chosen_before: Sequence[str] | None,
        workers: int,
        reason: str = "",
    ) -> None:
        self.request = request
        self._source = source
        self._target = target
        self._workers = workers
        self._reason = reason
        request.check_kinds(source.resources())
        self.namespaces: Sequence[str] = (
            sorted(chosen_before) if chosen_before is not None else chosen(request, source.each(NAMESPACES))
        )
        self.mapping: Mapping[str, Any] = request.mappings.to_dict()
        self.objects: Mapping[str, int] = {}
        self._survey: Survey | None = None
        self._context = Context(frozenset(self.namespaces))
        self._lock = threading.Lock()
        self._cleaned: Counter[str] = Counter()
        self._mapped: dict[str, str] = {}

    @property
    def survey(self) -> Survey:
        """What ``read`` found; the source is read when nothing was read before."""
        with self._lock:
            if self._survey is None:
                self.read(stream(self._source, listable(self._source.resources(), self.excluded()), self.namespaces))
            assert self._survey is not None
            return self._survey

    def read(self, items: Iterable[Object]) -> None:
        survey = Survey(self.request, frozenset(self.namespaces))
        self._cleaned.clear()
        self._mapped.clear()
        provisional = survey.context()
        for item in items:
            survey.add(item)
            if item["metadata"].get("namespace") and carried(item, provisional) is None:
                self._note(item)
        self._context = survey.context()
        self.objects = survey.objects()
        self._survey = survey

    def _note(self, item: Object) -> None:
        found = cleaned(item, self.request.mappings, frozenset(self.namespaces))
        self._cleaned.update(found.removed)
        for change in found.changed:
            old, new = change.split(" → ", 1)
            self._mapped[old] = new

    def clean(self, item: Object) -> Object | None:
        """The object for the target; None for what is not carried."""
        if carried(item, self._needed()) is not None:
            return None
        return cleaned(item, self.request.mappings, frozenset(self.namespaces)).object

    def _needed(self) -> Context:
        return self._context if self.survey else Context(frozenset())

    @staticmethod
    def stage(item: Object) -> int:
        return stage(item)

    def excluded(self) -> Sequence[str]:
        return self.request.exclude_kinds

    def plan(self, blockers: Sequence[str]) -> ClusterPlan:
        """With what the engine found to stand in the way, conflicts and rights."""
        survey = self.survey
        facts = target_facts(self._target.name, self._target.version(), self._target.resources(), self._stream)
        source_version = minor_of(self._source.version())
        found = [
            *preflight.blockers(self.request, survey, facts, source_version),
            *(Blocker("objects and rights", sentence) for sentence in blockers),
        ]
        return ClusterPlan(
            method="workloads",
            blockers=tuple(found),
            warnings=tuple(preflight.warnings(self.request, survey, facts, source_version)),
            namespaces=tuple(self.namespaces),
            objects=dict(self.objects),
            cleaned=dict(sorted(self._cleaned.items())),
            mapped=dict(sorted(self._mapped.items())),
            volumes=tuple(_volume(claim, self.request) for claim in sorted(survey.claims, key=lambda one: one.key)),
            estimate=self._estimate(survey),
            reason=self._reason,
        )

    def _stream(self, api_version: str, kind: str) -> Iterable[Object]:
        resource = self._target.resource(api_version, kind)
        if resource is not None:
            with suppress(NotFoundError):
                yield from self._target.each(resource)

    def _estimate(self, survey: Survey) -> Estimate:
        """From how long the target takes to answer; an object costs it about twice a question."""
        begun = time.monotonic()
        for _probe in range(_PROBES):
            self._target.get(NAMESPACES, "kube-system")
        answer = (time.monotonic() - begun) / _PROBES
        count = sum(self.objects.values())
        seconds = round(2 * answer * count / self._workers, 1)
        # Rest takes as long as the slowest pod may; what is late is a fraction of the objects.
        downtime = round(survey.grace + seconds, 1)
        return Estimate(count, sum(claim.size for claim in survey.claims), seconds, downtime)


def _volume(claim: Any, request: Request) -> dict[str, Any]:
    storage = claim.storage_class
    return {
        "namespace": claim.namespace,
        "claim": claim.name,
        "claimed_bytes": claim.size,
        "storage_class": None if storage is None else request.mappings.storage_classes.get(storage, storage),
        "access_modes": list(claim.access_modes),
    }
