# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the way of a migration of workloads, each in one sentence with its remedy. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from ..migration.plan import Blocker
from ..sizes import show_size
from .amounts import show_amount
from .mapping import whole_name
from .plan import Volume
from .request import BLOCK, Request
from .scope import Context
from .survey import Survey, Totals
from .target_facts import Quota, TargetFacts

# An API server takes objects of a newer one only as far as versions of kinds are served by both; so old a one is another world.
_SKEW = 3
_ON_ONE_NODE = ("rancher.io/local-path", "kubernetes.io/no-provisioner")
_NO_PROVISIONER = "kubernetes.io/no-provisioner"
_SHARED = ("ReadWriteMany", "ReadOnlyMany")
_BUILT_IN_PRIORITIES = ("system-cluster-critical", "system-node-critical")
_NAMED = 5


def blockers(
    request: Request, survey: Survey, target: TargetFacts, context: Context, totals: Totals, *, begun: bool = False
) -> list[Blocker]:
    """All of them, in an order that does not change."""
    found = [*_ends(survey, target), *_namespaces(survey, target), *_versions(survey, target, context, totals)]
    found += [*_definitions(survey, target), *_classes(survey, target, context), *_volumes(survey, target, begun)]
    found += [*_ports(survey, target), *_images(request, survey, target)]
    if not begun:
        found += [*_quotas(survey, target), *_limits(survey, target)]
    return found


def _ends(survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    source = survey.source
    if source.uid and source.uid == target.uid:
        yield Blocker("ends", f"{source.name} and {target.name} are the same cluster; name another source or target")
    (major, minor), (target_major, target_minor) = source.version, target.version
    if 0 in (major, target_major):
        return
    if (major, minor - _SKEW) > (target_major, target_minor):
        yield Blocker(
            "version",
            f"{target.name} runs Kubernetes {target_major}.{target_minor}, more than {_SKEW} minor versions older than {major}.{minor} "
            f"at {source.name}; upgrade the target first",
        )


def _namespaces(survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    for name in sorted(survey.terminating):
        yield Blocker(
            "namespace", f"namespace {name} is being deleted at {survey.source.name}; leave it out with exclude_namespaces"
        )
    for name in survey.namespaces:
        if target.namespaces.get(name) == "Terminating":
            yield Blocker("namespace", f"namespace {name} is still being deleted at {target.name}; wait until it is gone")


def _versions(survey: Survey, target: TargetFacts, context: Context, totals: Totals) -> Iterator[Blocker]:
    """Kinds that the target does not serve in the version in which they are read, unless they are defined there first."""
    defined = {survey.outside.definitions[name].sort for name in context.definitions}
    for (version, kind), count in sorted(totals.versions.items()):
        group = version.rpartition("/")[0]
        if (version, kind) in target.served or (group, kind) in defined:
            continue
        others = sorted(other for other, named in target.served if named == kind and other.rpartition("/")[0] == group)
        if others:
            remedy = f"it serves {', '.join(others)}: upgrade the older cluster, or leave the kind behind with exclude_kinds"
        else:
            remedy = "install what serves it there, or leave the kind behind with exclude_kinds"
        yield Blocker("api version", f"{target.name} does not serve {kind} in {version}, of which {count} would go along; {remedy}")


def _definitions(survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    """A definition of the same name that the target has of its own, and that would not do."""
    for name in sorted(survey.needed().definitions):
        wanted, there = survey.outside.definitions[name], target.definitions.get(name)
        if there is None or there.ours or survey.is_served(name, target):
            continue
        if there.sort != wanted.sort:
            fault = f"is of kind {there.kind} there, not {wanted.kind}"
        elif there.namespaced != wanted.namespaced:
            fault = "is of the other scope there"
        else:
            lacking = sorted(survey.versions_of(name) - set(there.served))
            fault = f"is there without version {', '.join(lacking)}"
        yield Blocker(
            "definition", f"CustomResourceDefinition {name} {fault}; bring it at {target.name} to what {survey.source.name} has"
        )


def _classes(survey: Survey, target: TargetFacts, context: Context) -> Iterator[Blocker]:
    there = {
        "storage class": set(target.storage_classes),
        "ingress class": set(target.ingress_classes),
        "priority class": {*target.priority_classes, *context.priorities, *_BUILT_IN_PRIORITIES},
        "runtime class": set(target.runtime_classes),
    }
    for sort, names in there.items():
        for name, use in sorted(survey.uses.get(sort, {}).items()):
            if name and name not in names:
                remedy = f"make it there, or map it with {sort.replace(' ', '_')}es" if sort != "runtime class" else "make it there"
                yield Blocker("class", f"{sort} {name} of {use.whose} is not at {target.name}; {remedy}")
    # In the old way a class may be only a word between an ingress and its controller.
    for name, use in sorted(survey.uses.get("old ingress class", {}).items()):
        if name in survey.classes["ingress"] and name not in target.ingress_classes:
            yield Blocker(
                "class",
                f"ingress class {name} of {use.whose} is not at {target.name}; make it there, or map it with ingress_classes",
            )
    if "" in survey.uses.get("default storage class", {}) and not target.default_storage_class:
        whose = survey.uses["default storage class"][""].whose
        yield Blocker(
            "class", f"{whose} names no storage class, and {target.name} has no default one; mark one there as the default"
        )
    for name in sorted(set(survey.uses.get("priority class", ())) & set(survey.priorities)):
        value, other = survey.priorities[name], target.priority_classes.get(name)
        if other is not None and other != value:
            yield Blocker(
                "class",
                f"priority class {name} has value {value} at {survey.source.name} and {other} at {target.name}; map it with priority_classes",
            )


def _volumes(survey: Survey, target: TargetFacts, begun: bool) -> Iterator[Blocker]:
    free = list(target.free_volumes)
    for volume in sorted(survey.volumes, key=lambda one: (one.namespace, one.claim)):
        name = f"{volume.namespace}/{volume.claim}"
        if volume.volume_mode == "Block":
            yield Blocker(
                "volume",
                f"claim {name} is a raw block device, of which files cannot be copied; move its data yourself and leave it out",
            )
        provisioner = target.storage_classes.get(volume.target_class, "")
        if set(volume.access_modes) & set(_SHARED) and provisioner in _ON_ONE_NODE:
            yield Blocker(
                "volume",
                f"claim {name} is to be shared by nodes, which storage class {volume.target_class} at {target.name} cannot do; "
                f"map {volume.storage_class} to one that can with storage_classes",
            )
        unmade = (not volume.target_class and name in survey.made_by_hand) or provisioner == _NO_PROVISIONER
        if unmade and not begun and not _take(free, volume):
            yield Blocker(
                "volume",
                f"claim {name} needs a volume made by hand, and {target.name} has none free of {show_size(volume.bytes)}; "
                f"make one there, or map its class with storage_classes",
            )


def _take(free: list[tuple[str, int]], volume: Volume) -> bool:
    """The smallest free volume that will do is taken."""
    fitting = sorted(one for one in free if one[0] == volume.target_class and one[1] >= volume.bytes)
    if fitting:
        free.remove(min(fitting, key=lambda one: one[1]))
    return bool(fitting)


def _ports(survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    for sort, taken, option in (
        ("node port", target.node_ports, "node_ports"),
        ("load balancer IP", target.load_balancer_ips, "load_balancer_ips"),
    ):
        for name, use in sorted(survey.uses.get(sort, {}).items()):
            holder = taken.get(name, "")
            # A Service of the same name is the migration's own, or is told as a conflict.
            if holder and f"Service {holder}" != use.first:
                yield Blocker(
                    "port",
                    f"{sort} {name} of {use.first} is taken by Service {holder} at {target.name}; free it, or set {option}: new",
                )


def _images(request: Request, survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    missing = missing_images(survey, target) if request.missing_images == BLOCK else []
    if missing:
        yield Blocker(
            "image", f"{images_sentence(missing, target)}; pull them there, map them with images, or set missing_images: warn"
        )


def missing_images(survey: Survey, target: TargetFacts) -> list[str]:
    """Images that no node tells of, sorted. Nodes tell of the fifty largest ones only, unless they are set up otherwise."""
    there = {name for node in target.nodes for name in node.images}
    return sorted(image for image in survey.uses.get("image", {}) if whole_name(image) not in there)


def images_sentence(missing: list[str], target: TargetFacts) -> str:
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return f"no node of {target.name} tells that it has image {', '.join(missing[:_NAMED])}{more}"


def _quotas(survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    nodes = sum(node.schedulable for node in target.nodes)
    for quota in target.quotas:
        if quota.scoped or quota.namespace not in survey.namespaces:
            continue
        for key, hard in sorted(quota.hard.items()):
            need = needed_amount(survey, quota.namespace, key, nodes)
            left = hard - quota.used.get(key, Fraction(0))
            if need > left:
                yield Blocker("quota", _quota_sentence(quota, key, need, left, target))


def _quota_sentence(quota: Quota, key: str, need: Fraction, left: Fraction, target: TargetFacts) -> str:
    return (
        f"ResourceQuota {quota.namespace}/{quota.name} at {target.name} leaves {show_amount(key, max(left, Fraction(0)))} of {key}, and "
        f"{show_amount(key, need)} is needed; raise it"
    )


def needed_amount(survey: Survey, namespace: str, key: str, nodes: int) -> Fraction:
    """What a namespace needs of something, as a quota names it; the short names mean requests."""
    key = {"cpu": "requests.cpu", "memory": "requests.memory", "ephemeral-storage": "requests.ephemeral-storage"}.get(key, key)
    nothing = Fraction(0)
    return survey.amounts.get(namespace, {}).get(key, nothing) + nodes * survey.daemons.get(namespace, {}).get(key, nothing)


def _limits(survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    for limit in target.limits:
        where = f"LimitRange {limit.namespace}/{limit.name} at {target.name}"
        if limit.type == "Container":
            for resource, most in sorted(limit.most.items()):
                need, who = survey.largest.get(limit.namespace, {}).get(resource, (Fraction(0), ""))
                if need > most:
                    yield Blocker(
                        "quota",
                        f"{where} allows a container {show_amount(resource, most)} of {resource}, and one of {who} needs "
                        f"{show_amount(resource, need)}; raise it",
                    )
        elif limit.type == "PersistentVolumeClaim":
            roof, floor = limit.most.get("storage"), limit.least.get("storage", Fraction(0))
            for volume in survey.volumes:
                outside = volume.bytes < floor or (roof is not None and volume.bytes > roof)
                if volume.namespace == limit.namespace and outside:
                    size = show_size(volume.bytes)
                    yield Blocker("quota", f"{where} does not allow a claim of {size}, which {volume.claim} is; change it")
