# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every cluster has from the start: its namespaces, nodes, classes, and the roles of its users."""

from __future__ import annotations

from typing import Any

from .access import RBAC, RESTRICTED
from .discovery import Registry
from .kinds import Kind
from .resources import Resources, now

Object = dict[str, Any]


def _kind(registry: Registry, group: str, plural: str) -> Kind:
    return next(kind for kind in registry.storages() if kind.storage == (group, plural))


def _node(name: str, version: str, number: int) -> Object:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/control-plane": "true",
    }
    amounts = {"cpu": "8", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    images = [
        {"names": ["docker.io/library/busybox:1.37"], "sizeBytes": 2166802},
        {"names": ["docker.io/rancher/mirrored-pause:3.6"]},
    ]
    words = (("MemoryPressure", "False"), ("DiskPressure", "False"), ("PIDPressure", "False"), ("Ready", "True"))
    at = now()
    conditions = [
        {"type": kind, "status": status, "reason": "Kubelet" + kind, "lastHeartbeatTime": at, "lastTransitionTime": at}
        for kind, status in words
    ]
    info = {"kubeletVersion": version, "osImage": "Debian GNU/Linux 12", "kernelVersion": "6.1.0", "architecture": "amd64",
            "containerRuntimeVersion": "containerd://2.1.4", "operatingSystem": "linux", "machineID": f"{number:032x}",
            "systemUUID": f"{number:032x}", "bootID": f"{number:032x}", "kubeProxyVersion": version}  # fmt: skip
    status = {
        "capacity": amounts,
        "allocatable": amounts,
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": f"10.0.0.{number + 10}"}, {"type": "Hostname", "address": name}],
        "nodeInfo": info,
        "images": images,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": f"10.42.{number}.0/24", "podCIDRs": [f"10.42.{number}.0/24"], "providerID": f"k3s://{name}"},
        "status": status,
    }


def furnish(resources: Resources, registry: Registry, version: str, nodes: int, url: str) -> None:
    """What is there already stays as it is."""
    store = resources.store

    def give(group: str, plural: str, obj: Object, namespace: str = "") -> None:
        kind = _kind(registry, group, plural)
        if store.get(kind.storage, namespace, obj["metadata"]["name"]) is None:
            resources.create(kind, obj, namespace)
            if "status" in obj and kind.has_status:
                resources.replace(kind, namespace, obj["metadata"]["name"], obj, subresource="status")

    for name in ("kube-system", "default", "kube-public", "kube-node-lease"):
        give("", "namespaces", {"metadata": {"name": name}})
    for number in range(nodes):
        give("", "nodes", _node(f"node-{number + 1}", version, number))
    local = {
        "metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "rancher.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    give("storage.k8s.io", "storageclasses", local)
    for name, value in (("system-cluster-critical", 2000000000), ("system-node-critical", 2000001000)):
        give("scheduling.k8s.io", "priorityclasses", {"metadata": {"name": name}, "value": value})
    traefik = {"metadata": {"name": "traefik"}, "spec": {"controller": "traefik.io/ingress-controller"}}
    give("networking.k8s.io", "ingressclasses", traefik)
    roles: dict[str, list[Object]] = {
        "cluster-admin": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        RESTRICTED: [
            {"apiGroups": [""], "resources": [kind.plural for kind in registry.of("", "v1") if kind.plural != "secrets"],
             "verbs": ["get", "list", "watch"]},
            {"apiGroups": [group for group in registry.groups() if group], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        ],
        "system:basic-user": [
            {"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
             "verbs": ["create"]},
            {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
        ],
    }  # fmt: skip
    built = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    for name, rules in roles.items():
        give(RBAC, "clusterroles", {"metadata": {"name": name, "labels": built}, "rules": rules})
    for name, kind, subject in (
        ("cluster-admin", "Group", "system:masters"),
        (RESTRICTED, "User", RESTRICTED),
        ("system:basic-user", "Group", "system:authenticated"),
    ):
        binding = {
            "metadata": {"name": name, "labels": built},
            "roleRef": {"kind": "ClusterRole", "name": name, "apiGroup": RBAC},
            "subjects": [{"kind": kind, "name": subject, "apiGroup": RBAC}],
        }
        give(RBAC, "clusterrolebindings", binding)
    port = int(url.rsplit(":", 1)[1])
    spec = {"clusterIP": "10.43.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]}
    labels = {"component": "apiserver", "provider": "kubernetes"}
    give("", "services", {"metadata": {"name": "kubernetes", "labels": labels}, "spec": spec}, "default")
