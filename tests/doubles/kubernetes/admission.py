# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API server itself does to objects as they come in: defaults, addresses, tokens' mounts, classes, quotas."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import crds, defaults
from .kinds import Kind
from .statuses import forbidden, invalid, wrong
from .store import Store, copied

Object = dict[str, Any]
_SERVICES, _DEFAULT_CLASS = ("", "services"), "storageclass.kubernetes.io/is-default-class"
_INGRESS_CLASS = "ingressclass.kubernetes.io/is-default-class"


@dataclass
class Context:
    """What the hooks need of the cluster. ``service_range``: the /16 of cluster IPs; ``pod_runs`` is set by the pods."""

    store: Store
    service_range: str = "10.43"
    pod_runs: Callable[[Object], bool] = lambda pod: False
    nodes_ports: tuple[int, int] = (30000, 32767)
    _next: dict[str, int] = field(default_factory=dict)


def _services(context: Context, but: str) -> list[Object]:
    return [each["spec"] for each in context.store.objects(_SERVICES) if each["metadata"]["uid"] != but]


def _addresses(context: Context, obj: Object, old: Object | None) -> None:
    """cluster IP and node ports: those asked for when free, else the next ones."""
    spec, name = obj["spec"], obj["metadata"]["name"]
    before = (old or {}).get("spec") or {}
    others = _services(context, obj["metadata"]["uid"])
    if spec["type"] == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(key, None)
        return
    if before.get("clusterIP") and not spec.get("clusterIP") and before["type"] != "ExternalName":
        spec["clusterIP"], spec["clusterIPs"] = before["clusterIP"], before["clusterIPs"]
    asked = spec.get("clusterIP") or ((spec.get("clusterIPs") or [""])[0])
    taken = {each.get("clusterIP") for each in others}
    if asked and asked != "None":
        why = ""
        if not asked.startswith(context.service_range + "."):
            why = f"failed to allocate IP {asked}: the provided network does not match the current range"
        elif asked in taken:
            why = f"failed to allocate IP {asked}: provided IP is already allocated"
        if why:
            raise invalid(name, "", "Service", [wrong("spec.clusterIPs", [asked], why)])
    if not asked:
        count = context._next.get("ip", 10)
        while f"{context.service_range}.{count // 250}.{count % 250 + 1}" in taken:
            count += 1
        context._next["ip"] = count + 1
        asked = f"{context.service_range}.{count // 250}.{count % 250 + 1}"
    spec["clusterIP"], spec["clusterIPs"] = asked, [asked]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    _node_ports(context, obj, before, others)


def _node_ports(context: Context, obj: Object, before: Object, others: list[Object]) -> None:
    spec, name = obj["spec"], obj["metadata"]["name"]
    wants = spec["type"] == "NodePort" or (spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))
    taken = {(port.get("nodePort"), port.get("protocol", "TCP")) for each in others for port in each.get("ports") or []}
    known = {(port.get("port"), port.get("protocol", "TCP")): port.get("nodePort") for port in before.get("ports") or []}
    first, last = context.nodes_ports
    for index, port in enumerate(spec.get("ports") or []):
        protocol = port.get("protocol", "TCP")
        if spec["type"] == "ClusterIP":
            if before.get("type", "ClusterIP") != "ClusterIP":
                port.pop("nodePort", None)
            continue
        asked = port.get("nodePort")
        if asked:
            where = f"spec.ports[{index}].nodePort"
            if not first <= asked <= last:
                text = f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
                raise invalid(name, "", "Service", [wrong(where, asked, text)])
            if (asked, protocol) in taken:
                raise invalid(name, "", "Service", [wrong(where, asked, "provided port is already allocated")])
        elif wants:
            asked = known.get((port.get("port"), protocol)) or context._next.get("port", first + 100)
            while (asked, protocol) in taken:
                asked = first if asked >= last else asked + 1
            port["nodePort"] = asked
            context._next["port"] = asked + 1
        taken.add((port.get("nodePort"), protocol))


def _pod(context: Context, obj: Object) -> None:
    spec, metadata = obj["spec"], obj["metadata"]
    namespace = metadata["namespace"]
    account = spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = account
    found = context.store.get(("", "serviceaccounts"), namespace, account)
    if found is None:
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise forbidden(metadata["name"], "", "pods", why)
    spec.setdefault("enableServiceLinks", True)
    name = spec.get("priorityClassName")
    chosen = context.store.get(("scheduling.k8s.io", "priorityclasses"), "", name) if name else None
    if name and chosen is None and not name.startswith("system-"):
        raise forbidden(metadata["name"], "", "pods", f"no PriorityClass with name {name} was found")
    if chosen is None and not name:
        every = context.store.objects(("scheduling.k8s.io", "priorityclasses"))
        default = next((each for each in every if each.get("globalDefault")), None)
        spec["priority"] = default["value"] if default else 0
        spec.update({"priorityClassName": default["metadata"]["name"]} if default else {})
    else:
        spec["priority"] = chosen.obj["value"] if chosen else 2000000000
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    if not spec.get("tolerations"):
        spec["tolerations"] = [
            {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("not-ready", "unreachable")
        ]
    mounts = spec.get("automountServiceAccountToken", found.obj.get("automountServiceAccountToken", True))
    volumes = spec.setdefault("volumes", [])
    if mounts and not any(each["name"].startswith("kube-api-access-") for each in volumes):
        _token_mount(spec, volumes, metadata["uid"][:5])
    obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}


def _token_mount(spec: Object, volumes: list[Object], suffix: str) -> None:
    where = "/var/run/secrets/kubernetes.io/serviceaccount"
    field_ref = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field_ref}]}},
    ]
    name = f"kube-api-access-{suffix}"
    volumes.append({"name": name, "projected": {"sources": sources, "defaultMode": 420}})
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        mounts = container.setdefault("volumeMounts", [])
        if not any(each.get("mountPath") == where for each in mounts):
            mounts.append({"name": name, "readOnly": True, "mountPath": where})


def _default_of(context: Context, storage: tuple[str, str], annotation: str) -> str:
    for each in context.store.objects(storage):
        if (each["metadata"].get("annotations") or {}).get(annotation) == "true":
            return str(each["metadata"]["name"])
    return ""


def _secret(obj: Object) -> None:
    """stringData goes into data, and is not kept."""
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj["data"] = {**(obj.get("data") or {}), key: base64.b64encode(str(value).encode()).decode()}


def _labels(kind: Kind, obj: Object) -> None:
    if kind.storage == ("", "namespaces"):
        metadata = obj["metadata"]
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata.get("name", "")}


def created(context: Context, kind: Kind, obj: Object) -> Object:
    if kind.custom:
        return obj
    _labels(kind, obj)
    if kind.kind == "Secret":
        _secret(obj)
    defaults.fill(kind.kind, obj)
    if not obj["metadata"].get("name"):
        return obj
    if kind.kind in _HOOKS:
        _HOOKS[kind.kind](context, obj)
    return obj


def _claim(context: Context, obj: Object) -> None:
    if obj["spec"].get("storageClassName") is None:
        name = _default_of(context, ("storage.k8s.io", "storageclasses"), _DEFAULT_CLASS)
        obj["spec"].update({"storageClassName": name} if name else {})
    _protect(obj, "kubernetes.io/pvc-protection")
    obj["status"] = {"phase": "Pending"}


def _volume(_context: Context, obj: Object) -> None:
    _protect(obj, "kubernetes.io/pv-protection")
    obj["status"] = {"phase": "Pending" if obj["spec"].get("claimRef") else "Available"}


def _ingress(context: Context, obj: Object) -> None:
    if not obj["spec"].get("ingressClassName"):
        name = _default_of(context, ("networking.k8s.io", "ingressclasses"), _INGRESS_CLASS)
        obj["spec"].update({"ingressClassName": name} if name else {})
    obj["status"] = {"loadBalancer": {}}


def _service(context: Context, obj: Object) -> None:
    _addresses(context, obj, None)
    obj["status"] = {"loadBalancer": {}}


def _namespace(_context: Context, obj: Object) -> None:
    obj.update({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})


def _workload(_context: Context, obj: Object) -> None:
    obj["status"] = {}


def _protect(obj: Object, finalizer: str) -> None:
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


def _job(_context: Context, obj: Object) -> None:
    """A Job chooses its pods by a label that nobody else has, unless it has a selector of its own."""
    spec, metadata = obj["spec"], obj["metadata"]
    if not spec.get("manualSelector"):
        uid = metadata["uid"]
        if spec.get("selector"):
            causes = [wrong("spec.selector", "…", "`selector` will be auto-generated")]
            raise invalid(metadata["name"], "batch", "Job", causes)
        labels = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": metadata["name"],
                  "controller-uid": uid, "job-name": metadata["name"]}  # fmt: skip
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        template = spec["template"].setdefault("metadata", {})
        template["labels"] = {**(template.get("labels") or {}), **labels}
    obj["status"] = {}


_HOOKS: dict[str, Callable[[Context, Object], None]] = {
    "Namespace": _namespace,
    "Service": _service,
    "Pod": _pod,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "Ingress": _ingress,
    "Job": _job,
    "CustomResourceDefinition": lambda _context, obj: crds.fill(obj),
    **dict.fromkeys(("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet"), _workload),
}


def updated(context: Context, kind: Kind, old: Object, new: Object, subresource: str) -> Object:
    if kind.custom or subresource == "status":
        return new
    _labels(kind, new)
    if kind.kind == "Secret":
        _secret(new)
    defaults.fill(kind.kind, new)
    if kind.kind == "Service":
        _addresses(context, new, old)
    elif kind.kind == "CustomResourceDefinition":
        crds.fill(new)
    elif kind.kind == "Namespace" and subresource != "finalize":
        new["spec"] = copied(old["spec"])
    if old["metadata"].get("deletionTimestamp"):
        added = set(new["metadata"].get("finalizers") or []) - set(old["metadata"].get("finalizers") or [])
        if added:
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers {sorted(added)}"
            causes = [wrong("metadata.finalizers", "", text, "FieldValueForbidden")]
            raise invalid(new["metadata"]["name"], kind.group, kind.kind, causes)
    return new


_UNITS = {"": 1, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: Any) -> float:
    found = re.fullmatch(r"([0-9.]+)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", str(text))
    return float(found[1]) * _UNITS[found[2] or ""] if found else 0.0


def usage(kind: Kind, obj: Object) -> dict[str, float]:
    """What of a quota an object takes: counts of kinds, requests of pods and claims."""
    used: dict[str, float] = {f"count/{kind.plural}{'.' + kind.group if kind.group else ''}": 1}
    if not kind.group and kind.plural in ("pods", "services", "secrets", "configmaps", "persistentvolumeclaims",
                                          "replicationcontrollers", "resourcequotas"):  # fmt: skip
        used[kind.plural] = 1
    spec = obj.get("spec") or {}
    if kind.storage == ("", "persistentvolumeclaims"):
        used["requests.storage"] = quantity(((spec.get("resources") or {}).get("requests") or {}).get("storage", 0))
    if kind.storage == ("", "pods"):
        for container in spec.get("containers") or []:
            for part in ("requests", "limits"):
                for name, amount in ((container.get("resources") or {}).get(part) or {}).items():
                    key = f"{part}.{name}"
                    used[key] = used.get(key, 0) + quantity(amount)
                    if part == "requests":
                        used[name] = used.get(name, 0) + quantity(amount)
    if kind.storage == _SERVICES and spec.get("type") in ("NodePort", "LoadBalancer"):
        used["services.loadbalancers" if spec["type"] == "LoadBalancer" else "services.nodeports"] = 1
    return used


def over_quota(context: Context, kind: Kind, obj: Object) -> str:
    """Why a quota of its namespace does not let a new object in; empty when all do."""
    namespace = obj["metadata"].get("namespace", "")
    quotas = list(context.store.objects(("", "resourcequotas"), namespace)) if namespace else []
    if not quotas:
        return ""
    wanted = usage(kind, obj)
    for quota in quotas:
        hard = (quota.get("spec") or {}).get("hard") or {}
        for name in sorted(set(hard) & set(wanted)):
            used = sum(usage(kind, each).get(name, 0) for each in context.store.objects(kind.storage, namespace))
            if used + wanted[name] > quantity(hard[name]):
                asked = f"requested: {name}={wanted[name]:g}, used: {name}={used:g}, limited: {name}={hard[name]}"
                return f"exceeded quota: {quota['metadata']['name']}, {asked}"
    return ""
