# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of a cluster's migration, made of a module's options."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

from ..backends.cluster import ClusterAccess, ClusterApi
from ..backends.kubernetes.connection import open_cluster
from .course import Course
from .engine import Engine
from .parts import Parts, SeededVolumes
from .policy import Policy
from .preparing import Preparing
from .request import Request
from .volume_moves import ClaimMoves

Report = Callable[[str, dict[str, Any]], None]


@contextlib.contextmanager
def engine_of(params: Mapping[str, Any], report: Report) -> Iterator[Engine]:
    """Both clusters are reached at once, so that one that cannot be is told before anything else; they are left in the end."""
    policy, request = Policy.from_options(params), Request.from_options(params)
    with contextlib.ExitStack() as opened:
        source, target = (opened.enter_context(contextlib.closing(_opened(params, end))) for end in ("source", "target"))
        name = params["name"] or f"{source.name}-to-{target.name}"
        prepared: list[Preparing] = []

        def prepare(namespaces: Sequence[str] | None) -> Preparing:
            prepared.append(
                Preparing(request, source, target, namespaces, policy.connections, policy.reason, policy.mover_bandwidth)
            )
            return prepared[-1]

        def volumes(course: Course, check: Callable[[], None], report: Report) -> SeededVolumes:
            return ClaimMoves(source, target, course, prepared[-1], policy, report, check)

        yield Engine(name, source, target, Parts(prepare, volumes), policy, report)


def _opened(params: Mapping[str, Any], end: str) -> ClusterApi:
    option = f"{end}_kubeconfig"
    return open_cluster(ClusterAccess(params[option], params[f"{end}_context"] or "", params["patience"], option))
