# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether everything could run on elsewhere, by all its rules, if any one site were lost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .needs import Need
from .occupancy import NOWHERE, Occupancy
from .search import Search


@dataclass(frozen=True)
class Loss:
    """A site that must not be lost, and the VMs of it that would find no other place."""

    site: str
    stranded: tuple[str, ...]

    def sentence(self) -> str:
        many = len(self.stranded)
        names = ", ".join(self.stranded[:10]) + (f" and {many - 10} more" if many > 10 else "")
        return f"if site {self.site} were lost, {names} would find no other place"


def losses(world: Occupancy, movable: set[int]) -> list[Loss]:
    """The sites whose loss is not survived, by name; the world is as it was afterwards.

    :param movable: the VMs that are to survive; those that are off already or of somebody else are not
    """
    found = []
    for site in sorted({place.site.name for place in world.places}):
        stranded = _stranded(world, movable, site)
        if stranded:
            found.append(Loss(site, tuple(sorted(need.name for need in stranded))))
    return found


def _stranded(world: Occupancy, movable: set[int], site: str) -> Sequence[Need]:
    lost = {at for at, place in enumerate(world.places) if place.site.name == site}
    # All of them are gone, but only these come again.
    gone = [need for need in world.needs if world.place_of[need.number] in lost]
    refugees = [need for need in gone if need.number in movable]
    if not refugees:
        return []
    homes = {need.number: world.take(need, counted=need.fixed) for need in gone}
    allowed = {need.number: need.allowed for need in refugees}
    for need in refugees:
        need.allowed = [at for at in need.allowed if at not in lost]
    search = Search(world, refugees)
    stranded = search.run()
    for need in refugees:
        if world.place_of[need.number] != NOWHERE:
            world.take(need)
        need.allowed = allowed[need.number]
    for need in gone:
        world.put(need, homes[need.number], counted=need.fixed)
    return stranded
