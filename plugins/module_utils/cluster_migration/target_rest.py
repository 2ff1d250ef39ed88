# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The target's copy put to rest again, where a cutover is taken back."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..backends.cluster import ClusterApi, Object, Resource
from . import resting
from .quiesce import Check, Quiesce, Report
from .store import MIGRATION


class TargetRest(Quiesce):
    """What this migration made at the target put to rest again. What others have in these namespaces is let alone.

    :param made: the namespaces that did not exist at the target: all that runs there is ours
    """

    def __init__(
        self, api: ClusterApi, namespaces: Sequence[str], migration_id: str, report: Report, check: Check, made: Collection[str]
    ) -> None:
        super().__init__(api, namespaces, migration_id, report, check)
        self.made = frozenset(made)

    def each(self, resource: Resource) -> list[Object]:
        found = super().each(resource)
        if resource.kind in ("Pod", "ReplicaSet"):
            return found
        return [item for item in found if self._is_made(item)]

    def _keep_pods(self, keys: Sequence[str]) -> None:
        """They are kept at the source already."""

    def _is_made(self, item: Object) -> bool:
        return (item["metadata"].get("annotations") or {}).get(MIGRATION) == self.id or item["metadata"].get(
            "namespace"
        ) in self.made

    def _pods(self) -> list[Object]:
        owners = {
            (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
            for resource in (*resting.SCALED, resting.DAEMON_SETS, resting.JOBS)
            for item in self.each(resource)
            if self._is_made(item) or self._is_owned(item)
        }
        return [
            item
            for item in super()._pods()
            if self._is_made(item)
            or tuple(resting.controller_of(item).get(key) for key in ("kind", "name"))
            in {(kind, name) for kind, namespace, name in owners if namespace == item["metadata"]["namespace"]}
        ]

    def _is_owned(self, item: Object) -> bool:
        """Whether it is a ReplicaSet of a Deployment of ours."""
        owner = resting.controller_of(item)
        if owner.get("kind") != "Deployment":
            return False
        deployment = self.api.get(resting.DEPLOYMENTS, str(owner["name"]), item["metadata"]["namespace"])
        return deployment is not None and self._is_made(deployment)
