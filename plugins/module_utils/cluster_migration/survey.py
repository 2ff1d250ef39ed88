# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All objects of the source, seen once: how many go along, what is done to them, and what they need. Pure.

Names and numbers are kept, never objects: thousands of them need little memory. What has no namespace can be judged only when all
was seen, so its head is kept until then.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from ..backends.cluster import Object
from .amounts import amounts, claim_bytes, largest, replicas
from .cleaning import cleaned
from .mapping import Mappings
from .objects import annotations_of, group_of, labels_of, listed, name_of, part, pod_spec, shown, sort_of, spec_of
from .outside import Needed, Outside
from .plan import Volume
from .references import References, references
from .request import Request
from .resting import controller_of, is_finished
from .scope import TOKEN, Context, carried
from .target_facts import TargetFacts

Sort = tuple[str, str]
_PROVISIONED = "pv.kubernetes.io/provisioned-by"
_CLAIM = ("", "PersistentVolumeClaim")
# What has no namespace and can be judged by itself.
_BY_ITSELF = frozenset(
    {
        ("", "Namespace"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("apiregistration.k8s.io", "APIService"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    }
)
_PRIORITY = ("scheduling.k8s.io", "PriorityClass")
# Who keeps objects in a form that is written down elsewhere, by labels or annotations that begin so.
_KEEPERS = {
    "argocd.argoproj.io/": "Argo CD",
    "kustomize.toolkit.fluxcd.io/": "Flux",
    "helm.toolkit.fluxcd.io/": "Flux",
    "fleet.cattle.io/": "Fleet",
}


@dataclass(frozen=True)
class Source:
    """The cluster that is left; ``version`` as ``(major, minor)``."""

    name: str
    uid: str = ""
    version: tuple[int, int] = (0, 0)


@dataclass
class Use:
    """How many objects use a thing, and the first of them by name."""

    count: int = 0
    first: str = ""

    def add(self, who: str) -> None:
        self.count += 1
        self.first = min(self.first, who) if self.first else who

    @property
    def whose(self) -> str:
        """For a sentence: ``Deployment shop/web and 3 more``."""
        return f"{self.first} and {self.count - 1} more" if self.count > 1 else self.first


@dataclass
class Totals:
    """How many objects go along by kind, and how often each thing was done; ``versions`` by ``(api version, kind)``."""

    objects: Counter[str] = field(default_factory=Counter)
    cleaned: Counter[str] = field(default_factory=Counter)
    mapped: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    versions: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, head: Object, removed: Iterable[str], mapped: Iterable[str]) -> None:
        self.objects[head["kind"]] += 1
        self.versions[str(head["apiVersion"]), head["kind"]] += 1
        self.cleaned.update(removed)
        self.mapped.update(mapped)

    def leave(self, head: Object, reason: str) -> None:
        self.left[f"{head['kind']}: {reason}"] += 1

    def copy(self) -> Totals:
        return copy.deepcopy(self)


class Survey:
    """One thread at a time. ``uses`` are by sort (``storage class``) and name, as they are called at the target.

    ``amounts`` by namespace are what all of it needs when it runs; ``daemons`` what it needs on each node besides.
    ``largest`` by namespace and resource: what one container needs, and whose it is. ``made_by_hand``: claims of static volumes.
    ``grace``: seconds that the slowest pod may take to stop.

    :param namespaces: those that move
    """

    def __init__(self, request: Request, namespaces: Collection[str], source: Source) -> None:
        self.request = request
        self.namespaces = tuple(sorted(namespaces))
        self.source = source
        self.mappings = Mappings.of(request, namespaces)
        self.outside = Outside(frozenset(namespaces))
        self.uses: dict[str, dict[str, Use]] = {}
        self.volumes: list[Volume] = []
        self.amounts: dict[str, dict[str, Fraction]] = {}
        self.daemons: dict[str, dict[str, Fraction]] = {}
        self.largest: dict[str, dict[str, tuple[Fraction, str]]] = {}
        self.terminating: list[str] = []
        self.grace = 0
        self.made_by_hand: set[str] = set()
        self.classes: dict[str, set[str]] = {"ingress": set(), "storage": set()}
        self.priorities: dict[str, int] = {}
        self.architectures: set[str] = set()
        self.seen = 0
        self._base = Context(frozenset(namespaces), frozenset(request.exclude_kinds))
        self._totals = Totals()
        self._heads: list[tuple[Object, tuple[str, ...], tuple[str, ...]]] = []
        self._later: set[tuple[str, str]] = set()
        self._names: dict[str, set[str]] = {"Secret": set(), "ConfigMap": set(), "ServiceAccount": set(), _CLAIM[1]: set()}
        self._selecting: set[str] = set()

    def add(self, item: Object) -> None:
        """Every object of the namespaces, and every one without a namespace, once and in any order."""
        self.seen += 1
        sort, namespace = sort_of(item), item["metadata"].get("namespace", "")
        if namespace in self.namespaces:
            self._remember(item)
        elif not namespace:
            self._see_cluster(item, sort)
        reason = carried(item, self._base)
        second = sort == ("", "Endpoints") or item.get("type") == TOKEN or (not namespace and sort not in _BY_ITSELF)
        self.outside.see(item, goes=bool(namespace) and reason is None)
        if second and namespace in ("", *self.namespaces):
            done = cleaned(item, self.mappings)
            self._heads.append((_head(item), done.removed, done.mapped))
            self._later.add((str(item["apiVersion"]), item["kind"]))
        elif reason is not None:
            self._totals.leave(item, reason)
        else:
            done = cleaned(item, self.mappings)
            self._totals.count(item, done.removed, done.mapped)
            self._note(item, done.object)

    # What is there

    def _remember(self, item: Object) -> None:
        if item["kind"] in self._names:
            self._names[item["kind"]].add(name_of(item))
        if sort_of(item) == ("", "Service") and part(item, "spec", "selector"):
            self._selecting.add(name_of(item))

    def _see_cluster(self, item: Object, sort: Sort) -> None:
        name = str(item["metadata"]["name"])
        if sort == ("", "Namespace"):
            gone = part(item, "status").get("phase") == "Terminating" or item["metadata"].get("deletionTimestamp")
            if gone and name in self.namespaces:
                self.terminating.append(name)
        elif sort == ("", "Node"):
            self.architectures.add(str(part(item, "status", "nodeInfo").get("architecture", "")))
        elif sort == ("", "PersistentVolume"):
            claim = part(item, "spec", "claimRef")
            if claim.get("namespace") in self.namespaces and _PROVISIONED not in annotations_of(item):
                self.made_by_hand.add(f"{claim['namespace']}/{claim.get('name')}")
        elif sort == ("networking.k8s.io", "IngressClass"):
            self.classes["ingress"].add(name)
        elif sort == _PRIORITY and not name.startswith("system-"):
            self.priorities[name] = int(item.get("value") or 0)

    # What is needed

    def _use(self, sort: str, names: Iterable[str], who: str) -> None:
        for name in names:
            self.uses.setdefault(sort, {}).setdefault(name, Use()).add(who)

    def _note(self, item: Object, made: Object) -> None:
        """What an object that goes along needs; names are those after the mapping, so they are the target's."""
        who, namespace = shown(item), str(item["metadata"].get("namespace", ""))
        self._note_names(references(made), who, namespace)
        self._note_sorts(item, made, who)
        if namespace and not (sort_of(item) == ("batch", "Job") and is_finished(item)):
            self._note_amounts(made, who, namespace)
        if sort_of(item) == _CLAIM:
            self._note_claim(item, made)

    def _note_names(self, found: References, who: str, namespace: str) -> None:
        for sort, names in (
            ("storage class", found.storage_classes),
            ("default storage class", {""} if found.default_storage else set()),
            ("ingress class", found.ingress_classes),
            ("old ingress class", found.old_ingress_classes),
            ("priority class", found.priority_classes),
            ("runtime class", found.runtime_classes),
            ("image", found.images),
            ("host path", found.host_paths),
            ("load balancer IP", found.load_balancer_ips),
        ):
            self._use(sort, names, who)
        self._use("node label", (f"{key}={value}" for key, value in found.labels), who)
        self._use("node port", (f"{port}/{protocol}" for port, protocol in found.node_ports), who)
        for kind, names in (
            ("Secret", found.secrets),
            ("ConfigMap", found.config_maps),
            ("ServiceAccount", found.accounts - {"default"}),
            (_CLAIM[1], found.claims),
        ):
            self._use(kind, (f"{namespace}/{name}" for name in names), who)

    def _note_sorts(self, item: Object, made: Object, who: str) -> None:
        sort = sort_of(item)
        self._use("finalizer", (str(name) for name in listed(made, "metadata", "finalizers")), who)
        marks = (*labels_of(item), *annotations_of(item))
        self._use("keeper", {name for start, name in _KEEPERS.items() if any(mark.startswith(start) for mark in marks)}, who)
        if sort[0] == "keda.sh" and sort[1] in ("ScaledObject", "ScaledJob"):
            self._use("scaler", [sort[1]], who)
        if sort == ("helm.cattle.io", "HelmChart"):
            self._use("chart", [sort[1]], who)
        if sort == ("", "Pod"):
            self._use("bare pod", [name_of(item)], who)
        if sort == ("", "Service") and spec_of(item).get("type") == "LoadBalancer":
            self._use("load balancer", [name_of(item)], who)
        if sort == ("", "Service") and spec_of(item).get("externalIPs"):
            self._use("external IP", [str(address) for address in listed(item, "spec", "externalIPs")], who)
        if sort[1] in ("RoleBinding", "ClusterRoleBinding") and part(item, "roleRef").get("kind") == "ClusterRole":
            self._use("role", [str(part(item, "roleRef").get("name"))], who)
        controller = controller_of(item)
        if controller and sort[0] in ("apps", "batch") and "." in group_of(controller):
            self._use("operated", [str(controller.get("kind"))], who)

    def _note_amounts(self, made: Object, who: str, namespace: str) -> None:
        daemon = sort_of(made) == ("apps", "DaemonSet")
        totals = (self.daemons if daemon else self.amounts).setdefault(namespace, {})
        for key, value in amounts(made).items():
            totals[key] = totals.get(key, Fraction(0)) + value
        if replicas(made):
            self.grace = max(self.grace, int(pod_spec(made).get("terminationGracePeriodSeconds") or 0))
        most = self.largest.setdefault(namespace, {})
        for resource, value in largest(pod_spec(made)).items():
            most[resource] = max(most.get(resource, (Fraction(0), "")), (value, who))

    def _note_claim(self, item: Object, made: Object) -> None:
        metadata, spec = item["metadata"], spec_of(item)
        self.volumes.append(
            Volume(
                namespace=str(metadata["namespace"]),
                claim=str(metadata["name"]),
                bytes=claim_bytes(item),
                storage_class=str(spec.get("storageClassName") or ""),
                target_class=str(spec_of(made).get("storageClassName") or ""),
                access_modes=tuple(str(mode) for mode in listed(item, "spec", "accessModes")),
                volume_mode=str(spec.get("volumeMode") or "Filesystem"),
                bound=part(item, "status").get("phase") == "Bound",
            )
        )

    # When all was seen

    def missing(self, kind: str) -> dict[str, Use]:
        """Uses of Secrets, ConfigMaps, ServiceAccounts or claims that are not there."""
        return {name: use for name, use in sorted(self.uses.get(kind, {}).items()) if name not in self._names[kind]}

    def needed(self) -> Needed:
        return self.outside.needed()

    def context(self, target: TargetFacts | None = None) -> Context:
        """What ``scope.carried`` must know. What the target has of its own, and in a form that will do, is left to it."""
        needed = self.outside.needed()
        definitions = {name for name in needed.definitions if target is None or not self.is_served(name, target)}
        if "CustomResourceDefinition" in self._base.excluded:
            definitions = set()
        priorities = {
            name
            for name in set(self.uses.get("priority class", ())) & set(self.priorities)
            if target is None or not target.has_priority(name)
        }
        return Context(
            namespaces=self._base.namespaces,
            excluded=self._base.excluded,
            selecting=frozenset(self._selecting),
            mounted=frozenset(self.uses.get("Secret", ())),
            definitions=frozenset(definitions),
            roles=needed.roles,
            priorities=frozenset(priorities),
            kinds=needed.kinds,
            owners=needed.owners,
        )

    def is_served(self, definition: str, target: TargetFacts) -> bool:
        """Whether the target has this CRD of somebody else's, with the versions that are needed, and alike in name and scope."""
        wanted, there = self.outside.definitions[definition], target.definitions.get(definition)
        if there is None or there.ours:
            return False
        return (there.sort, there.namespaced) == (wanted.sort, wanted.namespaced) and self.versions_of(definition) <= set(
            there.served
        )

    def versions_of(self, definition: str) -> set[str]:
        """The versions of a CRD in which its objects go along; all that are served where there are no objects."""
        one = self.outside.definitions[definition]
        every = {version.rpartition("/") for version, kind in {*self._totals.versions, *self._later} if kind == one.kind}
        used = {version for group, _slash, version in every if group == one.group}
        return used or set(one.served)

    def totals(self, context: Context) -> Totals:
        totals = self._totals.copy()
        for head, removed, mapped in self._heads:
            reason = carried(head, context)
            if reason is None:
                totals.count(head, removed, mapped)
            else:
                totals.leave(head, reason)
        return totals


def _head(item: Object) -> Object:
    """What is left of an object that is judged later: enough for ``scope.carried``."""
    metadata: Mapping[str, object] = item["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "ownerReferences", "deletionTimestamp") if key in metadata}
    short = {key: value for key, value in annotations_of(item).items() if len(str(value)) < 256}
    head: Object = {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "metadata": {**kept, "labels": dict(labels_of(item)), "annotations": short},
    }
    if "type" in item:
        head["type"] = item["type"]
    return head
