# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""As much of ``k3s kubectl`` as somebody who keeps nodes types: get, delete, annotate, label, cordon, uncordon, drain, version, --raw."""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import web
from .paths import KUBECONFIG
from .version import VERSION

Object = dict[str, Any]
_KINDS = {
    "nodes": ("/api/v1", False, ("no", "node")),
    "namespaces": ("/api/v1", False, ("ns", "namespace")),
    "pods": ("/api/v1", True, ("po", "pod")),
    "secrets": ("/api/v1", True, ("secret",)),
    "configmaps": ("/api/v1", True, ("cm", "configmap")),
    "services": ("/api/v1", True, ("svc", "service")),
    "deployments": ("/apis/apps/v1", True, ("deploy", "deployment", "deployments.apps")),
    "daemonsets": ("/apis/apps/v1", True, ("ds", "daemonset", "daemonsets.apps")),
    "leases": ("/apis/coordination.k8s.io/v1", True, ("lease",)),
}
_VALUES = (
    "-n",
    "--namespace",
    "-o",
    "--output",
    "--kubeconfig",
    "--raw",
    "--timeout",
    "--grace-period",
    "-l",
    "--selector",
    "--request-timeout",
)


class KubectlError(Exception):
    """What kubectl writes to standard error, and ends with status 1."""


class Client:
    """The API by a kubeconfig of the form that k3s writes."""

    def __init__(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise KubectlError(f'error: error loading config file "{path}": {error.strerror}') from None

        def told(name: str) -> str:
            found = re.search(rf'"?{name}"?:\s*"?([^"\s,]+)', text)
            return found[1] if found else ""

        self._server = told("server")
        self._context = ssl.create_default_context(cadata=base64.b64decode(told("certificate-authority-data")).decode())
        with tempfile.NamedTemporaryFile() as file:
            for name in ("client-certificate-data", "client-key-data"):
                file.write(base64.b64decode(told(name)))
            file.flush()
            self._context.load_cert_chain(file.name)

    def call(self, method: str, path: str, body: Object | None = None) -> bytes:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        sent = json.dumps(body).encode() if body is not None else None
        try:
            headers = {"Content-Type": kind, "User-Agent": "kubectl"}
            return web.call(self._server + path, self._context, method=method, body=sent, headers=headers)
        except web.WebError as error:
            told = str(error).rsplit(": ", 1)[-1] if error.code else f"The connection to the server was refused: {error}"
            raise KubectlError(f"Error from server: {told}") from None


def _parsed(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    rest, waiting = [], list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if not argument.startswith("-") or argument == "-":
            rest.append(argument)
            continue
        name, equals, value = argument.partition("=")
        if not equals and name in _VALUES:
            value = waiting.pop(0) if waiting else ""
        name = {"-n": "--namespace", "-o": "--output", "-l": "--selector", "-A": "--all-namespaces"}.get(name, name)
        options[name] = value or "true"
    return options, rest


def _path(options: dict[str, str], kind: str, name: str = "") -> str:
    for plural, (base, namespaced, other) in _KINDS.items():
        if kind.lower() in (plural, *other):
            every = not namespaced or ("--all-namespaces" in options and not name)
            scope = "" if every else f"/namespaces/{options.get('--namespace', 'default')}"
            return f"{base}{scope}/{plural}" + (f"/{name}" if name else "")
    raise KubectlError(f'error: the server doesn\'t have a resource type "{kind}"')


def _named(words: list[str]) -> list[tuple[str, str]]:
    if not words:
        raise KubectlError("error: you must specify the type of resource")
    if "/" in words[0]:
        return [(word.split("/", 1)[0], word.split("/", 1)[1]) for word in words]
    return [(words[0], name) for name in words[1:]] or [(words[0], "")]


def _ready(node: Object) -> str:
    conditions = {each["type"]: each["status"] for each in node.get("status", {}).get("conditions", [])}
    words = "Ready" if conditions.get("Ready") == "True" else "NotReady"
    return words + (",SchedulingDisabled" if node.get("spec", {}).get("unschedulable") else "")


def _row(obj: Object) -> list[str]:
    name = obj["metadata"]["name"]
    if obj.get("kind") == "Node":
        prefix = "node-role.kubernetes.io/"
        roles = sorted(label[len(prefix) :] for label in obj["metadata"].get("labels", {}) if label.startswith(prefix))
        version = obj.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")
        return [name, _ready(obj), ",".join(roles) or "<none>", version]
    return [name]


def _get(client: Client, options: dict[str, str], words: list[str]) -> None:
    if "--raw" in options:
        sys.stdout.write(client.call("GET", options["--raw"]).decode())
        return
    found: list[Object] = []
    single = None
    for kind, name in _named(words):
        query = f"?labelSelector={options['--selector']}" if "--selector" in options and not name else ""
        try:
            read = json.loads(client.call("GET", _path(options, kind, name) + query))
        except KubectlError as error:
            if "--ignore-not-found" in options and "not found" in str(error):
                continue
            raise
        single = read
        found += [{"kind": read["kind"][:-4], **item} for item in read["items"]] if "items" in read else [read]
    output = options.get("--output", "")
    if output == "json":
        print(json.dumps(single if single is not None and len(words) <= 2 else {"kind": "List", "items": found}, indent=4))
    elif output == "name":
        print("\n".join(f"{obj['kind'].lower()}/{obj['metadata']['name']}" for obj in found))
    elif output in ("", "wide"):
        header = ["NAME", "STATUS", "ROLES", "VERSION"] if found and found[0].get("kind") == "Node" else ["NAME"]
        for row in [header, *map(_row, found)] if "--no-headers" not in options else map(_row, found):
            print("   ".join(row))
    else:
        raise KubectlError(f"error: this stand-in's kubectl does not play -o {output}")


def _delete(client: Client, options: dict[str, str], words: list[str]) -> None:
    for kind, name in _named(words):
        try:
            client.call("DELETE", _path(options, kind, name))
        except KubectlError as error:
            if "--ignore-not-found" not in options or "not found" not in str(error):
                raise
            continue
        print(f'{kind.split(".")[0]} "{name}" deleted')


def _mark(client: Client, options: dict[str, str], words: list[str], field: str) -> None:
    marks = {word.partition("=")[0]: word.partition("=")[2] for word in words if "=" in word}
    gone = {word[:-1]: None for word in words if word.endswith("-") and "=" not in word}
    for kind, name in _named([word for word in words if "=" not in word and not word.endswith("-")]):
        client.call("PATCH", _path(options, kind, name), {"metadata": {field: {**marks, **gone}}})
        print(f"{kind.rstrip('s')}/{name} {'annotated' if field == 'annotations' else 'labeled'}")


def _cordon(client: Client, words: list[str], unschedulable: bool) -> None:
    for word in words:
        name = word.split("/")[-1]
        client.call("PATCH", f"/api/v1/nodes/{name}", {"spec": {"unschedulable": unschedulable or None}})
        print(f"node/{name} {'cordoned' if unschedulable else 'uncordoned'}")


def _drain(client: Client, options: dict[str, str], words: list[str]) -> None:
    """Evicts what no DaemonSet owns, again and again as long as a budget forbids it, until the time is over."""
    _cordon(client, words, True)
    end = time.monotonic() + float(re.sub(r"\D", "", options.get("--timeout", "60")) or 60)
    for word in words:
        while True:
            read = json.loads(client.call("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={word.split('/')[-1]}"))
            owners = {item["metadata"]["name"]: item["metadata"].get("ownerReferences", []) for item in read["items"]}
            left = [item for item in read["items"] if not any(o["kind"] == "DaemonSet" for o in owners[item["metadata"]["name"]])]
            if not left:
                break
            if time.monotonic() > end:
                raise KubectlError(f'error: unable to drain node "{word}": global timeout reached')
            for pod in left:
                _evict(client, pod["metadata"])
            time.sleep(0.5)
        print(f"node/{word} drained")


def _evict(client: Client, pod: Object) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod["name"], "namespace": pod["namespace"]}}
    try:
        client.call("POST", f"/api/v1/namespaces/{pod['namespace']}/pods/{pod['name']}/eviction", eviction)
    except KubectlError as error:
        print(error, file=sys.stderr)


def main(arguments: list[str]) -> None:
    options, words = _parsed(arguments)
    command = words.pop(0) if words else ""
    try:
        if command == "version":
            print(f"Client Version: {VERSION}")
            if "--client" in options:
                return
        client = Client(Path(options.get("--kubeconfig") or os.environ.get("KUBECONFIG") or KUBECONFIG))
        if command == "version":
            print(f"Server Version: {json.loads(client.call('GET', '/version'))['gitVersion']}")
        elif command == "get":
            _get(client, options, words)
        elif command == "delete":
            _delete(client, options, words)
        elif command in ("annotate", "label"):
            _mark(client, options, words, "annotations" if command == "annotate" else "labels")
        elif command in ("cordon", "uncordon"):
            _cordon(client, words, command == "cordon")
        elif command == "drain":
            _drain(client, options, words)
        else:
            raise KubectlError(f"error: this stand-in's kubectl does not play '{command}'")
    except KubectlError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
