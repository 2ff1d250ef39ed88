# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sites and hosts a person wants in the inventory; pure.

A filter is a list of rules. A rule is a mapping whose keys must all match; a key matches when one of its values does;
values are shell patterns (``*``, ``?``, ``[ab]``). A host is kept when a rule of ``include`` matches (or there is none) and
no rule of ``exclude`` does. ``name``, ``state`` and ``managed`` speak of VMs only: they leave declared hosts alone.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InputError
from .fields import Fields
from .model import VM_STATES, Site

KINDS = ("hypervisor", "node", "vm")


@dataclass(frozen=True)
class Rule:
    """Patterns by key; an absent key matches everything. ``labels`` are those of the site."""

    of_site: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_host: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_vm: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    managed: bool | None = None

    @classmethod
    def from_dict(cls, data: Any, where: str = "rule") -> Rule:
        fields = Fields(data, where)
        labels = fields.get("label", {})
        if not isinstance(labels, Mapping):
            raise InputError("is not a mapping", option=fields.path("label"), value=labels, remedy="write label: {key: value}")
        read = cls(
            of_site=_patterns(fields, "site", "provider", "country"),
            labels={key: _texts(value, fields.path(f"label.{key}")) for key, value in labels.items()},
            of_host=_patterns(fields, "kind", "hypervisor"),
            of_vm=_patterns(fields, "name", "state"),
            managed=fields.boolean("managed", False) if fields.get("managed") is not None else None,
        )
        fields.finish()
        _check_choices(read.of_host.get("kind", ()), KINDS, fields.path("kind"))
        _check_choices(read.of_vm.get("state", ()), VM_STATES, fields.path("state"))
        if not any((read.of_site, read.labels, read.of_host, read.of_vm)) and read.managed is None:
            raise InputError("is an empty rule", option=where, remedy="give at least one key, or leave the rule out")
        return read

    @property
    def speaks_of_vms(self) -> bool:
        return bool(self.of_vm) or self.managed is not None

    @property
    def speaks_of_hosts(self) -> bool:
        return bool(self.of_host) or self.speaks_of_vms

    def matches_site(self, site: Site) -> bool:
        facts = {"site": site.name, "provider": site.provider, "country": site.country}
        return _all_match(self.of_site, facts) and _all_match(self.labels, site.labels)

    def matches_host(self, kind: str, hypervisor: str) -> bool:
        return _all_match(self.of_host, {"kind": kind, "hypervisor": hypervisor})

    def matches_vm(self, vm: Mapping[str, Any]) -> bool:
        return _all_match(self.of_vm, vm) and (self.managed is None or self.managed == vm["managed"])


@dataclass(frozen=True)
class Selection:
    """``include`` and ``exclude`` rules; without any, everything is wanted."""

    include: tuple[Rule, ...] = ()
    exclude: tuple[Rule, ...] = ()

    @classmethod
    def from_dict(cls, data: Any, where: str = "filters") -> Selection:
        fields = Fields({} if data is None else data, where)
        read = cls(include=fields.each("include", Rule.from_dict), exclude=fields.each("exclude", Rule.from_dict))
        fields.finish()
        return read

    @property
    def wants_all(self) -> bool:
        return not self.include and not self.exclude

    def wants_site(self, site: Site) -> bool:
        """False when nothing of the site can be wanted, so that it need not be asked."""
        if any(rule.matches_site(site) for rule in self.exclude if not rule.speaks_of_hosts):
            return False
        return not self.include or any(rule.matches_site(site) for rule in self.include)

    def wants_vms(self, site: Site, hypervisor: str) -> bool:
        """False when no VM of the hypervisor can be wanted, so that it need not be asked."""
        here = [rule for rule in self.exclude if not rule.speaks_of_vms]
        if any(rule.matches_site(site) and rule.matches_host("vm", hypervisor) for rule in here):
            return False
        return not self.include or any(rule.matches_site(site) and rule.matches_host("vm", hypervisor) for rule in self.include)

    def wants_declared(self, site: Site, kind: str, hypervisor: str = "") -> bool:
        """Whether a declared hypervisor or node is wanted; rules about VMs neither exclude nor keep it out."""

        def matches(rule: Rule) -> bool:
            return rule.matches_site(site) and rule.matches_host(kind, hypervisor)

        if any(matches(rule) for rule in self.exclude if not rule.speaks_of_vms):
            return False
        return not self.include or any(matches(rule) for rule in self.include)

    def wants_vm(self, site: Site, hypervisor: str, vm: Mapping[str, Any]) -> bool:
        """Whether one VM is wanted, as ``bulk`` reads it."""

        def matches(rule: Rule) -> bool:
            return rule.matches_site(site) and rule.matches_host("vm", hypervisor) and rule.matches_vm(vm)

        return not any(map(matches, self.exclude)) and (not self.include or any(map(matches, self.include)))


def _patterns(fields: Fields, *keys: str) -> dict[str, tuple[str, ...]]:
    given = {key: fields.get(key) for key in keys}
    return {key: _texts(value, fields.path(key)) for key, value in given.items() if value is not None}


def _texts(value: Any, option: str) -> tuple[str, ...]:
    items = value if isinstance(value, (list, tuple)) else [value]
    if not items or not all(isinstance(item, str) for item in items):
        raise InputError("is not a string or a list of strings", option=option, value=value, remedy="put strings in quotes")
    return tuple(items)


def _check_choices(values: tuple[str, ...], choices: tuple[str, ...], option: str) -> None:
    for value in values:
        if not any(fnmatch.fnmatchcase(choice, value) for choice in choices):
            raise InputError("matches none of the choices", option=option, value=value, remedy=f"use one of {', '.join(choices)}")


def _all_match(patterns: Mapping[str, tuple[str, ...]], facts: Mapping[str, Any]) -> bool:
    for key, wanted in patterns.items():
        fact = facts.get(key)
        if fact is None or not any(fnmatch.fnmatchcase(fact, pattern) for pattern in wanted):
            return False
    return True
