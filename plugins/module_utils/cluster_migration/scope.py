# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes along, and what stays behind and why. Pure.

What belongs to the old cluster stays: nodes, leases, tokens, what a controller makes anew from something that goes along. Of what
has no namespace goes only what the namespaces need; the survey finds out what that is, and puts it into the context.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ..backends.cluster import Object
from ..errors import InputError
from .objects import annotations_of, is_token_name, labels_of, listed, name_of, part, sort_of, spec_of
from .request import Request, is_system
from .resting import MIRROR, controller_of, is_finished, is_over, served_from
from .store import FENCE, MIGRATION

TOKEN = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"
_NAMED = 20
_OWN = "it is the cluster's own"
_ANEW = "its controller makes it anew"
_MACHINE = "the cluster makes it by itself"
# Whole groups that tell of one cluster's machines, or are its settings. Snapshots are handles of the old storage.
_OWN_GROUPS = frozenset(
    """events.k8s.io coordination.k8s.io metrics.k8s.io custom.metrics.k8s.io external.metrics.k8s.io storage.k8s.io node.k8s.io
    flowcontrol.apiserver.k8s.io certificates.k8s.io internal.apiserver.k8s.io authentication.k8s.io authorization.k8s.io
    storagemigration.k8s.io snapshot.storage.k8s.io groupsnapshot.storage.k8s.io k3s.cattle.io""".split()
)
_OWN_KINDS = frozenset(
    {
        ("", "Event"),
        ("", "Binding"),
        ("", "ComponentStatus"),
        ("", "Node"),
        ("", "PersistentVolume"),
        ("networking.k8s.io", "IngressClass"),
        ("networking.k8s.io", "IPAddress"),
        ("networking.k8s.io", "ServiceCIDR"),
        ("resource.k8s.io", "ResourceSlice"),
        ("resource.k8s.io", "DeviceClass"),
    }
)
# What every controller of such a kind makes anew, whoever it is.
_MADE = frozenset(
    {
        ("", "Pod"),
        ("apps", "ReplicaSet"),
        ("apps", "ControllerRevision"),
        ("discovery.k8s.io", "EndpointSlice"),
        ("resource.k8s.io", "ResourceClaim"),
    }
)
_SLICES = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_ADDONS = ("k3s.cattle.io/", "helm.cattle.io/")
_RBAC = "rbac.authorization.k8s.io"
BUILT_IN_ROLES = ("cluster-admin", "admin", "edit", "view")


@dataclass(frozen=True)
class Context:
    """What must be known of all objects to judge one; of the survey.

    ``excluded`` are kinds. ``selecting`` are Services (``shop/web``) that have a selector; ``mounted`` are Secrets that pods mount.
    ``definitions``: names of the CRDs that go along; ``roles``, ``priorities``: names of ClusterRoles and PriorityClasses that do.
    ``kinds``: ``(group, kind)`` of custom resources without a namespace that go along; ``owners``: single ones, with their names.
    """

    namespaces: frozenset[str]
    excluded: frozenset[str] = frozenset()
    selecting: frozenset[str] = frozenset()
    mounted: frozenset[str] = frozenset()
    definitions: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    priorities: frozenset[str] = frozenset()
    kinds: frozenset[tuple[str, str]] = frozenset()
    owners: frozenset[tuple[str, str, str]] = frozenset()


def chosen(request: Request, namespaces: Iterable[Object], *, default_is_used: bool = True) -> list[str]:
    """The names of the namespaces that move, sorted.

    :param namespaces: all Namespace objects of the source
    :param default_is_used: whether the namespace ``default`` has something of the user's (``is_used``); asked for by name it moves anyway
    :raises InputError: for one that does not exist, or when none is left
    """
    known = {str(item["metadata"]["name"]) for item in namespaces}
    for option, names in (("namespaces", request.namespaces), ("exclude_namespaces", request.exclude_namespaces)):
        for name in names:
            if name not in known:
                users = sorted(one for one in known if not is_system(one))
                remedy = f"use some of: {', '.join(users[:_NAMED]) or 'none'}"
                raise InputError("does not exist at the source", option=option, value=name, remedy=remedy)
    wanted = request.namespaces or [name for name in known if not is_system(name) and (name != "default" or default_is_used)]
    found = sorted(set(wanted) - set(request.exclude_namespaces))
    if not found:
        remedy = "leave fewer of them out, or name namespaces of the source"
        raise InputError(
            "leaves no namespace to migrate", option="exclude_namespaces", value=[*request.exclude_namespaces], remedy=remedy
        )
    return found


def is_used(namespace: str, items: Iterable[Object]) -> bool:
    """Whether one of these objects of the namespace is the user's."""
    context = Context(frozenset({namespace}))
    return any(carried(item, context) is None for item in items)


def carried(item: Object, context: Context) -> str | None:
    """None for what goes along; else why it stays, as the end of a sentence."""
    namespace, sort = item["metadata"].get("namespace", ""), sort_of(item)
    if sort == ("", "Namespace"):
        return None if item["metadata"]["name"] in context.namespaces else "it was not chosen"
    if namespace and namespace not in context.namespaces:
        return "its namespace stays"
    reason = _of_any_kind(item, sort, context)
    if reason is None:
        reason = _within(item, sort, context) if namespace else _without(item, sort, context)
    return reason


def _of_any_kind(item: Object, sort: tuple[str, str], context: Context) -> str | None:
    if sort in _OWN_KINDS or sort[0] in _OWN_GROUPS:
        return _OWN
    if {sort[1], f"{sort[1]}.{sort[0]}"} & context.excluded:
        return "its kind is excluded"
    if item["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    if MIGRATION in labels_of(item) or (sort[1], item["metadata"]["name"]) == ("ResourceQuota", FENCE):
        return "it is the migration's own"
    return "k3s makes it by itself" if _is_addon(item) else None


def is_machinery(group: str) -> bool:
    """Whether a group's objects always stay."""
    return group in _OWN_GROUPS


def _is_addon(item: Object) -> bool:
    """What k3s applied for an addon or a HelmChart of its own controllers, and the pods of its load balancer."""
    owner = str(annotations_of(item).get("objectset.rio.cattle.io/owner-gvk", ""))
    return owner.startswith(_ADDONS) or "svccontroller.k3s.cattle.io/svcname" in labels_of(item)


# What has a namespace


def _within(item: Object, sort: tuple[str, str], context: Context) -> str | None:
    controller = controller_of(item)
    if controller and sort in _MADE:
        return _ANEW
    judge = _JUDGES.get(sort)
    return judge(item, context) if judge else None


def _pod(item: Object, context: Context) -> str | None:
    if MIRROR in annotations_of(item):
        return _OWN
    return "it has ended" if is_over(item) else None


def _job(item: Object, context: Context) -> str | None:
    """A run of a CronJob goes along only where it was stopped in the middle: a next one is made anyway."""
    if controller_of(item).get("kind") != "CronJob":
        return None
    return None if spec_of(item).get("suspend") and not is_finished(item) else _ANEW


def _claim(item: Object, context: Context) -> str | None:
    return "it lives and dies with a pod" if controller_of(item).get("kind") == "Pod" else None


def _service(item: Object, context: Context) -> str | None:
    return _MACHINE if name_of(item) == "default/kubernetes" else None


def _endpoints(item: Object, context: Context) -> str | None:
    annotations, name = annotations_of(item), name_of(item)
    if name == "default/kubernetes" or name in context.selecting:
        return _ANEW
    if "control-plane.alpha.kubernetes.io/leader" in annotations:
        return _MACHINE
    return None


def _slice(item: Object, context: Context) -> str | None:
    if labels_of(item).get("endpointslice.kubernetes.io/managed-by") in _SLICES:
        return _ANEW
    return _MACHINE if name_of(item) == "default/kubernetes" else None


def _config_map(item: Object, context: Context) -> str | None:
    return _MACHINE if item["metadata"]["name"] in ("kube-root-ca.crt", "openshift-service-ca.crt") else None


def _secret(item: Object, context: Context) -> str | None:
    """A token that the cluster made for itself stays. One that a person made goes along without its data: the target fills it."""
    if item.get("type") != TOKEN:
        return None
    made = is_token_name(str(item["metadata"]["name"]), str(annotations_of(item).get(ACCOUNT, "")))
    return _MACHINE if made and name_of(item) not in context.mounted else None


def _account(item: Object, context: Context) -> str | None:
    """Every namespace has a ServiceAccount default; it goes along where a person changed it."""
    if item["metadata"]["name"] != "default":
        return None
    own = labels_of(item) or item.get("imagePullSecrets") or item.get("automountServiceAccountToken") is False
    return None if own or _has_own_annotations(item) else _MACHINE


def _has_own_annotations(item: Object) -> bool:
    return any(not key.startswith(("kubectl.kubernetes.io/", "federation.virt8ra.eu/")) for key in annotations_of(item))


# What has none


def _without(item: Object, sort: tuple[str, str], context: Context) -> str | None:
    name = str(item["metadata"]["name"])
    named = {
        ("apiextensions.k8s.io", "CustomResourceDefinition"): context.definitions,
        (_RBAC, "ClusterRole"): context.roles,
        ("scheduling.k8s.io", "PriorityClass"): context.priorities,
    }.get(sort)
    if named is not None:
        return None if name in named else "nothing that goes along needs it"
    if sort == (_RBAC, "ClusterRoleBinding"):
        return None if local_subjects(item, context.namespaces) and not is_built_in(item) else "it binds nobody who goes along"
    if sort[1] in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        return None if served_from(item, context.namespaces) else "nothing that goes along answers it"
    if sort == ("apiregistration.k8s.io", "APIService"):
        served = part(item, "spec", "service").get("namespace") in context.namespaces
        return None if served else "nothing that goes along answers it"
    if sort in context.kinds or (*sort, name) in context.owners:
        return None
    return _OWN


def local_subjects(binding: Object, namespaces: Collection[str]) -> list[dict[str, Any]]:
    """The subjects of a ClusterRoleBinding that are of these namespaces: their ServiceAccounts, one by one or as a group."""
    groups = {f"system:serviceaccounts:{namespace}" for namespace in namespaces}
    return [
        subject
        for subject in listed(binding, "subjects")
        if (subject.get("kind") == "ServiceAccount" and subject.get("namespace") in namespaces)
        or (subject.get("kind") == "Group" and subject.get("name") in groups)
    ]


def is_built_in(role: Object) -> bool:
    """Whether every cluster has this role or binding."""
    name = str(role["metadata"]["name"])
    marked = labels_of(role).get("kubernetes.io/bootstrapping") == "rbac-defaults"
    return marked or name.startswith("system:") or name in BUILT_IN_ROLES or _is_addon(role)


_JUDGES = {
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("", "Endpoints"): _endpoints,
    ("", "ConfigMap"): _config_map,
    ("", "Secret"): _secret,
    ("", "ServiceAccount"): _account,
    ("batch", "Job"): _job,
    ("discovery.k8s.io", "EndpointSlice"): _slice,
}
