# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many migrations as waves: what goes at the same time keeps to the caps of each site and each link. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..fields import Fields
from ..model import Portable
from .moves import Move

_MOST = 1000


@dataclass(frozen=True)
class Limits(Portable):
    """How many migrations may be under way at once: at one site, coming or going, and between the same two sites."""

    per_site: int = 4
    per_link: int = 2

    @classmethod
    def from_dict(cls, data: Any, where: str = "limits") -> Limits:
        fields = Fields(data, where)
        read = cls(fields.integer("per_site", cls.per_site, 1, _MOST), fields.integer("per_link", cls.per_link, 1, _MOST))
        fields.finish()
        return read


def schedule(moves: Sequence[Move], sites: dict[str, str], limits: Limits) -> tuple[tuple[Move, ...], ...]:
    """The longest first, each into the first wave that has room for it; the same for the same moves in any order.

    :param sites: the site of each hypervisor
    """
    waves: list[list[Move]] = []
    for move in sorted(moves, key=lambda one: (-one.seconds, one.vm)):
        room = (wave for wave in waves if not excess([*wave, move], sites, limits))
        wave = next(room, None)
        if wave is None:
            waves.append([move])
        else:
            wave.append(move)
    return tuple(tuple(wave) for wave in waves)


def excess(wave: Sequence[Move], sites: dict[str, str], limits: Limits) -> str:
    """What is over its cap, as the end of a sentence; empty where nothing is."""
    at: Counter[str] = Counter()
    between: Counter[tuple[str, ...]] = Counter()
    for move in wave:
        ends = tuple(sorted({sites[move.source], sites[move.target]}))
        at.update(ends)
        if len(ends) > 1:
            between[ends] += 1
    for site, count in sorted(at.items()):
        if count > limits.per_site:
            return f"has {count} moves at site {site}, more than limits.per_site={limits.per_site}"
    for link, count in sorted(between.items()):
        if count > limits.per_link:
            return f"has {count} moves between {' and '.join(link)}, more than limits.per_link={limits.per_link}"
    return ""
