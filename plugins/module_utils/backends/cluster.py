# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules ask of a cluster's API server: objects are plain dictionaries, as the API's JSON has them.

A request that can be repeated without harm is repeated while the server is away, up to ``patience`` seconds; after that
UnreachableError. Faults of the API become FederationErrors: ForbiddenError names the verb, the resource and the namespace.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class ClusterAccess:
    """Where a cluster's API is: a kubeconfig file, and a context in it (empty: the current one).

    ``patience``: seconds for which a server that does not answer is tried again; ``option`` names the options in messages.
    """

    kubeconfig: str
    context: str = ""
    patience: int = 120
    option: str = "kubeconfig"


@dataclass(frozen=True)
class Resource:
    """One kind in one served version. ``group`` is empty for the core group; ``preferred``: the group's own choice of version."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()
    subresources: frozenset[str] = frozenset()
    preferred: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """As kubectl says it: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(frozen=True)
class Ended:
    """How a command in a pod ended; ``stderr`` is shortened to its end."""

    exit_code: int
    stderr: str = ""


class Running(abc.ABC):
    """A command at work in a pod, with its stdin and stdout; one thread at a time. A lost connection is an UnreachableError."""

    @abc.abstractmethod
    def send(self, data: bytes) -> None:
        """To its stdin. What it prints meanwhile is kept, so that neither side can block the other."""

    @property
    @abc.abstractmethod
    def stdin_ends(self) -> bool:
        """Whether ``close_stdin()`` can do anything."""

    @abc.abstractmethod
    def close_stdin(self) -> bool:
        """Its stdin ends, where the server can tell it so; False where it cannot: such a command must know its end itself."""

    @abc.abstractmethod
    def receive(self) -> bytes:
        """The next piece of its stdout; empty at the end."""

    @abc.abstractmethod
    def end(self) -> Ended:
        """Wait for its end; what is left of stdout is dropped."""

    @abc.abstractmethod
    def close(self) -> None:
        """Leave it, however far it is."""


@dataclass(frozen=True)
class Changed:
    """What a watch told: ``kind`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    kind: str
    object: Object = field(default_factory=dict)


class ClusterApi(abc.ABC):
    """One cluster's API server. Many threads may use it at once."""

    name: str
    server: str

    @property
    def silent(self) -> tuple[str, ...]:
        """Versions of groups (``metrics.k8s.io/v1beta1``) that are announced and whose own server gave no answer: nobody knows their kinds."""
        return ()

    @abc.abstractmethod
    def version(self) -> dict[str, str]:
        """``{major, minor, gitVersion}``."""

    @abc.abstractmethod
    def uid(self) -> str:
        """The UID of the namespace kube-system: it tells clusters apart, whatever address they are reached by."""

    @abc.abstractmethod
    def resources(self, *, fresh: bool = False) -> tuple[Resource, ...]:
        """Every kind in every served version, read once unless ``fresh``."""

    @abc.abstractmethod
    def resource(self, api_version: str, kind: str) -> Resource | None:
        """None when the server does not have it, even after a fresh look."""

    @abc.abstractmethod
    def each(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> Iterator[Object]:
        """Page by page, with ``apiVersion`` and ``kind`` in each; all namespaces when empty.

        When a page has expired (410), the list is begun anew, and no object is given twice.
        """

    @abc.abstractmethod
    def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object | None:
        """None when there is none. ``subresource`` may be a path below one, such as ``proxy/configz`` of a node."""

    @abc.abstractmethod
    def create(self, resource: Resource, body: Object, *, dry_run: bool = False) -> Object:
        """ExistsError when there is one of that name."""

    @abc.abstractmethod
    def replace(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """ConflictError when it changed since ``metadata.resourceVersion``; NotFoundError when it went."""

    @abc.abstractmethod
    def apply(self, resource: Resource, body: Object, *, manager: str, force: bool = False, dry_run: bool = False) -> Object:
        """Server-side apply; ConflictError names the other managers and their fields."""

    @abc.abstractmethod
    def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        body: Any,
        *,
        kind: str = "merge",
        subresource: str = "",
        manager: str = "",
    ) -> Object:
        """``kind``: ``merge`` (a dictionary) or ``json`` (a list of operations); NotFoundError, ConflictError."""

    @abc.abstractmethod
    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        propagation: str = "Background",
        grace_seconds: int | None = None,
    ) -> bool:
        """Whether there was one; with ``uid`` only that very one (else ConflictError). It may still be there, held by finalizers."""

    @abc.abstractmethod
    def watch(
        self, resource: Resource, namespace: str = "", *, since: str = "", labels: str = "", fields: str = "", seconds: int = 60
    ) -> Iterator[Changed]:
        """What changes after resource version ``since``, for that long; ends early when the server ends it or forgot ``since``."""

    @abc.abstractmethod
    def allowed(self, verb: str, resource: Resource, namespace: str = "", *, subresource: str = "") -> bool:
        """Whether the API would let us (SelfSubjectAccessReview)."""

    @abc.abstractmethod
    def run(self, namespace: str, pod: str, command: Sequence[str], *, container: str = "", stdin: bool = False) -> Running:
        """Start a command in a running pod. It is never repeated."""

    @abc.abstractmethod
    def close(self) -> None:
        """Connections end."""
