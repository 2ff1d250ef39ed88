# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects by kind, namespace and name, with one count of resource versions and a memory of what changed, for watches.

What is stored is never changed: who changes an object stores another. So lists and watches share them, and their JSON.
"""

from __future__ import annotations

import base64
import copy
import json
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from .kinds import Kind
from .statuses import ApiError

Object = dict[str, Any]
Key = tuple[str, str]
REMEMBERED = 20000


def dumps(obj: Any) -> bytes:
    return json.dumps(obj, separators=(",", ":")).encode()


def copied(obj: Any) -> Any:
    """A deep copy of plain data, much quicker than copy.deepcopy."""
    if isinstance(obj, dict):
        return {key: copied(value) if isinstance(value, (dict, list)) else value for key, value in obj.items()}
    if isinstance(obj, list):
        return [copied(value) if isinstance(value, (dict, list)) else value for value in obj]
    return copy.copy(obj)


class Stored:
    """An object at one resource version; its JSON is made once for each version of the API that asks."""

    __slots__ = ("_raw", "_text", "obj", "rv")

    def __init__(self, obj: Object, rv: int) -> None:
        self.obj, self.rv = obj, rv
        self._raw: dict[str, bytes] = {}
        self._text = b""

    @property
    def text(self) -> bytes:
        """The object as it is stored."""
        if not self._text:
            self._text = dumps(self.obj)
        return self._text

    def raw(self, kind: Kind) -> bytes:
        if (self.obj.get("apiVersion"), self.obj.get("kind")) == (kind.api_version, kind.kind):
            return self.text
        made = self._raw.get(kind.version)
        if made is None:
            made = self._raw[kind.version] = dumps(self.seen(kind))
        return made

    def seen(self, kind: Kind) -> Object:
        """The object in the version asked for: conversion changes nothing else."""
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            **{k: v for k, v in self.obj.items() if k not in ("apiVersion", "kind")},
        }


class Event:
    """A change: ``old`` is None for a new object, ``new`` has the last state also when it is gone."""

    __slots__ = ("gone", "new", "old", "rv")

    def __init__(self, rv: int, old: Stored | None, new: Stored, gone: bool) -> None:
        self.rv, self.old, self.new, self.gone = rv, old, new, gone


class Shelf:
    """All objects of one kind, in the order of their keys."""

    def __init__(self) -> None:
        self.objects: dict[Key, Stored] = {}
        self.order: list[Key] = []
        self.history: deque[Event] = deque(maxlen=REMEMBERED)
        self.forgotten = 0
        self.watchers: set[Callable[[Event], None]] = set()
        self.pages: dict[int, list[tuple[Key, Stored]]] = {}


class Store:
    """``listeners`` hear every change (storage, event) after it was made: the controllers."""

    def __init__(self) -> None:
        self.rv = 100
        self.forgotten = 0
        self.shelves: dict[tuple[str, str], Shelf] = {}
        self.listeners: list[Callable[[tuple[str, str], Event], None]] = []

    def shelf(self, storage: tuple[str, str]) -> Shelf:
        shelf = self.shelves.get(storage)
        if shelf is None:
            shelf = self.shelves[storage] = Shelf()
        return shelf

    def get(self, storage: tuple[str, str], namespace: str, name: str) -> Stored | None:
        return self.shelf(storage).objects.get((namespace, name))

    def put(self, storage: tuple[str, str], obj: Object) -> Stored:
        """A new object or a new state of one; ``metadata.resourceVersion`` is set here."""
        self.rv += 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(self.rv)
        key = (metadata.get("namespace", ""), metadata["name"])
        shelf = self.shelf(storage)
        old = shelf.objects.get(key)
        new = Stored(obj, self.rv)
        shelf.objects[key] = new
        if old is None:
            insort(shelf.order, key)
        self._tell(storage, shelf, Event(self.rv, old, new, gone=False))
        return new

    def remove(self, storage: tuple[str, str], namespace: str, name: str) -> Stored | None:
        shelf = self.shelf(storage)
        old = shelf.objects.pop((namespace, name), None)
        if old is None:
            return None
        del shelf.order[bisect_left(shelf.order, (namespace, name))]
        self.rv += 1
        last = Stored({**old.obj, "metadata": {**old.obj["metadata"], "resourceVersion": str(self.rv)}}, self.rv)
        self._tell(storage, shelf, Event(self.rv, old, last, gone=True))
        return last

    def _tell(self, storage: tuple[str, str], shelf: Shelf, event: Event) -> None:
        if len(shelf.history) == REMEMBERED:
            shelf.forgotten = shelf.history[0].rv
        shelf.history.append(event)
        for watcher in tuple(shelf.watchers):
            watcher(event)
        for listener in self.listeners:
            listener(storage, event)

    def each(self, storage: tuple[str, str], namespace: str = "") -> Iterator[tuple[Key, Stored]]:
        """In order; of all namespaces when empty."""
        shelf = self.shelf(storage)
        keys = shelf.order
        if namespace:
            keys = keys[bisect_left(keys, (namespace, "")) : bisect_left(keys, (namespace + "\0", ""))]
        for key in tuple(keys):
            if key in shelf.objects:
                yield key, shelf.objects[key]

    def objects(self, storage: tuple[str, str], namespace: str = "") -> Iterator[Object]:
        return (stored.obj for _key, stored in self.each(storage, namespace))

    def page(
        self,
        storage: tuple[str, str],
        namespace: str,
        wanted: Callable[[Object], bool] | None,
        limit: int,
        token: str,
    ) -> tuple[list[Stored], int, str, int | None]:
        """``(objects, resource version, token of the next page, how many are left)``; ApiError 410 for an expired token."""
        shelf = self.shelf(storage)
        if token:
            version, start = self._token(shelf, token)
            every = shelf.pages[version] if version in shelf.pages else list(self.each(storage))
            at = bisect_right([key for key, _stored in every], start)
            every = every[at:]
            if namespace:
                every = [each for each in every if each[0][0] == namespace]
            version = version if version > 0 else self.rv
        else:
            every, version = list(self.each(storage, namespace)), self.rv
        taken: list[Stored] = []
        for index, (key, stored) in enumerate(every):
            if wanted is None or wanted(stored.obj):
                taken.append(stored)
                if limit and len(taken) == limit and index + 1 < len(every):
                    if version not in shelf.pages:
                        shelf.pages[version] = list(self.each(storage))
                        if len(shelf.pages) > 64:
                            del shelf.pages[min(shelf.pages)]
                    left = None if wanted else len(every) - index - 1
                    return taken, version, _encoded(version, key), left
        return taken, version, "", None

    def _token(self, shelf: Shelf, token: str) -> tuple[int, Key]:
        try:
            read = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            version, (namespace, name) = int(read["rv"]), read["start"].split("/", 1)
        except (ValueError, KeyError, TypeError):
            raise ApiError(400, "continue key is not valid: illegal base64 data or unknown encoding") from None
        if version > 0 and version not in shelf.pages:
            raise ApiError(
                410,
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
                "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
                "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
                "deleted between the time the first chunk was returned and now may show up in the list.",
                **{"continue": _encoded(-1, (namespace, name))},
            )
        return version, (namespace, name)

    def expire(self) -> None:
        """Forget every page that a list could go on with."""
        for shelf in self.shelves.values():
            shelf.pages.clear()

    def compact(self) -> None:
        """Forget what changed until now: a watch from before is 410."""
        self.forgotten = self.rv
        for shelf in self.shelves.values():
            shelf.history.clear()
            shelf.forgotten = self.rv

    def saved(self) -> Object:
        return {
            "rv": self.rv,
            "objects": [
                {"group": group, "plural": plural, "object": stored.obj}
                for (group, plural), shelf in self.shelves.items()
                for stored in shelf.objects.values()
            ],
        }

    def load(self, saved: Object) -> None:
        for each in saved["objects"]:
            obj = each["object"]
            shelf = self.shelf((each["group"], each["plural"]))
            key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            shelf.objects[key] = Stored(obj, int(obj["metadata"]["resourceVersion"]))
            insort(shelf.order, key)
        self.rv = int(saved["rv"]) + 1
        self.forgotten = self.rv
        for shelf in self.shelves.values():
            shelf.forgotten = self.rv


def _encoded(version: int, key: Key) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": "/".join(key)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
