# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the way of a cluster's workloads at their target, and what a person should know before. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ..sizes import show_size
from .plan import Blocker
from .request import Request
from .survey import Survey
from .target_facts import TargetFacts

# The API keeps what is old for at least so many minor versions.
_OLDEST = 2
_NAMED = 5
_REMEDIES = {
    "storage class": "map it with storage_classes, or make it there",
    "ingress class": "map it with ingress_classes, or install its controller there",
    "priority class": "map priority_classes to one of its own",
    "runtime class": "make it there",
}


def blockers(request: Request, survey: Survey, target: TargetFacts, source_version: tuple[int, int]) -> list[Blocker]:
    """One sentence each; none means that it may begin."""
    found = [
        *_namespaces(survey, target),
        *_versions(survey, target, source_version),
        *_classes(request, survey, target),
        *_claims(survey),
        *_node_ports(request, survey, target),
        *_definitions(survey, target),
        *_quotas(survey, target),
    ]
    if request.missing_images == "block":
        found += [Blocker("images", f"{sentence}; pull it there, or map images") for sentence in _images(survey, target)]
    return found


def _namespaces(survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    for name in sorted(survey.terminating):
        yield Blocker("namespaces", f"namespace {name} is being deleted at the source; leave it out, or wait until it is gone")
    for name in sorted(survey.namespaces):
        if target.namespaces.get(name) == "Terminating":
            yield Blocker("namespaces", f"namespace {name} is being deleted at {target.name}; wait until it is gone")


def _versions(survey: Survey, target: TargetFacts, source: tuple[int, int]) -> Iterator[Blocker]:
    if target.version[0] != source[0] or target.version[1] < source[1] - _OLDEST:
        told = ".".join(str(part) for part in target.version), ".".join(str(part) for part in source)
        yield Blocker(
            "version",
            f"{target.name} has Kubernetes {told[0]}, which is more than {_OLDEST} minor versions older than {told[1]} of the source; upgrade it",
        )
    coming = survey.carried_definitions()
    defined = {
        (f"{name.split('.', 1)[1]}/{version}", kind)
        for name, (_scope, kind, versions) in survey.definitions.items()
        if name in coming
        for version in versions
    }
    for (api_version, kind), (count, example) in sorted(survey.versions().items()):
        if (api_version, kind) not in target.served and (api_version, kind) not in defined:
            yield Blocker(
                "api version",
                f"{target.name} does not serve {api_version} {kind}, of which there are {count}, such as {example}; have it served there, or "
                f"leave the kind out with exclude_kinds",
            )


def _classes(request: Request, survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    maps = {
        "storage class": request.mappings.storage_classes,
        "ingress class": request.mappings.ingress_classes,
        "priority class": request.mappings.priority_classes,
    }
    for sort, names in sorted(survey.classes.items()):
        there = target.classes.get(sort, set())
        for name, who in sorted(names.items()):
            new = maps.get(sort, {}).get(name, name)
            # An unmapped priority class of a person goes along.
            if new in there or (sort == "priority class" and new == name and not name.startswith("system-")):
                continue
            known = ", ".join(sorted(there)[:10]) or "none"
            mapped = f" (for {name})" if new != name else ""
            yield Blocker(
                sort, f"{target.name} has no {sort} {new}{mapped}, which {who} needs; {_REMEDIES[sort]} (it has: {known})"
            )


def _claims(survey: Survey) -> Iterator[Blocker]:
    for claim in sorted(survey.claims, key=lambda one: one.key):
        if claim.block:
            yield Blocker(
                "volumes", f"claim {claim.key} is a block device, whose data cannot be moved file by file; leave its namespace out"
            )
        elif claim.storage_class == "":
            yield Blocker(
                "volumes",
                f"claim {claim.key} has a volume made by hand, which no class can make anew; give the claim a storage class",
            )


def _node_ports(request: Request, survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    if request.mappings.node_ports != "keep":
        return
    for (port, protocol), service in sorted(survey.node_ports.items()):
        there = target.node_ports.get((port, protocol))
        if there is not None and there != service:
            yield Blocker(
                "node ports",
                f"node port {port} ({protocol}) of Service {service} is taken by {there} at {target.name}; set node_ports: new",
            )


def _definitions(survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    used: dict[str, set[str]] = {}
    for api_version, kind in survey.kinds:
        group, _slash, version = api_version.rpartition("/")
        used.setdefault(f"{group}|{kind}", set()).add(version)
    for name in sorted(survey.carried_definitions()):
        there = target.definitions.get(name)
        if there is None:
            continue
        scope, kind, _versions = survey.definitions[name]
        lacking = sorted(used.get(f"{name.split('.', 1)[1]}|{kind}", set()) - set(there[2]))
        if (there[0], there[1]) != (scope, kind):
            yield Blocker(
                "definitions",
                f"CustomResourceDefinition {name} at {target.name} is {there[0]} {there[1]}, not {scope} {kind}; remove one of them",
            )
        elif lacking:
            yield Blocker(
                "definitions",
                f"CustomResourceDefinition {name} at {target.name} does not serve {', '.join(lacking)}; bring it up to date there",
            )


def _quotas(survey: Survey, target: TargetFacts) -> Iterator[Blocker]:
    for namespace, left in sorted(target.quotas.items()):
        if namespace not in survey.namespaces:
            continue
        for what, free in sorted(left.items()):
            need = survey.demands.get(namespace, Counter())[what]
            if need > free:
                yield Blocker(
                    "quota",
                    f"a ResourceQuota of namespace {namespace} at {target.name} leaves {_amount(what, free)} of {what}, and "
                    f"{_amount(what, need)} are needed; raise it",
                )


def _amount(what: str, amount: int) -> str:
    if what.endswith("cpu"):
        return f"{amount}m"
    return show_size(max(amount, 0)) if what.endswith(("memory", "storage")) else str(amount)


def _images(survey: Survey, target: TargetFacts) -> list[str]:
    """Images that no node of the target tells to have; nodes tell of some tens only, so that this proves nothing by itself."""
    there = {_full(image) for image in target.images}
    return [
        f"no node of {target.name} has image {image}, which {who} runs"
        for image, who in sorted(survey.images.items())
        if _full(image) not in there
    ]


def _full(image: str) -> str:
    """As nodes say it: with registry and tag."""
    first, slash, _rest = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{image}"
    return image if "@" in image or ":" in image.rsplit("/", 1)[1] else f"{image}:latest"


_NOTES = {
    "Argo CD": "{who} came from Argo CD; stop it for the time of the move, and have it deploy to the target afterwards",
    "Flux": "{who} came from Flux; suspend it for the time of the move, and have it deploy to the target afterwards",
    "HelmChart": "HelmChart {who} is carried out by k3s; the target must be k3s as well, and installs what is in it by itself",
    "ScaledObject": "ScaledObject {who} scales a workload by itself; pause KEDA for the time of the move",
    "external IPs": "Service {who} has external IPs, which stay as they are; route them to the target",
    "load balancer IP": "Service {who} asks for a load balancer's address, which must be one of the target's",
    "host paths": "{who} uses a path of its node, whose files do not come along",
    "node names": "{who} names a node; it starts nowhere at the target unless a node there has that name",
    "bare pods": "Pod {who} has no controller; it is made anew when the application starts at the target",
}


def warnings(request: Request, survey: Survey, target: TargetFacts, source_version: tuple[int, int]) -> list[str]:
    """A sentence each."""
    found = [_NOTES[sort].format(who=_named(who)) for sort, who in sorted(survey.notes.items())]
    found += [f"{sentence}; it will not start at the target either" for sentence in survey.missing()]
    if request.missing_images == "warn":
        found += [f"{sentence}; it must be able to pull it" for sentence in _images(survey, target)]
    if target.version < source_version and target.version[0] == source_version[0]:
        found.append(f"{target.name} has an older Kubernetes than the source; what is new there is not served")
    shared = [claim.key for claim in survey.claims if "ReadWriteMany" in claim.access_modes]
    if shared:
        found.append(f"claim {_named(shared)} is written by many nodes; the storage class at the target must be able to")
    unnamed = [claim.key for claim in survey.claims if claim.storage_class is None]
    if unnamed:
        found.append(
            f"claim {_named(unnamed)} names no storage class; it gets the target's default, {target.default_storage_class or 'of which it has none'}"
        )
    stay = survey.left_outside()
    if stay:
        kinds = ", ".join(f"{count} {kind}" for kind, count in stay.items())
        found.append(f"custom resources without a namespace stay, as nothing in the namespaces is of their groups: {kinds}")
    memory = sum(demand.get("requests.memory", 0) for demand in survey.demands.values())
    if target.memory and memory > target.memory:
        found.append(
            f"the pods ask for {show_size(memory)} of memory, and the nodes of {target.name} have {show_size(target.memory)}"
        )
    return found


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(sorted(names)[:_NAMED]) + (f" and {more} more" if more > 0 else "")
