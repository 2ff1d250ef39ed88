# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the journal of a cluster's migration is: in a ConfigMap at both ends, changed only by who has read it last."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import replace
from typing import Any

from ..backends.cluster import ClusterApi, Object, Resource
from ..errors import ConflictError, ExistsError, FederationError, MigrationFailed, NotFoundError
from .journal import Journal

NAMESPACE = "virt8ra-system"
MANAGER = "virt8ra-federation"
# The ResourceQuota that keeps pods from starting at the source once they run at the target.
FENCE = "virt8ra-moved"
MIGRATION = "federation.virt8ra.eu/migration"
NAME = "federation.virt8ra.eu/name"
# The quota of no pods in the source's namespaces, from before the target starts.
FENCE = "virt8ra-moved"
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
SECRETS = Resource("", "v1", "Secret", "secrets", namespaced=True)
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
_KEY = "journal"
# A ConfigMap holds 1 MiB, its own words included.
_MOST_BYTES = 1000 * 1000


def label_of(name: str) -> str:
    """A migration's name as a label's value, whatever letters it has."""
    return hashlib.sha256(name.encode()).hexdigest()[:20]


def config_map(migration_id: str) -> str:
    return f"virt8ra-migration-{migration_id}"


class JournalStore:
    """The journal of the migration ``name`` between two clusters; the one of the highest serial counts.

    It is written at the source first, so that whoever reads only the source never believes less than what was begun.
    """

    def __init__(self, source: ClusterApi, target: ClusterApi, name: str) -> None:
        self._ends = (source, target)
        self._name = name
        self._read: dict[int, Object] = {}

    def read(self) -> Journal | None:
        """None when there is none at either end."""
        best: Journal | None = None
        found: dict[int, Object] = {}
        for index, api in enumerate(self._ends):
            for stored in journals_at(api, self._name):
                journal = _journal(stored)
                if best is None or (journal.started, journal.serial) > (best.started, best.serial):
                    best = journal
                there = found.get(index)
                if there is None or _journal(there).started <= journal.started:
                    found[index] = stored
        self._read = {} if best is None else {i: stored for i, stored in found.items() if _journal(stored).id == best.id}
        return best

    def begin(self, journal: Journal) -> Journal:
        """The first write of a new migration: its namespace is made at both ends where it is missing."""
        self._read = {}
        for api in self._ends:
            make_namespace(api)
        return self.write(journal)

    def write(self, journal: Journal) -> Journal:
        """At both ends; MigrationFailed when another run wrote it since this one read it."""
        journal = replace(journal, serial=journal.serial + 1)
        text = json.dumps(journal.to_dict(), sort_keys=True, separators=(",", ":"))
        if len(text) > _MOST_BYTES:
            raise MigrationFailed(
                f"the journal of migration {journal.name} has {len(text)} bytes, more than a ConfigMap holds",
                remedy="migrate fewer namespaces at once, with the option namespaces",
            )
        for index, api in enumerate(self._ends):
            self._write(index, api, journal, text)
        return journal

    def _write(self, index: int, api: ClusterApi, journal: Journal, text: str) -> None:
        labels = {MIGRATION: journal.id, NAME: label_of(journal.name)}
        metadata: Object = {"name": config_map(journal.id), "namespace": NAMESPACE, "labels": labels}
        body: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {_KEY: text}}
        before = self._read.get(index)
        try:
            if before is None:
                self._read[index] = api.create(CONFIG_MAPS, body)
            else:
                metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
                self._read[index] = api.replace(CONFIG_MAPS, body)
        except (ConflictError, ExistsError, NotFoundError) as error:
            # An answer that was lost on its way: the write was repeated, and finds itself there.
            there = api.get(CONFIG_MAPS, config_map(journal.id), NAMESPACE)
            if there is None or there.get("data", {}).get(_KEY) != text:
                raise MigrationFailed(
                    f"the journal of migration {journal.name} was written by another run at {api.name} meanwhile",
                    remedy="run it again; it goes on with what is there",
                ) from error
            self._read[index] = there

    def forget_target(self) -> None:
        """Take the target's one away, and its namespace when nothing else is in there."""
        stored = self._read.pop(1, None)
        if stored is not None:
            self._ends[1].delete(CONFIG_MAPS, stored["metadata"]["name"], NAMESPACE)
        remove_namespace(self._ends[1])


def journals_at(api: ClusterApi, name: str | None = None) -> list[Object]:
    """The ConfigMaps with journals at one cluster, of one migration or of all."""
    labels = f"{MIGRATION},{NAME}" if name is None else f"{MIGRATION},{NAME}={label_of(name)}"
    return [stored for stored in api.each(CONFIG_MAPS, NAMESPACE, labels=labels) if _KEY in (stored.get("data") or {})]


def journal_in(stored: Object) -> Journal:
    """MigrationFailed for what is no journal."""
    return _journal(stored)


def _journal(stored: Object) -> Journal:
    data: Any
    try:
        data = json.loads(stored["data"][_KEY])
    except ValueError as error:
        raise MigrationFailed(f"ConfigMap {NAMESPACE}/{stored['metadata']['name']} holds no journal ({error})") from error
    journal = Journal.from_dict(data)
    if journal is None:
        raise MigrationFailed(f"ConfigMap {NAMESPACE}/{stored['metadata']['name']} holds no journal")
    return journal


def make_namespace(api: ClusterApi) -> None:
    with contextlib.suppress(ExistsError):
        labels = {"app.kubernetes.io/managed-by": MANAGER}
        api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})


def remove_namespace(api: ClusterApi) -> None:
    """When it is ours, and holds no more than what every namespace has."""
    there = api.get(NAMESPACES, NAMESPACE)
    if there is None or (there["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") != MANAGER:
        return
    left = [item["metadata"]["name"] for item in api.each(CONFIG_MAPS, NAMESPACE)]
    left += [item["metadata"]["name"] for item in api.each(SECRETS, NAMESPACE)]
    if set(left) <= {"kube-root-ca.crt"}:
        with contextlib.suppress(FederationError):
            api.delete(NAMESPACES, NAMESPACE, uid=there["metadata"].get("uid", ""))
