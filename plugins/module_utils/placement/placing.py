# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places for VMs: the question as plain data, and its answer. Pure: the day is given, and nothing is asked of anybody.

The answer is the same in whatever order sites, hypervisors, VMs and latencies stand in the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from ..errors import InputError
from ..fields import unique
from ..model import Site, Vm
from .answer import Change, Exclusion, Judge, Ranked, sentence_of_failure
from .hard import Breach
from .needs import Compiler, Need
from .occupancy import NOWHERE, Occupancy
from .places import Place, Present, offered, read_places, read_present
from .reach import Reaches, check_trips
from .search import Search
from .spare import Loss, losses

# Parts of every hypervisor that are kept free until what is lost with a site finds room.
_HELD_BACK = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Question:
    """What is to be placed, and what is known. ``present`` are the VMs that are there, with their policies.

    ``spare``: all of them together must survive the loss of any one site. ``at``: hypervisors that were chosen for VMs already, whose
    rules are only checked; ``override``: they are broken there with leave. ``leave``: VMs that must not stay where they are.
    ``unreadable``: what is wrong with specs that cannot be read, by the VM's name, for a placement that may be partial.
    """

    sites: tuple[Site, ...]
    places: tuple[Place, ...]
    vms: tuple[Vm, ...]
    present: tuple[Present, ...]
    reaches: Reaches
    today: date
    spare: bool = False
    at: dict[str, str] = field(default_factory=dict)
    override: bool = False
    leave: frozenset[str] = frozenset()
    unreadable: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        sites: Sequence[Any],
        facts: Mapping[str, Any],
        vms: Sequence[Any],
        today: date,
        *,
        present: Mapping[str, Any] | None = None,
        latencies: Sequence[Any] = (),
        spare: bool = False,
        at: Mapping[str, Any] | None = None,
        override: bool = False,
        leave: Sequence[str] = (),
        among: Sequence[str] | None = None,
        partial: bool = False,
    ) -> Question:
        """
        :param sites: entries of the federation file
        :param facts: what ``site_info`` returned, by hypervisor; one without is not chosen
        :param vms: portable specs
        :param present: what ``vm_info`` returned, by hypervisor
        :param among: the hypervisors that VMs may be placed at; None for all
        :param partial: a VM whose spec cannot be read keeps none of the others from a place
        :param latencies: ``{source, target, min_ms, median_ms, samples, measured_at}`` of sites, hypervisors and points
        :raises InputError: names the option and the value that cannot be meant
        """
        read_sites = tuple(
            sorted((Site.from_dict(site, f"sites[{index}]") for index, site in enumerate(sites)), key=lambda site: site.name)
        )
        unique([site.name for site in read_sites], "sites[].name")
        unique([hypervisor.name for site in read_sites for hypervisor in site.hypervisors], "sites[].hypervisors[].name")
        places = offered(read_places(read_sites, facts), among)
        read_vms, unreadable = _read_vms(vms, partial)
        unique([vm.name for vm in read_vms], "vms[].name")
        there = read_present(places, present or {})
        question = cls(
            read_sites,
            places,
            tuple(read_vms),
            there,
            Reaches(read_sites, latencies),
            today,
            spare,
            dict(at or {}),
            override,
            frozenset(leave),
            unreadable,
        )
        question.check_chosen()
        return question.checked(partial)

    def checked(self, partial: bool) -> Question:
        """The same without the VMs whose policies cannot be kept by anybody; InputError for the first of these unless ``partial``."""
        unreadable = dict(self.unreadable)
        for index, vm in enumerate(self.vms):
            try:
                self.check(vm, f"placement of VM {vm.name}" if partial else f"vms[{index}].placement")
            except InputError as error:
                if not partial:
                    raise
                unreadable[vm.name] = error.sentence()
        if unreadable == self.unreadable:
            return self
        return replace(self, vms=tuple(vm for vm in self.vms if vm.name not in unreadable), unreadable=unreadable)

    def check_chosen(self) -> None:
        """Refuse a VM that is not to be placed, and a hypervisor that no site has."""
        asked = {vm.name for vm in self.vms}.union(self.unreadable)
        for name in sorted(self.leave - asked):
            remedy = f"use one of: {', '.join(sorted(asked)[:20]) or 'none'}"
            raise InputError("is not a VM to be placed", option="leave", value=name, remedy=remedy)
        known = {"VM to be placed": [vm.name for vm in self.vms], "hypervisor of any site": [one.hypervisor for one in self.places]}
        for name, hypervisor in self.at.items():
            for (what, names), value in zip(known.items(), (name, hypervisor)):
                if value not in names:
                    remedy = f"use one of: {', '.join(sorted(names)[:20]) or 'none'}"
                    raise InputError(f"is not a {what}", option=f"at.{name}", value=value, remedy=remedy)

    def check(self, vm: Vm, where: str) -> None:
        """Refuse what no site attests, and round trips to what there is not."""
        attested = sorted(set().union(*(site.certifications(self.today) for site in self.sites)) if self.sites else ())
        for certification in vm.rules.certifications:
            if certification not in attested:
                remedy = (
                    f"use one of: {', '.join(attested)}"
                    if attested
                    else "no site attests any; add attestations to the federation file"
                )
                raise InputError(
                    "is attested by no site today", option=f"{where}.certifications", value=certification, remedy=remedy
                )
        names = {one.name for one in self.vms} | {one.vm.name for one in self.present}
        check_trips(vm.rules.round_trips, [site.name for site in self.sites], names, f"{where}.round_trips")


def _read_vms(specs: Sequence[Any], partial: bool) -> tuple[list[Vm], dict[str, str]]:
    read: list[Vm] = []
    unreadable: dict[str, str] = {}
    for index, spec in enumerate(specs):
        try:
            read.append(Vm.from_dict(spec, f"vms[{index}]"))
        except InputError as error:
            if not partial or not isinstance(spec, Mapping) or not spec.get("name"):
                raise
            unreadable[str(spec["name"])] = error.sentence()
    return read, unreadable


@dataclass
class Placement:
    """The answer. ``missing``: the VMs without a place; ``losses``: the sites that must not be lost; both empty when all is well.

    ``broken``: the rules that hypervisors which were chosen already break, by VM.
    """

    needs: list[Need]
    world: Occupancy
    judge: Judge
    missing: list[Need] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    broken: dict[str, list[Breach]] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether every VM has a place, with the spare that was asked for."""
        return not self.missing and not self.losses

    @property
    def asked(self) -> list[Need]:
        """The VMs that were to be placed, by name."""
        return [need for need in self.needs if not need.fixed]

    def assignment(self) -> dict[str, str]:
        """The hypervisor of each VM that has one."""
        return {
            need.name: self.world.places[self.world.place_of[need.number]].hypervisor
            for need in self.asked
            if self.world.place_of[need.number] != NOWHERE
        }

    def score(self) -> float:
        """The mean of all scores, from 0 to 1."""
        placed = [need for need in self.asked if self.world.place_of[need.number] != NOWHERE]
        return sum(self.judge.score(need) for need in placed) / len(placed) if placed else 0.0

    def rankings(self, most: int = 0) -> dict[str, list[Ranked]]:
        return {need.name: self.judge.ranking(need, most) for need in self.asked}

    def exclusions(self, needs: Iterable[Need] | None = None) -> dict[str, list[Exclusion]]:
        return {need.name: self.judge.exclusions(need) for need in (self.asked if needs is None else needs)}

    def changes(self) -> list[Change]:
        """For each VM without a place the least that would make it fit."""
        found = (self.judge.least_change(need) for need in self.missing)
        return [change for change in found if change is not None]

    def remedy(self) -> str:
        """What to do when it failed, as an imperative."""
        if any(need.name in self.broken for need in self.missing):
            return "choose another hypervisor, or say with an override reason why the rules are broken"
        changes = self.changes()
        if changes:
            return f"the least change: {', and '.join(changes[0].changes)}"
        return "add room at another site, or place fewer VMs"

    def sentence(self) -> str:
        """Why it failed, in one sentence; empty where it did not."""
        refused = [breach for need in self.missing for breach in self.broken.get(need.name, ())]
        if refused:
            return "; ".join(breach.sentence for breach in refused)
        if self.missing:
            return sentence_of_failure(self.missing, self.exclusions(self.missing[:1]))
        return "; ".join(loss.sentence() for loss in self.losses)


def place(question: Question) -> Placement:
    """A place for every VM; a VM that is there already stays where its rules allow it."""
    asked = _Asked(question)
    world, todo = asked.started()
    refused = [need for need in todo if need.name in question.at]
    search = Search(world, [need for need in todo if need not in refused])
    missing = [*refused, *search.run()]
    if missing:
        return asked.answer(world, missing)
    search.improve()
    return asked.with_spare(world) if question.spare else asked.answer(world)


class _Asked:
    """A question, compiled."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._compiler = Compiler(question.places, question.reaches, question.today)
        self._needs = self._compiler.compile(question.vms, question.present, question.leave)
        self._broken: dict[str, list[Breach]] = {}

    def answer(self, world: Occupancy, missing: Sequence[Need] = (), lost: Sequence[Loss] = ()) -> Placement:
        judge = Judge(world, self._compiler.wishes, self._question.today)
        return Placement(self._needs, world, judge, list(missing), list(lost), self._broken)

    def started(self, held_back: float = 0.0) -> tuple[Occupancy, list[Need]]:
        """Everything that is there at its place, and the VMs that are to be placed yet."""
        question = self._question
        world = Occupancy(question.places, self._needs, question.reaches, self._compiler.wishes, held_back)
        asked = [need for need in self._needs if not need.fixed]
        for need in self._needs:
            if need.fixed:
                world.put(need, need.home, counted=True)
            elif need.home != NOWHERE and (need.running or question.places[need.home].counts_stopped):
                world.credit(need)
        for need in asked:
            if need.name in question.at:
                self._hold(world, need)
            elif need.home in need.allowed and world.fits(need, need.home):
                world.put(need, need.home)
        return world, [need for need in asked if world.place_of[need.number] == NOWHERE]

    def _hold(self, world: Occupancy, need: Need) -> None:
        """At the hypervisor that was chosen, if that breaks nothing or may break it."""
        at = next(n for n, place in enumerate(world.places) if place.hypervisor == self._question.at[need.name])
        breaches = Judge(world, self._compiler.wishes, self._question.today).breaches(need, at)
        if breaches:
            self._broken[need.name] = breaches
        if not breaches or self._question.override:
            world.put(need, at)

    def with_spare(self, world: Occupancy) -> Placement:
        """The same, or one with more kept free everywhere; at last, whatever the search through comes to."""
        movable = _movable(self._question, self._needs)
        lost = losses(world, movable)
        if not lost:
            return self.answer(world)
        for held_back in _HELD_BACK:
            tighter, todo = self.started(held_back)
            search = Search(tighter, todo)
            if search.run():
                break
            search.improve()
            found = _moved(tighter, self.started()[0], todo)
            if not losses(found, movable):
                return self.answer(found)
        last, todo = self.started()
        if Search(last, todo, lambda: not losses(last, movable)).run():
            return self.answer(world, lost=lost)
        return self.answer(last)


def _moved(source: Occupancy, target: Occupancy, todo: Sequence[Need]) -> Occupancy:
    for need in todo:
        target.put(need, source.place_of[need.number])
    return target


def _movable(question: Question, needs: Sequence[Need]) -> set[int]:
    """What must survive the loss of a site: what is being placed, and what runs and is the federation's."""
    able = {one.vm.name for one in question.present if one.running and one.movable}
    return {need.number for need in needs if not need.fixed or need.name in able}
