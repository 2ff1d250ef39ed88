# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data of the claims that go along, as the engine has it moved, and how far it is in the journal."""

from __future__ import annotations

import time
from typing import Any, Callable

from ..backends.cluster import ClusterApi
from . import journal as journals
from .course import Course
from .policy import Policy
from .preparing import Preparing
from .rates import COPY_RATE, DIGEST_RATE, figures_with
from .volumes.attributes import KEPT
from .volumes.moves import VolumeMoves, VolumePair


class ClaimMoves:
    """The engine's ``SeededVolumes``: the claims of the source's namespaces that are carried."""

    def __init__(
        self,
        source: ClusterApi,
        target: ClusterApi,
        course: Course,
        preparing: Preparing,
        policy: Policy,
        report: Callable[[str, dict[str, Any]], None],
        check: Callable[[], None],
    ) -> None:
        self._course = course
        self._preparing = preparing
        self._verify = policy.verify_digests
        self._capped = policy.mover_bandwidth > 0
        self._moves = VolumeMoves(
            source,
            target,
            course.journal.id,
            image=policy.mover_image,
            workers=policy.connections,
            bandwidth=policy.mover_bandwidth,
            report=report,
            check=check,
        )

    @property
    def _pairs(self) -> list[VolumePair]:
        return [VolumePair(namespace, claim) for namespace, claim in self._preparing.claims()]

    def seed(self) -> int:
        """While the application runs; gives the bytes that were copied."""
        begun = time.monotonic()
        size = self._moves.seed(self._pairs)
        if not self._capped:
            self._measure(COPY_RATE, size, begun)
        self._note("seeded")
        return size

    def delta(self) -> int:
        """Only what changed; in the cutover, when nothing writes any more, until both ends are the same."""
        at_rest = self._course.journal.phase == journals.SWITCHING
        size = self._moves.delta(self._pairs, at_rest=at_rest)
        self._note("in step" if at_rest else "seeded")
        return size

    def compare(self) -> None:
        """MigrationFailed names the first files that differ."""
        if self._verify:
            begun = time.monotonic()
            size = self._moves.compare(self._pairs)
            self._measure(DIGEST_RATE, size, begun)
            self._note("compared")
            self._course.keep(figures={**self._course.journal.figures, "compared_bytes": size})

    def _measure(self, what: str, size: int, begun: float) -> None:
        self._course.keep(figures=figures_with(self._course.journal.figures, what, size, time.monotonic() - begun))

    def tidy(self) -> None:
        """Nothing of ours mounts a claim any more."""
        self._moves.tidy(tuple(self._course.journal.namespaces))

    def _note(self, step: str) -> None:
        known = self._course.journal.volumes
        noted = {
            str(pair): {**known.get(str(pair), {}), "step": step, "attributes": self._moves.attributes.get(str(pair), "")}
            for pair in self._pairs
        }
        self._course.keep(volumes={**known, **noted})
        lost = sorted(pair for pair, kept in self._moves.attributes.items() if kept != KEPT)
        if lost:
            self._course.warn(f"extended attributes of {', '.join(lost)} did not come along: {self._moves.attributes[lost[0]]}")
