# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places for many VMs at once: built up, the most constrained first; then repaired, searched through, and improved. Pure.

Every loop is bounded by steps, never by a clock, and goes through VMs and places in the order of their names, so that the
same question has the same answer on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..rules import LEVELS
from .needs import Circle, Need
from .occupancy import NOWHERE, Occupancy

# A step is one VM held against one place.
REPAIR_STEPS = 400_000
SEARCH_STEPS = 400_000
MOST_ACCEPTS = 1_000
IMPROVE_STEPS = 600_000
_TRADE_STEPS = 40  # what an exchange takes, in steps
_LEAST_GAIN = 1e-9
_BLOCKED_WISHES = 4  # better places of a VM that are full, for which an exchange is tried


class Search:
    """Finds places for ``todo`` in ``world``, where all other VMs have theirs.

    :param accept: whether a finished placement will do; tried at each one that the search through finds
    """

    def __init__(self, world: Occupancy, todo: Sequence[Need], accept: Callable[[], bool] | None = None) -> None:
        self._world = world
        self._todo = list(todo)
        self._accept = accept or (lambda: True)
        self._mine = {need.number for need in todo}
        self._lonely_before = world.lonely()
        self._size = _sizes(world, todo)
        self._steps = 0
        self._accepts = MOST_ACCEPTS

    def run(self) -> list[Need]:
        """The VMs that have found no place; the others have theirs."""
        if not all(need.allowed for need in self._todo):
            # Nothing that is moved about helps who may go nowhere.
            self._build(self._constrained_first(), tight=False)
            self._lonely()
            return [need for need in self._todo if self._world.place_of[need.number] == NOWHERE]
        best: tuple[int, dict[int, int]] | None = None
        for order, tight in ((self._constrained_first(), False), (self._largest_first(), False), (self._largest_first(), True)):
            missing = self._build(order, tight) or self._lonely()
            if missing and len(missing) <= max(8, len(self._todo) // 10):
                missing = self._repair(missing) or self._lonely()
            if not missing and self._accept():
                return []
            if missing and (best is None or len(missing) < best[0]):
                best = len(missing), self._taken_down()
            self._clear()
        if self._search_through():
            return []
        self._clear()
        for number, at in (best[1] if best else {}).items():
            self._world.put(self._world.needs[number], at)
        return [need for need in self._todo if self._world.place_of[need.number] == NOWHERE]

    def _lonely(self) -> list[Need]:
        """What was placed in the hope of company that did not come has no place."""
        world = self._world
        lonely = [need for need in self._todo if need.number in world.lonely() - self._lonely_before]
        for need in lonely:
            world.take(need)
        return lonely

    def _taken_down(self) -> dict[int, int]:
        return {
            need.number: self._world.place_of[need.number] for need in self._todo if self._world.place_of[need.number] != NOWHERE
        }

    def _clear(self) -> None:
        for need in self._todo:
            if self._world.place_of[need.number] != NOWHERE:
                self._world.take(need)

    # Building up

    def _constrained_first(self) -> list[Need]:
        """Who goes to others after these; who is kept together in a row, as constrained as the most constrained of them."""
        depth = _depths(self._todo)
        clusters = _clusters(self._todo)
        fewest = {number: min(len(self._world.needs[one].allowed) for one in cluster) for number, cluster in clusters.items()}
        largest = {number: max(self._size[one] for one in cluster) for number, cluster in clusters.items()}

        def key(need: Need) -> tuple[float, ...]:
            own = need.number
            return (depth[own], fewest[own], -largest[own], min(clusters[own]), len(need.allowed), -self._size[own], own)

        return sorted(self._todo, key=key)

    def _largest_first(self) -> list[Need]:
        depth = _depths(self._todo)
        return sorted(self._todo, key=lambda need: (depth[need.number], -self._size[need.number], len(need.allowed), need.number))

    def _build(self, order: Sequence[Need], tight: bool) -> list[Need]:
        """:param tight: the fullest place that is left, instead of the best one"""
        missing = []
        for need in order:
            at = self._best(need, tight)
            if at == NOWHERE:
                missing.append(need)
            else:
                self._world.put(need, at)
        return missing

    def _best(self, need: Need, tight: bool = False) -> int:
        world = self._world
        offers = world.offers(need, need.allowed)
        if not offers:
            return NOWHERE
        if tight:
            offers = [(-world.used[at], at) for _cost, at in offers]
        if not need.social:
            first = min(offers)[1]
            if world.fits(need, first):
                return first
        for _cost, at in sorted(offers):
            if world.fits(need, at, hopeful=False) and self._roomy(need, at):
                return at
        if need.social:
            for _cost, at in sorted(offers):
                if world.fits(need, at):
                    return at
        return NOWHERE

    def _roomy(self, need: Need, at: int) -> bool:
        """Whether all that are to be kept together with it could come too."""
        return all(self._has_room(circle, self._world.keys[at][circle[0]]) for circle in need.together)

    def _has_room(self, circle: Circle, key: object) -> bool:
        world = self._world
        waiting = [need for need in self._todo if circle in need.circles and world.place_of[need.number] == NOWHERE]
        here = [at for at, keys in enumerate(world.keys) if keys[circle[0]] == key]
        if any(set(need.allowed).isdisjoint(here) for need in waiting):
            return False
        cpus, memory = sum(max(0.0, world.cpus[at]) for at in here), sum(max(0, world.memory[at]) for at in here)
        return cpus >= sum(need.vm.cpus for need in waiting) and memory >= sum(need.vm.memory for need in waiting)

    # Repair

    def _repair(self, missing: Sequence[Need]) -> list[Need]:
        """For each VM without a place, one that makes way by going elsewhere."""
        self._steps = REPAIR_STEPS
        return [need for need in missing if not self._make_way(need)]

    def _make_way(self, need: Need) -> bool:
        world = self._world
        at = self._best(need)
        if at != NOWHERE:
            world.put(need, at)
            return True
        rivals = [one for one in self._todo if set(one.circles) & set(need.circles) and world.place_of[one.number] != NOWHERE]
        for at in sorted(need.allowed, key=lambda place: (need.cost[place], place)):
            there = [world.needs[number] for number in sorted(world.at[at]) if number in self._mine]
            for other in [*there, *(rival for rival in rivals if rival not in there)]:
                if self._steps <= 0:
                    return False
                self._steps -= 1
                if self._swap_in(need, at, other):
                    return True
        return False

    def _swap_in(self, need: Need, at: int, other: Need) -> bool:
        world = self._world
        was = world.take(other)
        if world.fits(need, at, hopeful=False):
            world.put(need, at)
            self._steps -= len(other.allowed)
            for _cost, place in sorted(world.offers(other, other.allowed)):
                if place != was and world.fits(other, place, hopeful=False):
                    world.put(other, place)
                    if not world.lonely() - self._lonely_before:
                        return True
                    world.take(other)
            world.take(need)
        world.put(other, was)
        return False

    # Searching through

    def _search_through(self) -> bool:
        """Depth first, always the VM with the fewest places left; all there is to try, within its steps."""
        self._steps = SEARCH_STEPS
        return self._descend([need for need in self._todo if self._world.place_of[need.number] == NOWHERE])

    def _descend(self, waiting: list[Need]) -> bool:
        world = self._world
        if not waiting:
            return self._is_answer()
        chosen, choices = self._narrowest(waiting)
        rest = [need for need in waiting if need is not chosen]
        for _cost, at in sorted(world.offers(chosen, choices)):
            world.put(chosen, at)
            if self._descend(rest):
                return True
            world.take(chosen)
        return False

    def _is_answer(self) -> bool:
        if self._world.lonely() - self._lonely_before:
            return False
        self._accepts -= 1
        if self._accepts < 0:
            self._steps = 0
        return self._accepts >= 0 and self._accept()

    def _narrowest(self, waiting: Sequence[Need]) -> tuple[Need, list[int]]:
        """The VM with the fewest places that fit, and these; none when the steps are used up."""
        chosen, choices = waiting[0], None
        for need in waiting:
            self._steps -= len(need.allowed)
            if self._steps <= 0:
                return need, []
            places = [at for at in need.allowed if self._world.fits(need, at)]
            if choices is None or len(places) < len(choices):
                chosen, choices = need, places
                if not places:
                    break
        return chosen, choices or []

    # Improving

    def improve(self, *, exchanges: bool = True) -> None:
        """Single VMs move to better places, two exchange theirs, and those that are kept together move as one."""
        self._steps = IMPROVE_STEPS
        order = sorted((need for need in self._todo if not need.fixed), key=lambda need: need.number)
        better = True
        while better and self._steps > 0:
            better = False
            for need in order:
                better |= self._reconsider(need, exchanges)
            for circle in sorted({circle for need in order for circle in need.together}):
                better |= self._move_circle(circle)

    def _reconsider(self, need: Need, exchanges: bool) -> bool:
        """Whether the VM found a better place, perhaps in exchange."""
        world = self._world
        if self._steps <= 0 or len(need.allowed) < 2:
            return False
        self._steps -= len(need.allowed)
        here = world.take(need)
        now = world.offers(need, [here])[0][0]
        offers = sorted(one for one in world.offers(need, need.allowed) if one[0] < now - _LEAST_GAIN)
        for _cost, at in offers:
            if world.fits(need, at, hopeful=False):
                world.put(need, at)
                if not need.social or not world.lonely() - self._lonely_before:
                    return True
                world.take(need)
        world.put(need, here)
        return exchanges and self._exchange(need)

    def _exchange(self, need: Need) -> bool:
        """With a VM at one of the places where this one had rather be and that are full."""
        world = self._world
        here = world.place_of[need.number]
        wished = sorted((need.cost[at] + need.spread * world.used[at], at) for at in need.allowed if at != here)
        for cost, at in wished[:_BLOCKED_WISHES]:
            if cost >= need.cost[here] + need.spread * world.used[here]:
                return False
            for number in sorted(world.at[at] & self._mine):
                other = world.needs[number]
                self._steps -= _TRADE_STEPS
                if self._steps > 0 and here in other.allowed and self._trade(need, other):
                    return True
        return False

    def _trade(self, need: Need, other: Need) -> bool:
        world = self._world
        here, there = world.take(need), world.take(other)
        before = world.offers(need, [here])[0][0]
        world.put(need, here)
        before += world.offers(other, [there])[0][0]
        world.take(need)
        if world.fits(need, there, hopeful=False):
            after = world.offers(need, [there])[0][0]
            world.put(need, there)
            offer = world.offers(other, [here])
            if offer and after + offer[0][0] < before - _LEAST_GAIN and world.fits(other, here, hopeful=False):
                world.put(other, here)
                if not world.lonely() - self._lonely_before:
                    return True
                world.take(other)
            world.take(need)
        world.put(need, here)
        world.put(other, there)
        return False

    def _move_circle(self, circle: Circle) -> bool:
        """All that are kept together to another place as one, if all of them can go."""
        world = self._world
        of_circle = [need for need in self._todo if circle in need.circles]
        if self._steps <= 0 or len(of_circle) != world.members_in[circle]:
            return False
        homes = {need.number: world.place_of[need.number] for need in of_circle}
        before = sum(self._lifted(need) for need in reversed(of_circle))
        level = circle[0]
        for key in sorted({world.keys[at][level] for need in of_circle for at in need.allowed}, key=str):
            self._steps -= sum(len(need.allowed) for need in of_circle)
            after = self._settle(of_circle, level, key)
            if after is not None and after < before - _LEAST_GAIN and not world.lonely() - self._lonely_before:
                return True
            for need in of_circle:
                if world.place_of[need.number] != NOWHERE:
                    world.take(need)
        for need in of_circle:
            world.put(need, homes[need.number])
        return False

    def _lifted(self, need: Need) -> float:
        """What its place costs; it is taken from there."""
        at = self._world.take(need)
        return self._world.offers(need, [at])[0][0]

    def _settle(self, needs: Sequence[Need], level: int, key: object) -> float | None:
        """What it costs to have them all there; None when one does not fit."""
        world = self._world
        total = 0.0
        for need in needs:
            here = [at for at in need.allowed if world.keys[at][level] == key]
            offer = next((one for one in sorted(world.offers(need, here)) if world.fits(need, one[1])), None)
            if offer is None:
                return None
            world.put(need, offer[1])
            total += offer[0]
        return total


def _sizes(world: Occupancy, todo: Sequence[Need]) -> dict[int, float]:
    """How large each VM is: the larger of its parts of all CPUs and of all memory that are free."""
    cpus = max(1.0, sum(max(0.0, free) for free in world.cpus))
    memory = max(1, sum(max(0, free) for free in world.memory))
    return {need.number: max(need.vm.cpus / cpus, need.vm.memory / memory) for need in todo}


def _depths(todo: Sequence[Need]) -> dict[int, int]:
    """How many others a VM waits for: 0 for those that go to nobody."""
    members: dict[str, list[int]] = {}
    for need in todo:
        for _level, group in need.circles:
            members.setdefault(group, []).append(need.number)
    depth = {need.number: 0 for need in todo}
    near = [need for need in todo if need.near]
    for _round in range(len(LEVELS) + 1):
        for need in near:
            others = {number for _level, group in need.near for number in members.get(group, ()) if number != need.number}
            depth[need.number] = 1 + max((depth[number] for number in others), default=0)
    return depth


def _clusters(todo: Sequence[Need]) -> dict[int, set[int]]:
    """Each VM with all those that it is kept together with, directly or through others."""
    clusters = {need.number: {need.number} for need in todo}
    circles = sorted({circle for need in todo for circle in need.together})
    for circle in circles:
        joined = set().union(*(clusters[need.number] for need in todo if circle in need.circles))
        for number in joined:
            clusters[number] = joined
    return clusters
