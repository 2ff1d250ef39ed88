# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person should know before a migration of workloads, each in one sentence. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction

from .amounts import show_amount
from .obstacles import images_sentence, missing_images, needed_amount
from .request import NEW, WARN, Request
from .scope import Context
from .survey import Survey, Totals, Use
from .target_facts import TargetFacts

_NAMED = 5
_HOSTNAME = "kubernetes.io/hostname"
_SHARED = ("ReadWriteMany", "ReadOnlyMany")


def warnings(request: Request, survey: Survey, target: TargetFacts, context: Context, totals: Totals) -> list[str]:
    """All of them, in an order that does not change."""
    return [
        *_of_ends(survey, target),
        *_of_keepers(survey),
        *_of_custom(survey, target),
        *_of_references(survey, target, context),
        *_of_nodes(survey, target),
        *_of_volumes(survey),
        *_of_addresses(request, survey),
        *_of_images(request, survey, target),
        *_of_unused(request, survey),
        *_of_what_stays(totals),
    ]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _uses(survey: Survey, sort: str) -> list[tuple[str, Use]]:
    return sorted(survey.uses.get(sort, {}).items())


def _of_ends(survey: Survey, target: TargetFacts) -> Iterator[str]:
    (major, minor), (target_major, target_minor) = survey.source.version, target.version
    if 0 not in (major, target_major) and (target_major, target_minor) < (major, minor):
        yield f"{target.name} runs Kubernetes {target_major}.{target_minor}, which is older than {major}.{minor} at {survey.source.name}"


def _of_keepers(survey: Survey) -> Iterator[str]:
    """Those who would make objects anew at the source, or change what runs there."""
    for name, use in _uses(survey, "keeper"):
        yield f"{name} keeps {use.whose}: stop it before the cutover, and point it to the target afterwards"
    for _name, use in _uses(survey, "scaler"):
        yield f"KEDA scales {use.whose}: the target needs KEDA too, and its triggers must be reached from there"
    for _name, use in _uses(survey, "chart"):
        yield f"{use.whose} is a HelmChart of k3s: a target with k3s installs that chart again over what goes along"
    for _name, use in _uses(survey, "operated"):
        yield f"{use.whose} is made by an operator, which may change it again when it finds it at the target"
    bare = [name for name, _use in _uses(survey, "bare pod")]
    if bare:
        yield f"{len(bare)} pod(s) without a controller go along and are made anew at the target: {_some(bare)}"
    keep = [f"{name} ({use.count})" for name, use in _uses(survey, "finalizer")]
    if keep:
        yield f"finalizers go along, and whoever answers to them must be at the target: {_some(keep)}"


def _of_custom(survey: Survey, target: TargetFacts) -> Iterator[str]:
    worked_on = survey.outside.worked_on()
    orphans = Counter[str]()
    for one in survey.outside.definitions.values():
        if survey.outside.sorts[one.sort] and one.group not in worked_on and one.answered_from not in survey.namespaces:
            orphans[one.group] += survey.outside.sorts[one.sort]
    for group, count in sorted(orphans.items()):
        yield f"nobody in these namespaces has a role for the {count} custom resource(s) of {group}: see that their operator is at {target.name}"
    served = sorted(name for name in survey.needed().definitions if survey.is_served(name, target))
    if served:
        yield f"{target.name} has {len(served)} of the custom resources' definitions already, and they stay as they are: {_some(served)}"


def _of_references(survey: Survey, target: TargetFacts, context: Context) -> Iterator[str]:
    for kind in ("Secret", "ConfigMap", "ServiceAccount", "PersistentVolumeClaim"):
        missing = [f"{name} ({use.whose})" for name, use in survey.missing(kind).items()]
        if missing:
            yield f"{kind} that is used is not at {survey.source.name} either: {_some(missing)}"
    for name, use in _uses(survey, "role"):
        if name not in context.roles and name not in target.roles:
            yield f"ClusterRole {name}, which {use.whose} binds, does not go along and is not at {target.name}"
        elif name == "cluster-admin":
            yield f"{use.whose} lets somebody do everything at {target.name}"
    for name, use in _uses(survey, "old ingress class"):
        if name not in survey.classes["ingress"] and name not in target.ingress_classes:
            yield f"ingress class {name} of {use.whose} is named by an annotation only: see that a controller at {target.name} takes it"


def _of_nodes(survey: Survey, target: TargetFacts) -> Iterator[str]:
    if not target.nodes:
        return
    for label, use in _uses(survey, "node label"):
        key, _equals, value = label.partition("=")
        if not any(node.labels.get(key) == value for node in target.nodes):
            what = f"is tied to node {value}" if key == _HOSTNAME else f"wants nodes labelled {label}"
            yield f"{use.whose} {what}, and {target.name} has none: it will not start there"
    architectures = {node.architecture for node in target.nodes if node.architecture}
    if survey.architectures and architectures and not survey.architectures & architectures:
        yield f"nodes of {target.name} are {_some(sorted(architectures))}, those of {survey.source.name} {_some(sorted(survey.architectures))}"
    ready = [node for node in target.nodes if node.schedulable]
    rooms: Mapping[str, Fraction] = {
        "requests.cpu": sum((node.cpu for node in ready), Fraction(0)),
        "requests.memory": sum((node.memory for node in ready), Fraction(0)),
        "pods": Fraction(sum(node.pods for node in ready)),
    }
    for key, room in rooms.items():
        need = sum((needed_amount(survey, namespace, key, len(ready)) for namespace in survey.namespaces), Fraction(0))
        if room and need > room:
            yield f"all of it needs {show_amount(key, need)} of {key}, and the nodes of {target.name} have {show_amount(key, room)} in all"


def _of_volumes(survey: Survey) -> Iterator[str]:
    paths = [f"{path} ({use.whose})" for path, use in _uses(survey, "host path")]
    if paths:
        yield f"folders of nodes are mounted, and what is in them does not go along: {_some(paths)}"
    by_hand = sorted(survey.made_by_hand)
    if by_hand:
        yield f"volumes made by hand do not go along, only the data in them: {_some(by_hand)}"
    shared = sorted(f"{one.namespace}/{one.claim}" for one in survey.volumes if set(one.access_modes) & set(_SHARED))
    if shared:
        yield f"claims are shared by nodes, which their storage class at the target must be able to do: {_some(shared)}"
    unbound = sorted(f"{one.namespace}/{one.claim}" for one in survey.volumes if not one.bound)
    if unbound:
        yield f"claims have no volume yet, and go along without data: {_some(unbound)}"


def _of_addresses(request: Request, survey: Survey) -> Iterator[str]:
    balanced = [name for name, _use in _uses(survey, "load balancer")]
    if balanced and request.load_balancer_ips == NEW:
        yield f"load balancers get new addresses, which DNS must learn: {_some(balanced)}"
    for address, use in _uses(survey, "external IP"):
        yield f"{use.whose} asks for the external IP {address}, which must lead to the target"


def _of_images(request: Request, survey: Survey, target: TargetFacts) -> Iterator[str]:
    missing = missing_images(survey, target) if request.missing_images == WARN and target.nodes else []
    if missing:
        yield f"{images_sentence(missing, target)}; it must be able to pull them"


def _of_unused(request: Request, survey: Survey) -> Iterator[str]:
    """A mapping that changed nothing is likely misspelt."""
    done = set(survey.totals(survey.context()).mapped)
    for option, what, names in (
        ("storage_classes", "storage class", request.storage_classes),
        ("ingress_classes", "ingress class", request.ingress_classes),
        ("priority_classes", "priority class", request.priority_classes),
        ("images", "image", request.images),
    ):
        for old, new in sorted(names.items()):
            if old != new and f"{what} {old} → {new}" not in done:
                yield f"{option} maps {old}, which nothing that goes along uses"


def _of_what_stays(totals: Totals) -> Iterator[str]:
    count = sum(number for what, number in totals.left.items() if what.startswith("VolumeSnapshot: "))
    if count:
        yield f"{count} VolumeSnapshot(s) stay behind, as they are of the old storage"
