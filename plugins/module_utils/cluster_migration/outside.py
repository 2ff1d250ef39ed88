# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What namespaces need outside of them: definitions of their custom resources, roles that they are bound to, classes. Pure.

Objects are given in any order, and only names are kept of them; what is needed is worked out when all were seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backends.cluster import Object
from .objects import group_of, labels_of, listed, owners_of, part, sort_of, spec_of
from .scope import is_built_in, is_machinery, local_subjects
from .store import MIGRATION

Sort = tuple[str, str]
# Of these groups, what has no namespace is how a cluster's network or storage is set up.
_MACHINERY = ("cilium.io", "crd.projectcalico.org", "gateway.networking.k8s.io", "longhorn.io", "metallb.io", "helm.cattle.io")
_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Definition:
    """A CustomResourceDefinition. ``served``: its versions; ``answered_from``: the namespace of its conversion webhook."""

    name: str
    group: str
    kind: str
    plural: str
    namespaced: bool
    served: tuple[str, ...]
    answered_from: str = ""
    ours: bool = False

    @classmethod
    def from_object(cls, item: Object) -> Definition:
        spec = spec_of(item)
        names = part(spec, "names")
        return cls(
            name=str(item["metadata"]["name"]),
            group=str(spec.get("group", "")),
            kind=str(names.get("kind", "")),
            plural=str(names.get("plural", "")),
            namespaced=spec.get("scope") == "Namespaced",
            served=tuple(sorted(str(one["name"]) for one in listed(spec, "versions") if one.get("served"))),
            answered_from=str(part(spec, "conversion", "webhook", "clientConfig", "service").get("namespace", "")),
            ours=MIGRATION in part(item, "metadata", "annotations"),
        )

    @property
    def sort(self) -> Sort:
        return self.group, self.kind


@dataclass(frozen=True)
class _Role:
    """``rules``: ``(group, plural)`` of what it is about, as far as groups are named; ``gathers``: labels of roles that it gathers."""

    rules: frozenset[Sort]
    every: bool
    labels: Mapping[str, str]
    gathers: tuple[Mapping[str, str], ...]

    @property
    def groups(self) -> set[str]:
        return {group for group, _plural in self.rules}


@dataclass(frozen=True)
class Needed:
    """Names of what goes along; ``kinds`` and ``owners`` of custom resources without a namespace. See ``scope.Context``."""

    definitions: frozenset[str]
    roles: frozenset[str]
    kinds: frozenset[Sort]
    owners: frozenset[tuple[str, str, str]]


@dataclass
class Outside:
    """What was seen; ``sorts``: how many objects of each ``(group, kind)`` the namespaces have that go along."""

    namespaces: Collection[str]
    definitions: dict[str, Definition] = field(default_factory=dict)
    sorts: Counter[Sort] = field(default_factory=Counter)
    bound: set[str] = field(default_factory=set)
    built_in: set[str] = field(default_factory=set)
    _roles: dict[str, _Role] = field(default_factory=dict)
    _rules: set[Sort] = field(default_factory=set)
    _owners: set[tuple[str, str, str]] = field(default_factory=set)
    _owning: set[Sort] = field(default_factory=set)

    def see(self, item: Object, *, goes: bool) -> None:
        """One object of the source; ``goes``: it is in one of the namespaces, and goes along."""
        sort = sort_of(item)
        if goes:
            self.sorts[sort] += 1
            for owner in owners_of(item):
                self._owning.add((group_of(owner), str(owner.get("kind"))))
                self._owners.add((group_of(owner), str(owner.get("kind")), str(owner.get("name"))))
        if sort == ("apiextensions.k8s.io", "CustomResourceDefinition"):
            definition = Definition.from_object(item)
            self.definitions[definition.name] = definition
        elif sort == (_RBAC, "ClusterRole"):
            self._see_role(item)
        elif sort == (_RBAC, "Role") and goes:
            self._rules |= _role_of(item).rules
        elif sort[0] == _RBAC and self._binds(item, goes):
            self.bound.add(str(part(item, "roleRef").get("name")))

    def _see_role(self, item: Object) -> None:
        name = str(item["metadata"]["name"])
        if is_built_in(item):
            self.built_in.add(name)
        else:
            self._roles[name] = _role_of(item)

    def _binds(self, binding: Object, goes: bool) -> bool:
        """Whether it goes along, and binds somebody to a ClusterRole."""
        if part(binding, "roleRef").get("kind") != "ClusterRole":
            return False
        return goes or (not is_built_in(binding) and bool(local_subjects(binding, self.namespaces)))

    def needed(self) -> Needed:
        """What goes along, when all was seen."""
        roles = self._gathered(self.bound & set(self._roles))
        rules = self._rules.union(*(self._roles[name].rules for name in roles))
        definitions = {name for name, one in self.definitions.items() if self._is_needed(one, rules)}
        groups = {self.definitions[name].group for name in definitions}
        # Kinds without a namespace belong to those of their group that the namespaces have.
        used = {self.definitions[name].group for name in definitions if self.definitions[name].namespaced}
        definitions |= {name for name, one in self.definitions.items() if not one.namespaced and one.group in used}
        about = {name for name, role in self._roles.items() if role.groups and role.groups <= groups and not role.every}
        roles = self._gathering(self._gathered(roles | about))
        wide = (self.definitions[name] for name in definitions)
        kinds = {one.sort for one in wide if not one.namespaced and not one.group.endswith(_MACHINERY)}
        return Needed(frozenset(definitions), frozenset(roles), frozenset(kinds), frozenset(self._owners))

    def _is_needed(self, one: Definition, rules: set[Sort]) -> bool:
        if is_machinery(one.group):
            return False
        named = {(one.group, one.plural), (one.group, "*")} & rules
        return bool(named or one.sort in self._owning or self.sorts[one.sort] or one.answered_from in self.namespaces)

    def worked_on(self) -> set[str]:
        """Groups that somebody of the namespaces may do something about: their operators are likely there."""
        roles = self._gathered(self.bound & set(self._roles))
        return {group for group, _plural in self._rules.union(*(self._roles[name].rules for name in roles))}

    def _gathered(self, names: set[str]) -> set[str]:
        """With the roles that these gather, and those that they gather."""
        found = set(names)
        while True:
            more = {
                other
                for name in found
                for labels in self._roles[name].gathers
                for other, role in self._roles.items()
                if labels.items() <= role.labels.items()
            }
            if more <= found:
                return found
            found |= more

    def _gathering(self, names: set[str]) -> set[str]:
        """With the user's own roles that gather these."""
        found = set(names)
        while True:
            more = {
                name
                for name, role in self._roles.items()
                if any(labels.items() <= self._roles[other].labels.items() for labels in role.gathers for other in found)
            }
            if more <= found:
                return found
            found |= more


def _role_of(item: Object) -> _Role:
    rules, every = set(), False
    for rule in listed(item, "rules"):
        for group in rule.get("apiGroups") or ():
            every = every or group == "*"
            rules |= {(str(group), str(plural).partition("/")[0]) for plural in rule.get("resources") or () if group != "*"}
        every = every or bool(rule.get("nonResourceURLs"))
    selectors: list[dict[str, Any]] = listed(item, "aggregationRule", "clusterRoleSelectors")
    gathers = tuple(dict(part(selector, "matchLabels")) for selector in selectors if part(selector, "matchLabels"))
    return _Role(frozenset(rules), every, dict(labels_of(item)), gathers)
