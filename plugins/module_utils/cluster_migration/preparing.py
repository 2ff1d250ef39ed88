# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The request, read against both clusters: what goes along, how it is cleaned and ordered, and the plan."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..backends.cluster import ClusterApi, Object, Resource
from ..errors import NotFoundError
from . import preflight
from .cleaning import cleaned
from .collecting import listable, stream
from .estimate import START_SECONDS, Measured
from .ordering import stage
from .plan import Plan
from .rates import rates_between
from .request import Request
from .scope import Context, carried, chosen, is_used
from .store import NAMESPACES
from .survey import Source, Survey
from .target_facts import TargetFacts, target_facts, version_of

_CLAIMS = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", namespaced=True)
_PROBES = 3


class Preparing:
    """The engine's ``Preparation``.

    :param chosen_before: the namespaces of a migration that is under way, which stay as its first run chose them
    :param workers: how many requests go at once, for the estimate
    :param bandwidth: bytes per second that copying may take, 0 for no limit; for the estimate
    """

    def __init__(
        self,
        request: Request,
        source: ClusterApi,
        target: ClusterApi,
        chosen_before: Sequence[str] | None,
        workers: int,
        reason: str = "",
        bandwidth: int = 0,
    ) -> None:
        self.request = request
        self._source = source
        self._target = target
        self._workers = workers
        self._reason = reason
        self._bandwidth = bandwidth
        self._begun = chosen_before is not None
        request.check_kinds(source.resources())
        self.namespaces: Sequence[str] = self._chosen() if chosen_before is None else sorted(chosen_before)
        self.mapping: Mapping[str, Any] = request.mapping
        self.objects: Mapping[str, int] = {}
        self._lock = threading.Lock()
        self._found: tuple[Survey, TargetFacts, Context] | None = None

    def _chosen(self) -> list[str]:
        """The namespace default is there in every cluster: it moves by itself only when somebody uses it."""
        namespaces = list(self._source.each(NAMESPACES))
        if self.request.namespaces:
            return chosen(self.request, namespaces)
        kinds = [resource for resource in listable(self._source.resources(), self.excluded()) if resource.namespaced]
        used = is_used("default", stream(self._source, kinds, ["default"]))
        return chosen(self.request, namespaces, default_is_used=used)

    def read(self, items: Iterable[Object]) -> None:
        version = version_of(self._source.version())
        survey = Survey(self.request, self.namespaces, Source(self._source.name, self._source.uid(), version))
        for item in items:
            survey.add(item)
        target = target_facts(
            self._stream,
            self._target.resources(),
            self._target.version(),
            name=self._target.name,
            uid=self._target.uid(),
            namespaces=self.namespaces,
        )
        context = survey.context(target)
        self.objects = dict(sorted(survey.totals(context).objects.items()))
        self._found = survey, target, context

    @property
    def _known(self) -> tuple[Survey, TargetFacts, Context]:
        """What ``read`` found; the source is read when nothing was read before."""
        if self._found is None:
            with self._lock:
                if self._found is None:
                    self.read(stream(self._source, listable(self._source.resources(), self.excluded()), self.namespaces))
        if self._found is None:
            raise AssertionError("what was read is kept")
        return self._found

    def _stream(self, api_version: str, kind: str) -> Iterable[Object]:
        resource = self._target.resource(api_version, kind)
        if resource is not None:
            with suppress(NotFoundError):
                yield from self._target.each(resource)

    def clean(self, item: Object) -> Object | None:
        """The object for the target; None for what is not carried."""
        survey, _target, context = self._known
        return None if carried(item, context) is not None else cleaned(item, survey.mappings).object

    @staticmethod
    def stage(item: Object) -> int:
        return stage(item)

    def excluded(self) -> Sequence[str]:
        return self.request.exclude_kinds

    def claims(self) -> list[tuple[str, str]]:
        """``(namespace, name)`` of the claims with data that go along, as the source has them now, sorted.

        One that was made after the source was read has data as well; one that has no volume yet has none.
        """
        context = self._known[2]
        there = stream(self._source, [_CLAIMS], self.namespaces)
        with_data = (
            item for item in there if (item.get("status") or {}).get("phase") == "Bound" and carried(item, context) is None
        )
        return sorted((item["metadata"]["namespace"], item["metadata"]["name"]) for item in with_data)

    def plan(self, blockers: Sequence[str]) -> Plan:
        """With what the engine found to stand in the way, conflicts and rights."""
        survey, target, _context = self._known
        copy, digest = rates_between(self._source, self._target)
        measured = Measured(
            objects_rate=self._objects_rate(),
            copy_rate=min(copy, float(self._bandwidth)) if self._bandwidth else copy,
            digest_rate=digest,
            stop_seconds=float(survey.grace),
            start_seconds=START_SECONDS,
        )
        found = preflight.plan(
            self.request, survey, target, measured=measured, found=blockers, begun=self._begun, reason=self._reason
        )
        return replace(found, warnings=(*found.warnings, *self._unanswered()))

    def _unanswered(self) -> list[str]:
        """Of kinds that nobody tells of nothing can go along."""
        return [
            f"{api.name} announces {', '.join(api.silent)}, but gets no answer from what serves it: objects of its kinds are not seen"
            for api in (self._source, self._target)
            if api.silent
        ]

    def _objects_rate(self) -> float:
        """From how long the target takes to answer; an object costs it about twice a question."""
        begun = time.monotonic()
        for _probe in range(_PROBES):
            self._target.get(NAMESPACES, "kube-system")
        return self._workers * _PROBES / (2 * max(time.monotonic() - begun, 1e-6))
