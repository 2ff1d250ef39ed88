# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API refuses with 422 (or 400, when it cannot even read an object): names, labels, required fields, what may not change."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from . import schema
from .kinds import Kind
from .selectors import chosen
from .statuses import ApiError, required, wrong

Object = dict[str, Any]
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_WORKLOADS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet")
# Fields of the spec that stay as they were created.
_FIXED = {
    "Deployment": ("selector",),
    "ReplicaSet": ("selector",),
    "DaemonSet": ("selector",),
    "Job": ("selector", "template", "completionMode"),
}
_STATEFUL = ("replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
             "revisionHistoryLimit")  # fmt: skip
_POD = ("containers", "initContainers", "ephemeralContainers", "activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds",
        "nodeName", "schedulingGates")  # fmt: skip
# Where data would not fit into the type: (path, type).
_TYPES = {"replicas": int, "suspend": bool, "revisionHistoryLimit": int, "minReadySeconds": int, "paused": bool, "serviceAccountName": str,
          "clusterIP": str, "storageClassName": str, "schedule": str, "ports": list, "selector": dict, "template": dict,
          "containers": list, "volumes": list, "backoffLimit": int}  # fmt: skip


def _unreadable(kind: Kind, path: str, got: Any, wanted: str) -> ApiError:
    words = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    of = f"json: cannot unmarshal {words.get(type(got), 'null')} into Go struct field {kind.kind}.{path} of type {wanted}"
    return ApiError(400, f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {of}')


def _strings(kind: Kind, where: Any, path: str) -> None:
    if where is None:
        return
    if not isinstance(where, dict):
        raise _unreadable(kind, path, where, "map[string]string")
    for value in where.values():
        if not isinstance(value, str):
            raise _unreadable(kind, path, value, "string")


def fitted(kind: Kind, obj: Object, old: Object | None, strict: bool, warn: Callable[[str], None]) -> Object:
    """The object as its type can hold it: 400 when it cannot; unknown fields of custom resources are dropped, or refused if strict."""
    metadata = obj["metadata"]
    _strings(kind, metadata.get("labels"), "metadata.labels")
    _strings(kind, metadata.get("annotations"), "metadata.annotations")
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if name in metadata and not metadata[name]:
            del metadata[name]
    if kind.custom:
        unknown: list[str] = []
        obj = schema.defaulted(schema.pruned(obj, kind.schema, "", unknown), kind.schema)
        if unknown and strict:
            listed = ", ".join(f'unknown field "{each}"' for each in unknown)
            raise ApiError(
                400, f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: strict decoding error: {listed}'
            )
        for each in unknown:
            warn(f'unknown field "{each}"')
        return obj
    if kind.kind == "ConfigMap":
        _strings(kind, obj.get("data"), "data")
    if kind.kind in ("Secret", "ConfigMap"):
        data = obj.get("data" if kind.kind == "Secret" else "binaryData") or {}
        _strings(kind, data, "data")
        for value in data.values():
            try:
                base64.b64decode(value, validate=True)
            except (ValueError, binascii.Error):
                raise ApiError(
                    400, f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: illegal base64 data at input byte 0'
                ) from None
    spec = obj.get("spec")
    if spec is not None and not isinstance(spec, dict):
        raise _unreadable(kind, "spec", spec, "object")
    for name, wanted in _TYPES.items():
        value = (spec or {}).get(name)
        fits = isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
        if value is not None and not fits:
            raise _unreadable(kind, f"spec.{name}", value, wanted.__name__)
    return obj


def _name(kind: Kind, obj: Object) -> list[Object]:
    name = obj["metadata"].get("name", "")
    if not isinstance(name, str) or not name:
        return [required("metadata.name", "name or generateName is required")]
    if kind.group == "rbac.authorization.k8s.io":
        bad = name in (".", "..") or "/" in name or "%" in name
        return [wrong("metadata.name", name, "may not contain '/' or '%'")] if bad else []
    if kind.storage == ("", "namespaces"):
        good, text = _LABEL.fullmatch(name), "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
    elif kind.storage == ("", "services"):
        good, text = _LABEL_1035.fullmatch(name), "a DNS-1035 label must consist of lower case alphanumeric characters or '-'"
    else:
        good = _SUBDOMAIN.fullmatch(name) if len(name) <= 253 else None
        text = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
    text += ", and must start and end with an alphanumeric character"
    return [] if good else [wrong("metadata.name", name, text)]


def _meta(obj: Object) -> list[Object]:
    metadata, found = obj["metadata"], []
    for key, value in (metadata.get("labels") or {}).items():
        if not _KEY.fullmatch(key):
            found.append(wrong("metadata.labels", key, "name part must consist of alphanumeric characters, '-', '_' or '.'"))
        if len(value) > 63 or not _VALUE.fullmatch(value):
            text = (
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', at most 63 of them"
            )
            found.append(wrong("metadata.labels", value, text))
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        if not _KEY.fullmatch(key.lower()):
            found.append(wrong("metadata.annotations", key, "name part must consist of alphanumeric characters, '-', '_' or '.'"))
    if sum(len(key) + len(value) for key, value in annotations.items()) > 256 * 1024:
        found.append(
            {
                "reason": "FieldValueTooLong",
                "message": "Too long: may not be more than 262144 bytes",
                "field": "metadata.annotations",
            }
        )
    for index, owner in enumerate(metadata.get("ownerReferences") or []):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                found.append(required(f"metadata.ownerReferences[{index}].{name}"))
    for each in metadata.get("finalizers") or []:
        if not _KEY.fullmatch(each):
            found.append(wrong("metadata.finalizers", each, "name part must consist of alphanumeric characters, '-', '_' or '.'"))
    return found


def _pod(spec: Object, path: str, restart: tuple[str, ...], more: frozenset[str] = frozenset()) -> list[Object]:
    """``more``: names of volumes that come from elsewhere, as those of a StatefulSet's claims do."""
    found = []
    if not spec.get("containers"):
        found.append(required(f"{path}.containers"))
    volumes = {volume.get("name") for volume in spec.get("volumes") or []} | more
    seen = set()
    for part in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(part) or []):
            where = f"{path}.{part}[{index}]"
            for name in ("name", "image"):
                if not container.get(name):
                    found.append(required(f"{where}.{name}"))
            if container.get("name") in seen:
                found.append(wrong(f"{where}.name", container["name"], "Duplicate value"))
            seen.add(container.get("name"))
            for at, mount in enumerate(container.get("volumeMounts") or []):
                if mount.get("name") not in volumes:
                    text = f'Not found: "{mount.get("name")}"'
                    found.append({"reason": "FieldValueNotFound", "message": text, "field": f"{where}.volumeMounts[{at}].name"})
    if spec.get("restartPolicy", "Always") not in restart:
        allowed = ", ".join(f'"{each}"' for each in restart)
        found.append(
            wrong(f"{path}.restartPolicy", spec["restartPolicy"], f"supported values: {allowed}", "FieldValueNotSupported")
        )
    return found


def _workload(obj: Object) -> list[Object]:
    spec, found = obj["spec"], []
    template = spec.get("template") or {}
    if spec.get("selector") is None:
        found.append(required("spec.selector"))
    elif not chosen(spec["selector"], (template.get("metadata") or {}).get("labels")):
        labels = (template.get("metadata") or {}).get("labels")
        found.append(wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"))
    if (spec.get("replicas") or 0) < 0:
        found.append(wrong("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
    claims = frozenset(each["metadata"]["name"] for each in spec.get("volumeClaimTemplates") or [])
    return found + _pod(template.get("spec") or {}, "spec.template.spec", ("Always",), claims)


def _service(obj: Object) -> list[Object]:
    spec, found = obj["spec"], []
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        found.append(required("spec.ports"))
    if spec["type"] == "ExternalName" and not spec.get("externalName"):
        found.append(required("spec.externalName"))
    for index, port in enumerate(ports):
        if not isinstance(port.get("port"), int) or not 0 < port["port"] < 65536:
            found.append(wrong(f"spec.ports[{index}].port", port.get("port"), "must be between 1 and 65535, inclusive"))
        if len(ports) > 1 and not port.get("name"):
            found.append(required(f"spec.ports[{index}].name"))
    return found


def _claim(obj: Object) -> list[Object]:
    spec, found = obj["spec"], []
    if not spec.get("accessModes"):
        found.append(required("spec.accessModes", "at least 1 access mode is required"))
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        found.append(required("spec.resources[storage]"))
    return found


def _definition(obj: Object) -> list[Object]:
    spec, found = obj["spec"], []
    for name in ("group", "scope"):
        if not spec.get(name):
            found.append(required(f"spec.{name}"))
    plural = spec["names"].get("plural", "")
    if obj["metadata"].get("name") != f"{plural}.{spec.get('group')}":
        found.append(wrong("metadata.name", obj["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group'))
    versions = spec.get("versions") or []
    if sum(bool(each.get("storage")) for each in versions) != 1:
        found.append(wrong("spec.versions", "", "must have exactly one version marked as storage version"))
    for index, each in enumerate(versions):
        if not (each.get("schema") or {}).get("openAPIV3Schema"):
            found.append(required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required"))
    return found


def _data(obj: Object) -> list[Object]:
    keys = [*(obj.get("data") or {}), *(obj.get("binaryData") or {})]
    text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    found = [wrong(f"data[{key}]", key, text) for key in keys if not _DATA_KEY.fullmatch(key)]
    # A Secret's values are longer here than the bytes that they stand for.
    room = 1024 * 1024 * (4 / 3 if obj["kind"] == "Secret" else 1)
    if sum(len(str(value)) for value in (obj.get("data") or {}).values()) > room:
        found.append({"reason": "FieldValueTooLong", "message": "Too long: may not be more than 1048576 bytes", "field": "data"})
    if obj.get("type") == "kubernetes.io/tls":
        found += [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in (obj.get("data") or {})]
    return found


def _cron_job(obj: Object) -> list[Object]:
    spec = obj["spec"]
    inner = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template") or {}
    schedule = str(spec.get("schedule", ""))
    good = schedule.startswith("@") or len(schedule.split()) == 5
    found = [] if good else [wrong("spec.schedule", schedule, f"expected exactly 5 fields, found {len(schedule.split())}")]
    return found + _pod(inner.get("spec") or {}, "spec.jobTemplate.spec.template.spec", ("OnFailure", "Never"))


_CHECKS: dict[str, Callable[[Object], list[Object]]] = {
    **dict.fromkeys(_WORKLOADS, _workload),
    "Pod": lambda obj: _pod(obj["spec"], "spec", ("Always", "OnFailure", "Never")),
    "Job": lambda obj: _pod((obj["spec"].get("template") or {}).get("spec") or {}, "spec.template.spec", ("OnFailure", "Never")),
    "CronJob": _cron_job,
    "ConfigMap": _data,
    "Secret": _data,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "CustomResourceDefinition": _definition,
    "StorageClass": lambda obj: [] if obj.get("provisioner") else [required("provisioner")],
    "RoleBinding": lambda obj: [] if obj.get("roleRef") else [required("roleRef")],
    "ClusterRoleBinding": lambda obj: [] if obj.get("roleRef") else [required("roleRef")],
}


def _fixed(kind: Kind, spec: Object, before: Object) -> list[Object]:
    """Fields of the spec that stay as they were created."""
    name, found = kind.kind, []
    for field in _FIXED.get(name, ()):
        if spec.get(field) != before.get(field):
            found.append(wrong(f"spec.{field}", "", "field is immutable"))
    free: dict[str, tuple[tuple[str, ...], str]] = {
        "StatefulSet": (
            _STATEFUL,
            f"updates to statefulset spec for fields other than {', '.join(repr(each) for each in _STATEFUL)} are forbidden",
        ),
        "Pod": (_POD, "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`"),
        "PersistentVolumeClaim": (
            ("resources", "volumeAttributesClassName", *(() if before.get("volumeName") else ("volumeName",))),
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ),
    }
    if name in free:
        may, text = free[name]
        if any(spec.get(key) != before.get(key) for key in {*spec, *before} - set(may)):
            found.append(wrong("spec", "", text, "FieldValueForbidden"))
    outside = "ExternalName" in (before.get("type"), spec.get("type"))
    if name == "Service" and not outside and before.get("clusterIP") and spec.get("clusterIP") != before["clusterIP"]:
        found.append(wrong("spec.clusterIPs[0]", spec.get("clusterIPs"), "may not change once set"))
    return found


def _unchanged(kind: Kind, obj: Object, old: Object) -> list[Object]:
    name = kind.kind
    found = _fixed(kind, obj.get("spec") or {}, old.get("spec") or {})
    if name in ("ConfigMap", "Secret") and old.get("immutable"):
        for field in ("data", "binaryData", "immutable"):
            if obj.get(field) != old.get(field):
                found.append(wrong(field, "", "field is immutable when `immutable` is set", "FieldValueForbidden"))
    fixed = {
        "Secret": (("type",), "field is immutable"),
        "RoleBinding": (("roleRef",), "cannot change roleRef"),
        "ClusterRoleBinding": (("roleRef",), "cannot change roleRef"),
        "StorageClass": (("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"), "updates are forbidden."),
        "PriorityClass": (("value",), "may not be changed in an update."),
    }
    fields, text = fixed.get(name, ((), ""))
    return found + [wrong(field, obj.get(field), text) for field in fields if obj.get(field) != old.get(field)]


def causes(kind: Kind, obj: Object, old: Object | None, subresource: str) -> list[Object]:
    """All that is wrong with an object, or with its change."""
    if subresource in ("status", "finalize"):
        return schema.causes(obj, kind.schema) if kind.custom else []
    found = _meta(obj) if old else _name(kind, obj) + _meta(obj)
    if kind.custom:
        return found + schema.causes(obj, kind.schema)
    if old and old["metadata"].get("deletionTimestamp"):
        return found
    try:
        own = _CHECKS[kind.kind](obj) if kind.kind in _CHECKS else []
        return found + own + (_unchanged(kind, obj, old) if old else [])
    except (AttributeError, TypeError, KeyError):
        raise ApiError(
            400, f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: a field has another type'
        ) from None
