# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects whose owners are gone go too; foreground deletion waits for them, orphaning lets them be."""

from __future__ import annotations

from ..store import Event
from .hub import Controller, Object, Storage


class Garbage(Controller):
    """Hears of everything. Keys are ``(group/plural/namespace, name)``."""

    storages = ()

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        obj = event.new.obj
        metadata = obj["metadata"]
        found = []
        if event.gone:
            found += [self._key(*place) for place in self.hub.owned.get(metadata["uid"], ())]
            # An owner that waits for this one in the foreground.
            for owner in metadata.get("ownerReferences") or []:
                kind = self.hub.registry.by_kind(owner["apiVersion"], owner["kind"])
                if kind:
                    found.append(self._key(kind.storage, metadata.get("namespace", "") if kind.namespaced else "", owner["name"]))
        elif metadata.get("ownerReferences") or metadata.get("deletionTimestamp"):
            found.append(self._key(storage, metadata.get("namespace", ""), metadata["name"]))
        return found

    @staticmethod
    def _key(storage: Storage, namespace: str, name: str) -> tuple[str, str]:
        return (f"{storage[0]}/{storage[1]}/{namespace}", name)

    def sync(self, namespace: str, name: str) -> float | None:
        group, plural, where = namespace.split("/")
        storage = (group, plural)
        obj = self.hub.get(storage, where, name)
        if obj is None or self.hub.registry.stored(storage) is None:
            return None
        metadata = obj["metadata"]
        if metadata.get("deletionTimestamp"):
            return self._finish(storage, obj)
        owners = metadata.get("ownerReferences") or []
        if not owners:
            return None
        states = [self._owner(owner, where) for owner in owners]
        if all(state is None for state in states):
            self.hub.delete(storage, where, name, propagationPolicy="Background", preconditions={"uid": metadata["uid"]})
        elif all(state is None or self._in_foreground(state) for state in states):
            self.hub.delete(storage, where, name, propagationPolicy="Foreground", preconditions={"uid": metadata["uid"]})
        return None

    def _owner(self, owner: Object, namespace: str) -> Object | None:
        """The very owner; one of another UID is another object."""
        kind = self.hub.registry.by_kind(owner["apiVersion"], owner["kind"])
        if kind is None:
            return None
        found = self.hub.get(kind.storage, namespace if kind.namespaced else "", owner["name"])
        return found if found and found["metadata"]["uid"] == owner["uid"] else None

    @staticmethod
    def _in_foreground(obj: Object) -> bool:
        metadata = obj["metadata"]
        return bool(metadata.get("deletionTimestamp")) and "foregroundDeletion" in (metadata.get("finalizers") or [])

    def _finish(self, storage: Storage, obj: Object) -> float | None:
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        places = tuple(self.hub.owned.get(metadata["uid"], ()))
        if "orphan" in finalizers:
            for place in places:
                child = self.hub.get(*place)
                if child:
                    kept = [owner for owner in child["metadata"]["ownerReferences"] if owner["uid"] != metadata["uid"]]
                    self.hub.replace(place[0], {**child, "metadata": {**child["metadata"], "ownerReferences": kept}})
            self._drop(storage, obj, "orphan")
        elif "foregroundDeletion" in finalizers:
            blocking = 0
            for place in places:
                child = self.hub.get(*place)
                if child is None:
                    continue
                owner = next(each for each in child["metadata"]["ownerReferences"] if each["uid"] == metadata["uid"])
                blocking += bool(owner.get("blockOwnerDeletion"))
                if not child["metadata"].get("deletionTimestamp"):
                    self.hub.add(self, *self._key(*place))
            if not blocking:
                self._drop(storage, obj, "foregroundDeletion")
        return None

    def _drop(self, storage: Storage, obj: Object, finalizer: str) -> None:
        kept = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
        self.hub.replace(storage, {**obj, "metadata": {**obj["metadata"], "finalizers": kept}})
