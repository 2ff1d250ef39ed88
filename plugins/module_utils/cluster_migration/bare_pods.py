# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods that nothing would make again, kept while they are put to rest: in a Secret, as they may hold secrets."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from ..backends.cluster import ClusterApi, Object
from ..errors import ExistsError
from . import resting
from .resting import key_of, parts_of
from .store import MANAGER, MIGRATION, NAMESPACE, SECRETS


class BarePods:
    """Those of one migration, at the source."""

    def __init__(self, api: ClusterApi, migration_id: str) -> None:
        self.api = api
        self.id = migration_id

    @property
    def _secret(self) -> str:
        return f"virt8ra-migration-{self.id}-pods"

    def keep(self, keys: Iterable[str]) -> None:
        """Those that are there; what was kept before stays as it was."""
        kept = self.kept()
        fresh = {}
        for key in keys:
            _version, _kind, namespace, name = parts_of(key)
            item = None if key in kept else self.api.get(resting.PODS, name, namespace)
            if item is not None:
                fresh[key] = item
        if not fresh:
            return
        data = {f"pod-{index}": _packed(item) for index, item in enumerate([*kept.values(), *fresh.values()])}
        metadata = {"name": self._secret, "namespace": NAMESPACE, "labels": {MIGRATION: self.id}}
        body: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
        self.api.apply(SECRETS, body, manager=MANAGER, force=True)

    def kept(self) -> dict[str, Object]:
        """The bare pods that were taken away, by key, as they were."""
        there = self.api.get(SECRETS, self._secret, NAMESPACE)
        pods: dict[str, Object] = {}
        for value in ((there or {}).get("data") or {}).values():
            item = json.loads(base64.b64decode(value))
            pods[key_of(item)] = item
        return pods

    def make(self, item: Object) -> None:
        """Anew, as it was; the scheduler finds it a node."""
        metadata = {key: item["metadata"][key] for key in ("name", "namespace", "labels", "annotations") if key in item["metadata"]}
        spec = {key: value for key, value in item["spec"].items() if key != "nodeName"}
        _drop_token_mounts(spec)
        try:
            self.api.create(resting.PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        except ExistsError:
            return

    def forget(self) -> None:
        """Nothing is taken back any more."""
        self.api.delete(SECRETS, self._secret, NAMESPACE)


def _packed(item: Object) -> str:
    return base64.b64encode(json.dumps(item, sort_keys=True).encode()).decode("ascii")


def _drop_token_mounts(spec: Object) -> None:
    """The volume of the service account's token, which the server adds to every pod by itself."""
    added = {volume["name"] for volume in spec.get("volumes") or () if str(volume.get("name", "")).startswith("kube-api-access-")}
    if not added:
        return
    spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] not in added]
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        container["volumeMounts"] = [mount for mount in container.get("volumeMounts") or () if mount["name"] not in added]
