# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the source has, read once and kept as names and numbers: no object stays in memory. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..backends.cluster import Object
from .mapping import image_at_target
from .ordering import group_of, is_custom
from .quantity import quantity
from .request import Request
from .scope import Context, carried, subjects_within
from .templates import claims_of, containers, copies, pod_spec

_BY_GITOPS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
_HOSTNAME = "kubernetes.io/hostname"


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim; ``size`` in bytes as asked for. ``storage_class``: None where it names none."""

    namespace: str
    name: str
    size: int
    storage_class: str | None
    access_modes: tuple[str, ...]
    block: bool = False

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass
class Survey:
    """Filled by ``add``, one object after the other.

    What has no namespace, and Endpoints, which may be a Service's, are judged at the end, by ``context``.
    """

    request: Request
    namespaces: frozenset[str]
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    classes: dict[str, dict[str, str]] = field(default_factory=dict)  # sort of class: name: who needs it
    images: dict[str, str] = field(default_factory=dict)
    node_ports: dict[tuple[int, str], str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)  # sort of warning: who
    demands: dict[str, Counter[str]] = field(default_factory=dict)  # namespace: as a ResourceQuota counts
    grace: int = 0
    terminating: list[str] = field(default_factory=list)
    definitions: dict[str, tuple[str, str, tuple[str, ...]]] = field(default_factory=dict)
    outside: list[Object] = field(default_factory=list)
    _groups: set[str] = field(default_factory=set)
    _roles: set[str] = field(default_factory=set)
    _selecting: set[str] = field(default_factory=set)
    _there: set[tuple[str, str, str]] = field(default_factory=set)
    _wanted: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def add(self, item: Object) -> None:
        """Any object of the source, of the chosen namespaces or without a namespace."""
        metadata = item["metadata"]
        if not metadata.get("namespace") or item["kind"] == "Endpoints":
            self._add_outside(item)
            return
        if carried(item, Context(self.namespaces)) is not None:
            return
        where = f"{metadata['namespace']}/{metadata['name']}"
        self._count(item, where)
        self._there.add((item["kind"], metadata["namespace"], metadata["name"]))
        if is_custom(item):
            self._groups.add(group_of(item))
        reader = getattr(self, f"_read_{item['kind'].lower()}", None)
        if reader is not None and not is_custom(item):
            reader(item, where)
        pod = pod_spec(item)
        if pod:
            self._read_pod_spec(item, pod, where)
        self._note(item, where)

    def _count(self, item: Object, where: str) -> None:
        key = (item["apiVersion"], item["kind"])
        self.kinds[key] += 1
        self.examples.setdefault(key, where)

    def _demand(self, namespace: str, what: str, amount: int) -> None:
        self.demands.setdefault(namespace, Counter())[what] += amount

    def _want(self, sort: str, name: str, who: str) -> None:
        self.classes.setdefault(sort, {}).setdefault(name, who)

    def _say(self, sort: str, who: str) -> None:
        self.notes.setdefault(sort, []).append(who)

    def _note(self, item: Object, where: str) -> None:
        metadata = item["metadata"]
        marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
        for mark, tool in _BY_GITOPS.items():
            if mark in marks:
                self._say(tool, f"{item['kind']} {where}")
                break
        if item["kind"] in ("HelmChart", "ScaledObject"):
            self._say(item["kind"], where)

    def _read_persistentvolumeclaim(self, item: Object, where: str) -> None:
        spec = item.get("spec") or {}
        size = quantity(((spec.get("resources") or {}).get("requests") or {}).get("storage", 0))
        found = Claim(
            item["metadata"]["namespace"],
            item["metadata"]["name"],
            int(size),
            spec.get(
                "storageClassName", (item["metadata"].get("annotations") or {}).get("volume.beta.kubernetes.io/storage-class")
            ),
            tuple(spec.get("accessModes") or ()),
            spec.get("volumeMode") == "Block",
        )
        self.claims.append(found)
        self._demand(found.namespace, "persistentvolumeclaims", 1)
        self._demand(found.namespace, "requests.storage", found.size)
        if found.storage_class:
            self._want("storage class", found.storage_class, f"claim {where}")

    def _read_ingress(self, item: Object, where: str) -> None:
        annotations = item["metadata"].get("annotations") or {}
        name = (item.get("spec") or {}).get("ingressClassName") or annotations.get("kubernetes.io/ingress.class")
        if name:
            self._want("ingress class", str(name), f"Ingress {where}")

    def _read_service(self, item: Object, where: str) -> None:
        spec = item.get("spec") or {}
        if spec.get("selector"):
            self._selecting.add(where)
        for port in spec.get("ports") or ():
            if port.get("nodePort"):
                self.node_ports[int(port["nodePort"]), str(port.get("protocol", "TCP"))] = where
        if spec.get("healthCheckNodePort"):
            self.node_ports[int(spec["healthCheckNodePort"]), "TCP"] = where
        if spec.get("externalIPs"):
            self._say("external IPs", where)
        if spec.get("loadBalancerIP") and self.request.mappings.load_balancer_ips == "keep":
            self._say("load balancer IP", where)

    def _read_rolebinding(self, item: Object, _where: str) -> None:
        if item["roleRef"].get("kind") == "ClusterRole":
            self._roles.add(item["roleRef"]["name"])

    def _read_serviceaccount(self, item: Object, where: str) -> None:
        namespace = item["metadata"]["namespace"]
        for secret in item.get("imagePullSecrets") or ():
            self._wanted.setdefault(("Secret", namespace, secret["name"]), f"ServiceAccount {where}")

    def _read_pod_spec(self, item: Object, pod: Object, where: str) -> None:
        who = f"{item['kind']} {where}"
        for key, sort in (("priorityClassName", "priority class"), ("runtimeClassName", "runtime class")):
            if pod.get(key):
                self._want(sort, str(pod[key]), who)
        for container in containers(pod):
            if container.get("image"):
                image = image_at_target(str(container["image"]), self.request.mappings.images)
                self.images.setdefault(image, who)
        namespace = item["metadata"]["namespace"]
        self.grace = max(self.grace, int(pod.get("terminationGracePeriodSeconds", 30)) if copies(item) else 0)
        for volume in pod.get("volumes") or ():
            if "hostPath" in volume:
                self._say("host paths", who)
        if _HOSTNAME in (pod.get("nodeSelector") or {}):
            self._say("node names", who)
        if item["kind"] == "Pod":
            self._say("bare pods", where)
        for kind, name in _needs(pod):
            self._wanted.setdefault((kind, namespace, name), who)
        self._demand(namespace, "pods", copies(item))
        for kind in ("requests", "limits"):
            for what in ("cpu", "memory"):
                asked = sum(
                    quantity(((one.get("resources") or {}).get(kind) or {}).get(what, 0)) for one in pod.get("containers") or ()
                )
                self._demand(namespace, f"{kind}.{what}", int(asked * (1000 if what == "cpu" else 1)) * copies(item))

    def _add_outside(self, item: Object) -> None:
        kind, metadata = item["kind"], item["metadata"]
        if kind == "Namespace":
            if metadata["name"] in self.namespaces and (item.get("status") or {}).get("phase") == "Terminating":
                self.terminating.append(metadata["name"])
        elif kind == "CustomResourceDefinition":
            spec = item["spec"]
            versions = tuple(one["name"] for one in spec["versions"] if one.get("served", True))
            self.definitions[metadata["name"]] = (str(spec["scope"]), str(spec["names"]["kind"]), versions)
        elif (
            kind == "ClusterRoleBinding" and subjects_within(item, self.namespaces) and item["roleRef"].get("kind") == "ClusterRole"
        ):
            self._roles.add(item["roleRef"]["name"])
        self.outside.append(_slim(item))

    def context(self) -> Context:
        """After the last object: what the namespaces need outside them."""
        roles = set(self._roles)
        for item in self.outside:
            if item["kind"] == "ClusterRole" and item["metadata"]["name"] in roles:
                roles |= {one["metadata"]["name"] for one in self.outside if _is_gathered(one, item)}
        builtin = {item["metadata"]["name"] for item in self.outside if item["kind"] == "ClusterRole" and _is_builtin(item)}
        groups = set(self._groups)
        if self.request.whole:
            groups |= {name.split(".", 1)[1] for name in self.definitions if "." in name}
        priorities = set(self.classes.get("priority class", {})) - set(self.request.mappings.priority_classes)
        return Context(
            self.namespaces,
            frozenset(groups),
            frozenset(roles - builtin),
            frozenset(priorities),
            self.request.whole,
            frozenset(self._selecting),
        )

    def objects(self) -> dict[str, int]:
        """Numbers of what goes along, by kind."""
        context = self.context()
        found: Counter[str] = Counter()
        for (_version, kind), count in self.kinds.items():
            found[kind] += count
        found.update(item["kind"] for item in self.outside if carried(item, context) is None)
        return dict(sorted(found.items()))

    def versions(self) -> dict[tuple[str, str], tuple[int, str]]:
        """``{(api version, kind): (how many, an example)}`` of what goes along."""
        context = self.context()
        found = {key: (count, self.examples[key]) for key, count in self.kinds.items()}
        for item in self.outside:
            if carried(item, context) is None:
                key = (item["apiVersion"], item["kind"])
                count, example = found.get(key, (0, item["metadata"]["name"]))
                found[key] = (count + 1, example)
        return found

    def carried_definitions(self) -> set[str]:
        """Names of the CustomResourceDefinitions that go along."""
        context = self.context()
        return {
            item["metadata"]["name"]
            for item in self.outside
            if item["kind"] == "CustomResourceDefinition" and carried(item, context) is None
        }

    def missing(self) -> list[str]:
        """What workloads need and their namespaces do not have, a part of a sentence each."""
        return sorted(
            f"{who} needs {kind} {name}, which is not there"
            for (kind, namespace, name), who in self._wanted.items()
            if (kind, namespace, name) not in self._there and (kind, name) != ("ConfigMap", "kube-root-ca.crt")
        )

    def left_outside(self) -> dict[str, int]:
        """Custom resources without a namespace that stay, by kind."""
        context = self.context()
        stay = (
            item["kind"] for item in self.outside if is_custom(item) and carried(item, context) == "is not needed by the namespaces"
        )
        return dict(sorted(Counter(stay).items()))


def _needs(pod: Object) -> Iterator[tuple[str, str]]:
    """Secrets, ConfigMaps, claims and the account that a pod cannot start without."""
    for volume in pod.get("volumes") or ():
        for key, kind, named in (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name")):
            source = volume.get(key)
            if source and not source.get("optional") and source.get(named):
                yield kind, str(source[named])
    yield from (("PersistentVolumeClaim", claim) for claim in claims_of(pod))
    if pod.get("serviceAccountName"):
        yield "ServiceAccount", str(pod["serviceAccountName"])
    for container in containers(pod):
        sources: list[Any] = [one.get("valueFrom") or {} for one in container.get("env") or ()] + list(
            container.get("envFrom") or ()
        )
        for source in sources:
            for key, kind in (
                ("secretKeyRef", "Secret"),
                ("configMapKeyRef", "ConfigMap"),
                ("secretRef", "Secret"),
                ("configMapRef", "ConfigMap"),
            ):
                found = source.get(key)
                if found and not found.get("optional") and found.get("name"):
                    yield kind, str(found["name"])


def _slim(item: Object) -> Object:
    """As much of it as ``carried`` looks at."""
    metadata = item["metadata"]
    kept = ("name", "namespace", "labels", "annotations", "deletionTimestamp", "ownerReferences")
    slim: Object = {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "metadata": {key: metadata[key] for key in kept if key in metadata},
    }
    slim["metadata"].pop("annotations", None)
    slim["metadata"]["annotations"] = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != "kubectl.kubernetes.io/last-applied-configuration"
    }
    if item["kind"] == "CustomResourceDefinition":
        slim["spec"] = {"group": item["spec"]["group"]}
    if item["kind"] == "APIService":
        slim["spec"] = {"service": (item["spec"].get("service") or {})}
    if item["kind"] == "ClusterRoleBinding":
        slim["subjects"] = item.get("subjects") or []
    if item["kind"] == "ClusterRole":
        slim["aggregationRule"] = item.get("aggregationRule")
    if "WebhookConfiguration" in item["kind"]:
        slim["webhooks"] = [
            {"clientConfig": {"service": (hook.get("clientConfig") or {}).get("service")}} for hook in item.get("webhooks") or ()
        ]
    return slim


def _is_builtin(role: Object) -> bool:
    return (role["metadata"].get("labels") or {}).get("kubernetes.io/bootstrapping") == "rbac-defaults"


def _is_gathered(role: Object, by: Object) -> bool:
    """Whether an aggregated role gathers the rules of another one."""
    if role["kind"] != "ClusterRole":
        return False
    labels = role["metadata"].get("labels") or {}
    selectors = (by.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    return any(
        selector.get("matchLabels") and all(labels.get(key) == value for key, value in selector["matchLabels"].items())
        for selector in selectors
    )
