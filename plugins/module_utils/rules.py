# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The placement policy of a VM as plain data: where it may run, and where it had better run.

It is part of the portable spec, so it travels with the VM and holds wherever it goes. ``Vm.allowed_countries`` is not
repeated here. ``from_dict`` refuses rules that contradict each other. What the rules mean is decided in ``placement/``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .countries import check_country
from .errors import FederationError, InputError
from .fields import Fields, unique
from .portable import Portable

# From the narrowest place to the widest.
LEVELS = ("hypervisor", "site", "provider")
WEIGHTS = ("round_trip", "spread", "pack", "price", "energy", "distance", "provider_diversity")
_MAX_MS = 60000.0
_MAX_WEIGHT = 1000.0


@dataclass(frozen=True)
class Device(Portable):
    """``count`` devices of a kind such as ``gpu``; ``vendor`` and ``product`` are part of its name, or PCI IDs; empty for any."""

    kind: str
    vendor: str = ""
    product: str = ""
    count: int = 1

    @classmethod
    def from_dict(cls, data: Any, where: str = "device") -> Device:
        fields = Fields(data, where)
        read = cls(
            kind=fields.text("kind", required=True),
            vendor=fields.text("vendor"),
            product=fields.text("product"),
            count=fields.integer("count", 1, 1, 64),
        )
        fields.finish()
        return read


@dataclass(frozen=True)
class GroupRule(Portable):
    """A group of VMs, known by its label, and the level at which they are apart or together."""

    group: str
    level: str = "hypervisor"

    @classmethod
    def from_dict(cls, data: Any, where: str = "group") -> GroupRule:
        fields = Fields(data, where)
        read = cls(group=fields.name("group"), level=fields.choice("level", LEVELS, "hypervisor"))
        fields.finish()
        return read


@dataclass(frozen=True)
class RoundTrip(Portable):
    """How far it may be to one of: a site, another VM, a point of a user's (with coordinates, or measured by that name).

    ``max_ms``: milliseconds there and back; None where only the weights speak of it.
    """

    site: str = ""
    vm: str = ""
    point: str = ""
    latitude: float | None = None
    longitude: float | None = None
    max_ms: float | None = None

    @property
    def to(self) -> str:
        """The name of where it goes."""
        return self.site or self.vm or self.point

    @classmethod
    def from_dict(cls, data: Any, where: str = "round_trip") -> RoundTrip:
        fields = Fields(data, where)
        read = cls(
            site=fields.text("site"),
            vm=fields.text("vm"),
            point=fields.text("point"),
            latitude=fields.number("latitude", -90, 90),
            longitude=fields.number("longitude", -180, 180),
            max_ms=fields.number("max_ms", 0.001, _MAX_MS),
        )
        fields.finish()
        if len([name for name in (read.site, read.vm, read.point) if name]) != 1:
            raise InputError("goes to no place, or to several", option=where, remedy="give exactly one of site, vm and point")
        if (read.latitude is None) != (read.longitude is None):
            raise InputError("has half of its coordinates", option=where, remedy="give both latitude and longitude, or neither")
        if read.latitude is not None and not read.point:
            raise InputError(f"has coordinates, and {read.to} has its own", option=where, remedy="give coordinates to points only")
        return read


@dataclass(frozen=True)
class Override(Portable):
    """Why a VM is at a hypervisor that breaks its rules."""

    hypervisor: str
    reason: str

    @classmethod
    def from_dict(cls, data: Any, where: str = "override") -> Override:
        fields = Fields(data, where)
        read = cls(hypervisor=fields.name("hypervisor"), reason=fields.text("reason", required=True).strip())
        fields.finish()
        if not read.reason:
            raise InputError("is empty", option=f"{where}.reason", remedy="say in a sentence why the rules are broken")
        return read


@dataclass(frozen=True)
class PlacementRules(Portable):
    """Hard rules, and ``weights`` of the soft ones (by WEIGHTS; none: ``spread`` alone).

    ``groups``: labels that the VM carries. Those of ``anti_affinity`` and ``keep_together`` it carries as well; of
    ``affinity`` it does not, it goes to where another VM does. ``unreadable``: why a policy that travelled with the VM
    cannot be read; such a VM may go nowhere.
    """

    forbidden_countries: tuple[str, ...] = ()
    allowed_providers: tuple[str, ...] = ()
    forbidden_providers: tuple[str, ...] = ()
    certifications: tuple[str, ...] = ()
    cpu_features: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    groups: tuple[str, ...] = ()
    anti_affinity: tuple[GroupRule, ...] = ()
    affinity: tuple[GroupRule, ...] = ()
    keep_together: tuple[GroupRule, ...] = ()
    round_trips: tuple[RoundTrip, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    override: Override | None = None
    unreadable: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "placement") -> PlacementRules:
        fields = Fields(data, where)
        override = fields.get("override")
        read = cls(
            forbidden_countries=tuple(
                check_country(code, fields.path("forbidden_countries")) for code in fields.texts("forbidden_countries")
            ),
            allowed_providers=fields.texts("allowed_providers"),
            forbidden_providers=fields.texts("forbidden_providers"),
            certifications=fields.texts("certifications"),
            cpu_features=fields.texts("cpu_features"),
            devices=fields.each("devices", Device.from_dict),
            groups=fields.texts("groups"),
            anti_affinity=fields.each("anti_affinity", GroupRule.from_dict),
            affinity=fields.each("affinity", GroupRule.from_dict),
            keep_together=fields.each("keep_together", GroupRule.from_dict),
            round_trips=fields.each("round_trips", RoundTrip.from_dict),
            weights=_weights(fields.get("weights", {}), fields.path("weights")),
            override=None if override is None else Override.from_dict(override, fields.path("override")),
            unreadable=fields.text("unreadable"),
        )
        fields.finish()
        read._check(fields)
        return read

    @classmethod
    def from_metadata(cls, data: Any) -> PlacementRules | None:
        """As it travelled with the VM; never raises. What cannot be read does not become a VM without rules."""
        if data is None:
            return None
        try:
            return cls.from_dict(data).given()
        except FederationError as error:
            return cls(unreadable=error.sentence())

    def to_dict(self) -> dict[str, Any]:
        """Only the keys that say something."""
        return {key: value for key, value in super().to_dict().items() if value not in (None, "", [], {})}

    def given(self) -> PlacementRules | None:
        """None for rules that say nothing."""
        return self if self != PlacementRules() else None

    @property
    def labels(self) -> tuple[str, ...]:
        """The groups that the VM belongs to, sorted."""
        ruled = (rule.group for rule in (*self.anti_affinity, *self.keep_together))
        return tuple(sorted({*self.groups, *ruled}))

    def _check(self, fields: Fields) -> None:
        _apart(self.allowed_providers, self.forbidden_providers, fields.path("forbidden_providers"), "allowed_providers")
        for key in ("anti_affinity", "affinity", "keep_together"):
            unique([rule.group for rule in getattr(self, key)], fields.path(key))
        apart = {rule.group: rule.level for rule in self.anti_affinity}
        for key in ("affinity", "keep_together"):
            for rule in getattr(self, key):
                _check_levels(rule, apart.get(rule.group), fields.path(key), fields.path("anti_affinity"))
        for index, trip in enumerate(self.round_trips):
            first = next(
                other for other in self.round_trips if (other.site, other.vm, other.point) == (trip.site, trip.vm, trip.point)
            )
            if first is not trip:
                option = f"{fields.path('round_trips')}[{index}]"
                raise InputError("goes where an earlier one goes", option=option, value=trip.to, remedy="keep one of them")
        self._check_weights(fields.path("weights"))

    def _check_weights(self, option: str) -> None:
        if self.weights.get("spread") and self.weights.get("pack"):
            raise InputError("has both spread and pack, which undo each other", option=option, remedy="give weight to one of them")
        for key in ("round_trip", "distance"):
            if self.weights.get(key) and not self.round_trips:
                remedy = "add round_trips to the sites, points or VMs that it shall be near to"
                raise InputError("has nothing to be near to", option=f"{option}.{key}", value=self.weights[key], remedy=remedy)


def _weights(data: Any, where: str) -> dict[str, float]:
    fields = Fields(data, where)
    weights: dict[str, float] = {}
    for key in WEIGHTS:
        value = fields.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
            remedy = "use 0 or more; to be far from something is a rule, not a weight"
            raise InputError("is a negative weight", option=fields.path(key), value=value, remedy=remedy)
        weight = fields.number(key, 0, _MAX_WEIGHT)
        if weight is not None:
            weights[key] = weight
    fields.finish()
    return weights


def _apart(allowed: Iterable[str], forbidden: Iterable[str], option: str, other: str) -> None:
    both = sorted(set(allowed) & set(forbidden))
    if both:
        raise InputError(f"is in {other} too", option=option, value=both[0], remedy="take it out of one of them")


def check_countries(allowed: Iterable[str], rules: PlacementRules | None) -> None:
    """Refuse a country that is both allowed and forbidden."""
    if rules is not None:
        _apart(allowed, rules.forbidden_countries, "placement.forbidden_countries", "allowed_countries")


def _check_levels(rule: GroupRule, apart: str | None, option: str, other: str) -> None:
    """Who shares a place shares all wider ones, so together at a level contradicts apart at that or a wider one."""
    if apart is not None and LEVELS.index(apart) >= LEVELS.index(rule.level):
        what = f"is to be together at level {rule.level}, and {other} keeps it apart at level {apart}"
        raise InputError(what, option=option, value=rule.group, remedy="drop one of them, or keep apart at a narrower level")


def read_rules(data: Any, where: str) -> PlacementRules | None:
    """The policy that a person wrote; None for none, and for one that says nothing."""
    return None if data is None else PlacementRules.from_dict(data, where).given()
