# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sample application: everything that makes a cluster's migration hard, for a double and for real Kubernetes alike.

``waves()`` gives its objects in an order in which they can be made; ``install(kubectl)`` makes them. The test's own client is
kubectl, so that what is tested is not what builds its tests.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from .volume import change_volume_data, read_volume, write_volume_data

__all__ = ["Kubectl", "change_volume_data", "install", "objects", "read_volume", "remove", "settle", "waves", "write_volume_data"]

FOLDER = Path(__file__).resolve().parent / "shop"
NAMESPACE = "shop"
# What a ConfigMap can hold at most is 1 MiB in all: its keys count as well.
_MOST = 2**20
_PARTS = ("cluster", "access", "configuration", "database", "web", "work", "orders")

Object = dict[str, Any]


def objects(namespace: str = NAMESPACE) -> list[Object]:
    """All of them, in the order of the files; owners of an object come before it, and have no UID yet."""
    found: list[Object] = []
    for part in _PARTS:
        text = (FOLDER / f"{part}.manifest").read_text(encoding="utf-8")
        for document in yaml.safe_load_all(text):
            if document is not None:
                found.append(_named(document, namespace))
    return [*found, big_config_map(namespace)]


def _named(value: Any, namespace: str) -> Any:
    """``@`` and ``@-…`` are the namespace and what is named for it."""
    if isinstance(value, dict):
        return {key: _named(item, namespace) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, namespace) for item in value]
    if value == "@" or (isinstance(value, str) and value.startswith("@-")):
        return namespace + value[1:]
    return value


def big_config_map(namespace: str = NAMESPACE) -> Object:
    """As large as one can be, in text and in bytes that are no text; the same on every machine."""
    text_key, bytes_key = "catalogue.csv", "stamp.bin"
    stamp = b"".join(hashlib.sha256(b"stamp %d" % number).digest() for number in range(4096))
    room = _MOST - len(stamp) - len(text_key) - len(bytes_key)
    lines = "".join(f"{number};{hashlib.sha256(b'article %d' % number).hexdigest()};Größe\n" for number in range(room // 64))
    text = lines.encode()[:room].decode("utf-8", "ignore")
    text += "." * (room - len(text.encode()))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "catalogue", "namespace": namespace},
        "data": {text_key: text},
        "binaryData": {bytes_key: base64.b64encode(stamp).decode()},
    }


def waves(namespace: str = NAMESPACE) -> list[list[Object]]:
    """First what defines kinds and the namespace, then what nobody owns, then what is owned, chain by chain."""
    first = ("Namespace", "CustomResourceDefinition")
    every = objects(namespace)
    found = [[item for item in every if item["kind"] in first]]
    rest = [item for item in every if item["kind"] not in first]
    while rest:
        waiting = {identity(item) for item in rest}
        now = [item for item in rest if not any(_owner(item, reference) in waiting for reference in owners(item))]
        found.append(now)
        rest = [item for item in rest if item not in now]
    return found


def identity(item: Object) -> tuple[str, str, str, str]:
    """Group, kind, namespace (empty for none) and name."""
    group = item["apiVersion"].rpartition("/")[0]
    return (group, item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])


def owners(item: Object) -> list[Object]:
    return list(item["metadata"].get("ownerReferences") or [])


def _owner(item: Object, reference: Object) -> tuple[str, str, str, str]:
    namespace = "" if reference["kind"] == "Region" else item["metadata"].get("namespace", "")
    return (reference["apiVersion"].rpartition("/")[0], reference["kind"], namespace, reference["name"])


class Kubectl:
    """One cluster, by the command kubectl (KUBECTL in the environment names another one)."""

    def __init__(self, kubeconfig: Path | str, context: str = "") -> None:
        self._command = [os.environ.get("KUBECTL", "kubectl"), f"--kubeconfig={kubeconfig}"]
        self._command += [f"--context={context}"] if context else []

    def run(self, *arguments: str, data: bytes | None = None, check: bool = True) -> bytes:
        """RuntimeError with kubectl's last words when it fails, unless nobody checks."""
        # The cluster is asked directly, and no cache of another one of the same address is used.
        environment = {**os.environ, "KUBECACHEDIR": "/dev/null/none", "NO_PROXY": "*", "no_proxy": "*"}
        ended = subprocess.run([*self._command, *arguments], input=data, capture_output=True, env=environment, check=False)
        if check and ended.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {ended.stderr.decode(errors='replace').strip()[-2000:]}")
        return ended.stdout

    def create(self, items: Sequence[Object]) -> list[Object]:
        """As they are then, in their order."""
        body = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
        # One document after the other, without anything between them.
        text, decoder, found = (
            self.run("create", "--validate=false", "-o", "json", "-f", "-", data=body).decode(),
            json.JSONDecoder(),
            [],
        )
        while text := text.lstrip():
            item, end = decoder.raw_decode(text)
            found += item["items"] if item["kind"] == "List" else [item]
            text = text[end:]
        return found

    def get(self, resource: str, name: str, namespace: str = "") -> Object | None:
        """None when there is none; ``resource`` as kubectl says it."""
        place = ["-n", namespace] if namespace else []
        text = self.run("get", resource, name, *place, "-o", "json", "--ignore-not-found")
        return dict(json.loads(text)) if text.strip() else None

    def each(self, resource: str, namespace: str = "") -> list[Object]:
        """All of a kind, of one namespace or of all."""
        place = ["-n", namespace] if namespace else ["-A"]
        return list(json.loads(self.run("get", resource, *place, "-o", "json"))["items"])


def install(kubectl: Kubectl, namespace: str = NAMESPACE) -> list[Object]:
    """Make all of it; returns the objects as the cluster has them then."""
    made: dict[tuple[str, str, str, str], Object] = {}
    for number, wave in enumerate(waves(namespace)):
        ready = [owned(item, made) for item in wave if number or kubectl.get(_resource(item), item["metadata"]["name"]) is None]
        for item in kubectl.create(ready) if ready else []:
            made[identity(item)] = item
        if number == 0:
            definitions = [item["metadata"]["name"] for item in wave if item["kind"] == "CustomResourceDefinition"]
            kubectl.run("wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{name}" for name in definitions))
            # A new namespace has its ServiceAccount a moment later, and no pod before that.
            _until(f"the ServiceAccount default of {namespace}", lambda: kubectl.get("serviceaccount", "default", namespace))
    return list(made.values())


def _until(what: str, there: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.2)


def _resource(item: Object) -> str:
    return {"Namespace": "namespaces", "CustomResourceDefinition": "customresourcedefinitions"}[item["kind"]]


def owned(item: Object, made: dict[tuple[str, str, str, str], Object]) -> Object:
    """With the UIDs of its owners, which must be there already (KeyError)."""
    item = copy.deepcopy(item)
    for reference in owners(item):
        reference["uid"] = made[_owner(item, reference)]["metadata"]["uid"]
    return item


def settle(kubectl: Kubectl, namespace: str = NAMESPACE, seconds: int = 300, *, moved: bool = False) -> None:
    """Wait until its workloads are ready and its Job is through; one that was through before it moved comes suspended."""
    limit = f"--timeout={seconds}s"
    for workload in ("deployment/web", "statefulset/database", "daemonset/watcher"):
        kubectl.run("-n", namespace, "rollout", "status", workload, limit)
    kubectl.run("-n", namespace, "wait", f"--for=condition={'Suspended' if moved else 'Complete'}", limit, "job/import")
    kubectl.run("-n", namespace, "wait", "--for=condition=Ready", limit, "pod/alone")


def remove(kubectl: Kubectl, namespace: str = NAMESPACE, seconds: int = 180) -> None:
    """Take it away, whatever of it is there, without asking its finalizers. Its kinds (CRDs) stay: others may use them."""
    no_finalizers = '{"metadata": {"finalizers": null}}'
    for resource, name in (("configmap", "guarded"), ("orders.shop.example.org", "first")):
        kubectl.run("-n", namespace, "patch", resource, name, "--type=merge", "-p", no_finalizers, check=False)
    for item in objects(namespace):
        if not item["metadata"].get("namespace") and item["kind"] not in ("Namespace", "CustomResourceDefinition"):
            kubectl.run("delete", item["kind"], item["metadata"]["name"], "--ignore-not-found", "--wait=false", check=False)
    kubectl.run("delete", "namespace", namespace, "--ignore-not-found", f"--timeout={seconds}s")
