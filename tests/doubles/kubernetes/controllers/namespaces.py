# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each namespace has from the start, and how one goes: its objects first, then itself."""

from __future__ import annotations

from ..resources import now
from ..store import Event
from .hub import NAMESPACES, Controller, Hub, Object, Storage, condition

AUTHORITY, ACCOUNTS, MAPS = "kube-root-ca.crt", ("", "serviceaccounts"), ("", "configmaps")


class Namespaces(Controller):
    """Gives the default ServiceAccount and the authority's certificate; empties what is being deleted."""

    storages = (NAMESPACES, ACCOUNTS, MAPS)

    def __init__(self, hub: Hub, authority: str) -> None:
        super().__init__(hub)
        self._authority = authority

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        metadata = event.new.obj["metadata"]
        if storage == NAMESPACES:
            return [("", metadata["name"])]
        return [("", metadata["namespace"])] if event.gone and metadata["name"] in ("default", AUTHORITY) else []

    def sync(self, namespace: str, name: str) -> float | None:
        home = self.hub.get(NAMESPACES, "", name)
        if home is None:
            return None
        if home["metadata"].get("deletionTimestamp"):
            return self._empty(home, name)
        if self.hub.get(ACCOUNTS, name, "default") is None:
            self.hub.create(ACCOUNTS, {"metadata": {"name": "default"}}, name)
        if self.hub.get(MAPS, name, AUTHORITY) is None:
            words = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP."
            metadata = {"name": AUTHORITY, "annotations": {"kubernetes.io/description": words}}
            self.hub.create(MAPS, {"metadata": metadata, "data": {"ca.crt": self._authority}}, name)
        return None

    def _empty(self, home: Object, name: str) -> float | None:
        left = 0
        held: dict[str, int] = {}
        for kind in self.hub.registry.storages():
            if not kind.namespaced:
                continue
            for obj in tuple(self.hub.store.objects(kind.storage, name)):
                metadata = obj["metadata"]
                if not metadata.get("deletionTimestamp"):
                    self.hub.resources.delete(kind, name, metadata["name"], {"propagationPolicy": "Background"})
                still = self.hub.get(kind.storage, name, metadata["name"])
                if still is not None:
                    left += 1
                    for finalizer in still["metadata"].get("finalizers") or []:
                        held[finalizer] = held.get(finalizer, 0) + 1
        if left:
            self._say(home, left, held)
            return 0.2
        kind = self.hub.kind(NAMESPACES)
        new = {**home, "spec": {"finalizers": []}}
        self.hub.resources.replace(kind, "", name, new, subresource="finalize")
        return None

    def _say(self, home: Object, left: int, held: dict[str, int]) -> None:
        before = (home.get("status") or {}).get("conditions") or []
        finalizers = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
        told = [
            condition("NamespaceContentRemaining", True, "SomeResourcesRemain", f"{left} resource instances remain", now(), before),
            condition(
                "NamespaceFinalizersRemaining",
                bool(held),
                "SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
                f"Some content in the namespace has finalizers remaining: {finalizers}"
                if held
                else "All content-preserving finalizers finished",
                now(),
                before,
            ),
        ]
        self.hub.status(NAMESPACES, home, conditions=told)
