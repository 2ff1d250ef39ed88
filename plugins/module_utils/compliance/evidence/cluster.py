# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What objects of a cluster's API tell of it, by area; pure.

What the API tells is not trusted: what is not of the kind that it should be counts as not there.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

Object = Mapping[str, Any]

_ENDPOINT_KEYS = ("server", "share", "endpoint", "monitors", "address", "portal", "targetPortal", "url", "source")
_IN_TREE = {
    "nfs": ("server",),
    "iscsi": ("targetPortal", "portals"),
    "cephfs": ("monitors",),
    "rbd": ("monitors",),
    "glusterfs": ("endpoints",),
}
_LOCAL = ("hostPath", "local")
_NOT_KINDS = (
    "accessModes capacity claimRef mountOptions nodeAffinity persistentVolumeReclaimPolicy storageClassName volumeMode "
    "volumeAttributesClassName"
).split()
_SECURITY = "pod-security.kubernetes.io/"
_KUBELET = (
    "authentication authorization readOnlyPort protectKernelDefaults streamingConnectionIdleTimeout makeIPTablesUtilChains "
    "eventRecordQPS tlsMinVersion tlsCipherSuites rotateCertificates serverTLSBootstrap podPidsLimit"
).split()
_MINOR = re.compile(r"v?(\d+)\.(\d+)")
_STRONG = ("ALL", "SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE", "DAC_READ_SEARCH", "BPF")


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(one: Object) -> str:
    return str(mapping(one.get("metadata")).get("name") or "")


def volumes(objects: Iterable[Object]) -> dict[str, Any]:
    """``{"volumes": [{name, kind, driver, local, endpoints, nodes, claim, storage_class}], "endpoints": [{name, address, volumes}]}``.

    ``address`` is null where the endpoint is a name; ``nodes`` are the host names that a volume is bound to.
    """
    found = sorted((_volume(one) for one in objects), key=lambda one: str(one["name"]))
    used: dict[str, list[str]] = {}
    for one in found:
        for endpoint in one["endpoints"]:
            used.setdefault(endpoint, []).append(one["name"])
    endpoints = [{"name": name, "address": _address(name), "volumes": used[name]} for name in sorted(used)]
    return {"volumes": found, "endpoints": endpoints}


def _volume(one: Object) -> dict[str, Any]:
    spec = mapping(one.get("spec"))
    kind = next((key for key in sorted(spec) if key not in _NOT_KINDS and isinstance(spec[key], Mapping)), "")
    source = mapping(spec.get(kind))
    told = mapping(source.get("volumeAttributes")) if kind == "csi" else source
    keys = _ENDPOINT_KEYS if kind == "csi" else _IN_TREE.get(kind, ())
    claim = mapping(spec.get("claimRef"))
    return {
        "name": _name(one),
        "kind": kind,
        "driver": str(source.get("driver") or "") if kind == "csi" else kind,
        "local": kind in _LOCAL,
        "endpoints": sorted({host for key in keys for host in _hosts(told.get(key))}),
        "nodes": _bound_nodes(spec),
        "claim": f"{claim['namespace']}/{claim['name']}" if {"namespace", "name"} <= set(claim) else "",
        "storage_class": str(spec.get("storageClassName") or ""),
    }


def _hosts(value: Any) -> list[str]:
    """The host in each of ``https://host:port/path``, ``host:/path``, ``[address]:port``, a list of them or one text with commas."""
    items = value if isinstance(value, list) else str(value or "").split(",")
    return [host for host in map(_host, items) if host]


def _host(written: Any) -> str:
    text = str(written).strip()
    if _address(text):
        return text
    # An NFS server stands before a colon and a path; a share such as //server/share has no scheme.
    text = text if "//" in text else f"//{text.partition(':/')[0] if ':/' in text else text}"
    try:
        return urlsplit(text).hostname or ""
    except ValueError:
        return ""


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _bound_nodes(spec: Mapping[str, Any]) -> list[str]:
    terms = _list(mapping(mapping(spec.get("nodeAffinity")).get("required")).get("nodeSelectorTerms"))
    wanted = [each for term in terms for each in _list(mapping(term).get("matchExpressions"))]
    names = [mapping(each) for each in wanted if mapping(each).get("key") == "kubernetes.io/hostname"]
    return sorted({str(value) for each in names for value in _list(each.get("values"))})


def portability(definitions: Iterable[Object], classes: Iterable[Object]) -> dict[str, Any]:
    """``{"crds": [{name, group}], "crd_groups": [...], "storage_classes": [{name, provisioner}], "provisioners": [...]}``."""
    crds = [{"name": _name(one), "group": str(mapping(one.get("spec")).get("group") or "")} for one in definitions]
    kinds = [{"name": _name(one), "provisioner": str(one.get("provisioner") or "")} for one in classes]
    return {
        "crds": sorted(crds, key=lambda one: one["name"]),
        "crd_groups": sorted({one["group"] for one in crds}),
        "storage_classes": sorted(kinds, key=lambda one: one["name"]),
        "provisioners": sorted({one["provisioner"] for one in kinds}),
    }


def version(server: str, nodes: Iterable[Mapping[str, Any]], distribution: str) -> dict[str, Any]:
    """``{"server", "branch", "distribution", "nodes": [{name, version, behind}], "most_behind", "ahead": [names]}``, in minor versions.

    :param nodes: records with ``name`` and ``version`` of the kubelet; ``behind`` is null where the version cannot be read
    """
    own = _minor(server)
    rows: list[dict[str, Any]] = []
    for node in nodes:
        other = _minor(str(node.get("version") or ""))
        same = own is not None and other is not None and own[0] == other[0]
        behind = own[1] - other[1] if own is not None and other is not None and same else None
        rows.append({"name": str(node["name"]), "version": str(node.get("version") or ""), "behind": behind})
    known = [row["behind"] for row in rows if row["behind"] is not None]
    return {
        "server": server,
        "branch": "" if own is None else f"{own[0]}.{own[1]}",
        "distribution": distribution,
        "nodes": rows,
        "most_behind": max(known) if known and len(known) == len(rows) else None,
        "ahead": [row["name"] for row in rows if row["behind"] is not None and row["behind"] < 0],
    }


def _minor(text: str) -> tuple[int, int] | None:
    found = _MINOR.match(text)
    return None if found is None else (int(found[1]), int(found[2]))


def pod_security(namespaces: Iterable[Object], pods: Iterable[Object]) -> dict[str, Any]:
    """``{"namespaces": [{name, enforce, warn, audit}], "privileged": [{namespace, name, why: [...]}]}``; a label that is not there is empty."""
    rows = []
    for one in namespaces:
        labels = mapping(mapping(one.get("metadata")).get("labels"))
        levels = {level: str(labels.get(_SECURITY + level) or "") for level in ("enforce", "warn", "audit")}
        rows.append({"name": _name(one), **levels})
    strong = []
    for pod in pods:
        why = _privileges(mapping(pod.get("spec")))
        if why:
            namespace = str(mapping(pod.get("metadata")).get("namespace") or "")
            strong.append({"namespace": namespace, "name": _name(pod), "why": why})
    return {
        "namespaces": sorted(rows, key=lambda row: row["name"]),
        "privileged": sorted(strong, key=lambda row: (str(row["namespace"]), str(row["name"]))),
    }


def _containers(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        mapping(one)
        for key in ("initContainers", "containers", "ephemeralContainers")
        for one in _list(spec.get(key))
        if mapping(one)
    ]


def _privileges(spec: Mapping[str, Any]) -> list[str]:
    found = {key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key) is True}
    found |= {"hostPath" for one in _list(spec.get("volumes")) if "hostPath" in mapping(one)}
    for one in _containers(spec):
        context = mapping(one.get("securityContext"))
        found |= {"privileged"} if context.get("privileged") is True else set()
        added = _list(mapping(context.get("capabilities")).get("add"))
        found |= {f"capability {name}" for name in map(str, added) if name.upper().replace("CAP_", "", 1) in _STRONG}
    return sorted(found)


def kubelet(name: str, configz: Object) -> dict[str, Any]:
    """``{"name", …}`` with what of a node's kubelet configuration is about security; a key that is not there was not told."""
    told = mapping(configz.get("kubeletconfig"))
    return {"name": name, **{key: told[key] for key in _KUBELET if key in told}}


def images(pods: Iterable[Object]) -> dict[str, Any]:
    """``{"registries": [...], "images": [{image, registry, pods}]}`` of all containers, also of those that are done."""
    used: dict[str, int] = {}
    for pod in pods:
        for image in {str(one.get("image") or "") for one in _containers(mapping(pod.get("spec")))} - {""}:
            used[image] = used.get(image, 0) + 1
    rows = [{"image": image, "registry": registry(image), "pods": used[image]} for image in sorted(used)]
    return {"registries": sorted({str(row["registry"]) for row in rows}), "images": rows}


def registry(image: str) -> str:
    """Where an image comes from: the first part of its name where that is a host, else docker.io."""
    first, slash, _rest = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"
