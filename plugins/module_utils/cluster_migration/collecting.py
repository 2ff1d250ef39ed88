# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Streams of a cluster's objects: many kinds at once, page by page, never all of them in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

from ..backends.cluster import ClusterApi, Object, Resource
from ..crew import merged
from ..errors import NotFoundError

# Told by the server itself, again and again, and never anybody's own.
_TOLD_ONLY = {("", "Event"), ("events.k8s.io", "Event"), ("", "Binding"), ("", "ComponentStatus")}
# So many namespaces are listed one by one, which needs no rights beyond them; with more, a kind is listed once for all.
_ONE_BY_ONE = 20
_READERS = 6


def listable(resources: Iterable[Resource], excluded: Collection[str] = ()) -> tuple[Resource, ...]:
    """Each kind once, in its group's preferred version, as far as objects of it can be listed and made.

    :param excluded: kinds (``Ingress``), or names as kubectl says them (``ingresses.networking.k8s.io``)
    """
    found: dict[tuple[str, str], Resource] = {}
    for resource in resources:
        told = (resource.group, resource.kind) in _TOLD_ONLY or {resource.kind, resource.name} & set(excluded)
        if resource.preferred and not told and {"list", "create"} <= resource.verbs:
            found.setdefault((resource.group, resource.kind), resource)
    return tuple(found.values())


def stream(api: ClusterApi, resources: Sequence[Resource], namespaces: Collection[str]) -> Iterator[Object]:
    """The objects of these kinds, in no order: those in the namespaces, and all that have no namespace."""
    sources = []
    for resource in resources:
        if not resource.namespaced:
            sources.append(partial(_each, api, resource, ""))
        elif len(namespaces) <= _ONE_BY_ONE:
            sources += [partial(_each, api, resource, namespace) for namespace in sorted(namespaces)]
        else:
            sources.append(partial(_each_within, api, resource, frozenset(namespaces)))
    return merged(sources, workers=_READERS)


def _each_within(api: ClusterApi, resource: Resource, namespaces: Collection[str]) -> Iterator[Object]:
    return (item for item in _each(api, resource, "") if item["metadata"].get("namespace") in namespaces)


def _each(api: ClusterApi, resource: Resource, namespace: str) -> Iterator[Object]:
    """A kind whose definition went meanwhile has no objects."""
    with contextlib.suppress(NotFoundError):
        yield from api.each(resource, namespace)
