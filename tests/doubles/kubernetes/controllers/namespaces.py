# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each namespace has from the start, and how one goes: its objects first, then itself."""

from __future__ import annotations

import base64

from ..access import Access
from ..resources import now
from ..store import Event
from .hub import NAMESPACES, Controller, Hub, Object, Storage, condition

AUTHORITY, ACCOUNTS, MAPS, SECRETS = "kube-root-ca.crt", ("", "serviceaccounts"), ("", "configmaps"), ("", "secrets")
_TOKEN = "kubernetes.io/service-account-token"


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


class Tokens(Controller):
    """Fills the Secrets that are to hold a ServiceAccount's token; without the account they go."""

    storages = (SECRETS, ACCOUNTS)

    def __init__(self, hub: Hub, authority: str, access: Access) -> None:
        super().__init__(hub)
        self._authority, self._access = authority, access

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        metadata = event.new.obj["metadata"]
        if storage == SECRETS:
            return [(metadata["namespace"], metadata["name"])] if event.new.obj.get("type") == _TOKEN else []
        found = (each for each in self.hub.store.objects(SECRETS, metadata["namespace"]) if each.get("type") == _TOKEN)
        return [(metadata["namespace"], each["metadata"]["name"]) for each in found]

    def sync(self, namespace: str, name: str) -> float | None:
        secret = self.hub.get(SECRETS, namespace, name)
        # When the double starts, it looks at all Secrets, whatever their type.
        if secret is None or secret.get("type") != _TOKEN or secret["metadata"].get("deletionTimestamp"):
            return None
        metadata = secret["metadata"]
        annotations = metadata.get("annotations") or {}
        account = annotations.get("kubernetes.io/service-account.name", "")
        found = self.hub.get(ACCOUNTS, namespace, account)
        uid = annotations.get("kubernetes.io/service-account.uid", "")
        if found is None or uid not in ("", found["metadata"]["uid"]):
            self.hub.delete(SECRETS, namespace, name)
            return None
        if "token" in (secret.get("data") or {}):
            return None
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        token = self._access.issue(f"system:serviceaccount:{namespace}:{account}", groups)
        values = {"token": token, "ca.crt": self._authority, "namespace": namespace}
        data = {**(secret.get("data") or {}), **{key: base64.b64encode(text.encode()).decode() for key, text in values.items()}}
        annotations = {**annotations, "kubernetes.io/service-account.uid": found["metadata"]["uid"]}
        self.hub.replace(SECRETS, {**secret, "data": data, "metadata": {**metadata, "annotations": annotations}})
        return None
