# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has moved is deleted at the source, when it is seen at the target; a receipt says what went, and what was left and why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timezone

from ..backends.cluster import Object
from ..errors import MigrationFailed
from . import journal as journals
from . import resting
from .carrying import Carrying, is_servers_own
from .course import Course
from .quiesce import Quiesce
from .removing import Removal
from .resting import key_of, shown

_NAMED = 5


class Release:
    """The end of a migration.

    :param carrying: after it has looked at the target
    :param clean: None for what is not carried
    """

    def __init__(
        self, course: Course, source: Quiesce, carrying: Carrying, removal: Removal, clean: Callable[[Object], Object | None]
    ) -> None:
        self.course = course
        self.source = source
        self.carrying = carrying
        self.removal = removal
        self.clean = clean
        self._missing: list[str] = []

    def run(self) -> None:
        """MigrationFailed, with nothing deleted, when the source runs something or the target lacks what was started there."""
        journal = self.course.journal
        self.source.verify(journal.at_rest)
        lost = [shown(key) for key in journal.at_rest if resting.parts_of(key)[1] not in ("Job", "Pod") and self._is_lost(key)]
        if lost:
            raise MigrationFailed(
                f"{', '.join(lost[:_NAMED])} is not at {journal.target} any more",
                option="state",
                value="released",
                remedy="look after it there; the source is kept, and a person has to remove it",
            )
        self.course.begin("releasing")
        namespaces = frozenset(journal.namespaces)
        self.removal.remove(namespaces, lambda item: self._has_moved(item, namespaces), strip=True)
        self.removal.remove_namespaces(journal.namespaces)
        self.source.lift_fence()
        self.source.bare.forget()
        removed = self.removal.removed
        kept = [f"{name} is kept: it is not at {journal.target}" for name in self._missing]
        receipt = {
            "cluster": journal.source,
            "cluster_uid": journal.source_uid,
            "objects": dict(sorted(removed.objects.items())),
            "namespaces": removed.namespaces,
            "finalizers": removed.finalizers,
            "left": [*removed.left, *kept],
            "erased": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self.course.warn(*removed.left, *kept)
        self.course.end()
        self.course.enter(journals.RELEASED, figures={**self.course.journal.figures, "receipt": receipt})

    def _is_lost(self, key: str) -> bool:
        return key not in self.carrying.there and self.source.api.get(*_place(key)) is not None

    def _has_moved(self, item: Object, namespaces: Collection[str]) -> bool:
        """What has no namespace may serve others who stay: of that, only what is of use to the moved ones alone goes."""
        namespace = item["metadata"].get("namespace", "")
        if namespace not in namespaces:
            return not namespace and serves_only(item, namespaces)
        if is_servers_own(item) or resting.controller_of(item) or item["kind"] == "Pod" or self.clean(item) is None:
            return False
        if key_of(item) in self.carrying.there:
            return True
        self._missing.append(shown(key_of(item)))
        return False


def serves_only(item: Object, namespaces: Collection[str]) -> bool:
    """Whether an object without a namespace is of use to these namespaces alone: their webhooks, and bindings of their accounts."""
    if item["kind"] in {resource.kind for resource in resting.WEBHOOKS}:
        hooks = item.get("webhooks") or []
        return bool(hooks) and len(resting.served_from(item, namespaces)) == len(hooks)
    if item["kind"] == "ClusterRoleBinding":
        subjects = item.get("subjects") or []
        return bool(subjects) and all(
            one.get("kind") == "ServiceAccount" and one.get("namespace") in namespaces for one in subjects
        )
    if item["kind"] == "APIService":
        return ((item.get("spec") or {}).get("service") or {}).get("namespace") in namespaces
    return False


def _place(key: str) -> tuple[resting.Resource, str, str]:
    _version, kind, namespace, name = resting.parts_of(key)
    return resting.RESTED[kind], name, namespace
