# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a migration must be allowed to do, asked of both API servers before anything is touched."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ..backends.cluster import ClusterApi, Resource
from ..crew import work_through
from ..errors import UnreachableError
from . import resting
from .lease import LEASES
from .quiesce import QUOTAS
from .store import CONFIG_MAPS, NAMESPACE, NAMESPACES, SECRETS

# Server-side apply is a patch, and a creation where there is nothing yet.
_APPLY = ("create", "patch")
_SECONDS = 300.0


@dataclass(frozen=True)
class Right:
    """A verb on a kind, in one namespace or (empty) in all."""

    api: ClusterApi
    verb: str
    resource: Resource
    namespace: str = ""

    @property
    def sentence(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"the user of {self.api.name} may not {self.verb} {self.resource.name}{where}"


def missing(
    source: ClusterApi, target: ClusterApi, carried: Iterable[Resource], namespaces: Collection[str], *, workers: int
) -> list[str]:
    """A sentence for each right that there is not, sorted."""
    wanted = [*_of_the_source(source, namespaces), *_of_the_target(target, carried, namespaces)]
    granted = work_through(
        wanted,
        lambda right: right.api.allowed(right.verb, right.resource, right.namespace),
        workers=workers,
        deadline=time.monotonic() + _SECONDS,
    )
    if None in granted:
        raise UnreachableError(f"{source.name} and {target.name} did not say in {_SECONDS:.0f} seconds what their users may do")
    return sorted({right.sentence for right, there in zip(wanted, granted) if not there})


def _of_ours(api: ClusterApi) -> list[Right]:
    """The journal, at either end."""
    return [
        Right(api, "create", NAMESPACES),
        *(Right(api, verb, CONFIG_MAPS, NAMESPACE) for verb in ("list", "create", "update", "delete")),
    ]


def _of_the_source(api: ClusterApi, namespaces: Collection[str]) -> Sequence[Right]:
    rights = _of_ours(api)
    rights += [Right(api, verb, LEASES, NAMESPACE) for verb in ("get", "create", "update", "patch", "delete")]
    rights += [Right(api, verb, SECRETS, NAMESPACE) for verb in (*_APPLY, "delete")]
    rights += [Right(api, "patch", resource) for resource in resting.WEBHOOKS]
    for namespace in namespaces:
        changed = [resource for kind, resource in resting.RESTED.items() if resource.namespaced and kind != "Pod"]
        rights += [Right(api, "patch", resource, namespace) for resource in changed]
        rights += [Right(api, verb, resting.PODS, namespace) for verb in ("create", "delete")]
        rights += [Right(api, verb, QUOTAS, namespace) for verb in ("create", "delete")]
    return rights


def _of_the_target(api: ClusterApi, carried: Iterable[Resource], namespaces: Collection[str]) -> Sequence[Right]:
    rights = _of_ours(api)
    for resource in carried:
        # What goes along and can be made anew can be taken away again by an abort.
        for verb in (*_APPLY, "delete"):
            rights += [Right(api, verb, resource, namespace) for namespace in (namespaces if resource.namespaced else ("",))]
    return rights
