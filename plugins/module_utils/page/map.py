# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sites on a map of Europe as SVG, and the links between them. Pure; a Mercator projection, framed around the sites."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ..shown import number, plain
from .coast import COASTS

WIDTH, HEIGHT = 960.0, 560.0
_LETTER, _LINE, _DOT = 7.2, 17.0, 10.0
# Degrees of longitude that a map shows at least and at most.
_LEAST, _MOST = 16.0, 90.0
_LONGEST = 28
# How much of a coast's lines is bent at each of their ends.
_ROUND = 0.32

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """A site as it is drawn: ``state`` is good, bad, warn or none; ``count`` stands in its dot; ``told`` is its tooltip."""

    name: str
    place: str
    state: str
    count: str = ""
    told: str = ""


def place_of(site: Mapping[str, Any]) -> tuple[float, float] | None:
    """Degrees east and north; None where the site does not say it, or where no map shows it."""
    longitude, latitude = number(site, "longitude"), number(site, "latitude")
    if longitude is None or latitude is None or abs(longitude) > 180 or abs(latitude) > 85:
        return None
    return longitude, latitude


class Map:
    """A frame around places, and what is drawn in it.

    :param places: degrees east and north by the names of sites
    """

    def __init__(self, places: Mapping[str, tuple[float, float]]) -> None:
        wide = [place[0] for place in places.values()] or [-10.0, 30.0]
        high = [_mercator(place[1]) for place in places.values()] or [_mercator(36), _mercator(60)]
        across = max((max(wide) - min(wide)) * 1.34, (max(high) - min(high)) * 1.34 * WIDTH / HEIGHT, _LEAST)
        self._factor = WIDTH / min(across, _MOST)
        self._left = (max(wide) + min(wide)) / 2 - WIDTH / self._factor / 2
        self._top = (max(high) + min(high)) / 2 + HEIGHT / self._factor / 2
        # What is too far away stands at the edge.
        self.points = {
            name: (min(WIDTH - 16, max(16.0, x)), min(HEIGHT - 16, max(16.0, y)))
            for name, (x, y) in ((name, self.point(*place)) for name, place in places.items())
        }
        self._taken: list[Box] = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in self.points.values()]

    def point(self, longitude: float, latitude: float) -> tuple[float, float]:
        return (longitude - self._left) * self._factor, (self._top - _mercator(latitude)) * self._factor

    def svg(self, marks: Sequence[Mark], links: Iterable[tuple[str, str, float]], title: str) -> str:
        """The picture; links are (site, site, round trip in ms), each pair once."""
        curves, words = [], []
        names = {mark.name: self._label(mark) for mark in marks}
        for source, target, rtt in links:
            curve, word = self._link(self.points[source], self.points[target], rtt)
            curves.append(curve)
            words.append(word)
        dots = [self._dot(mark) for mark in marks]
        parts = ["".join(part) for part in (curves, words, dots, names.values())]
        return (
            f'<svg class="map" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(title)}">'
            f'<rect class="sea" width="{WIDTH:.0f}" height="{HEIGHT:.0f}"/>{self._lines()}{self._land()}{"".join(parts)}</svg>'
        )

    def _land(self) -> str:
        return f'<path class="land" d="{"".join(self._smooth([self.point(*corner) for corner in coast]) for coast in COASTS)}"/>'

    @staticmethod
    def _smooth(corners: Sequence[tuple[float, float]]) -> str:
        """A closed line with round corners; nothing where all of it is outside of the picture."""
        beyond = 40
        if all(x < -beyond for x, _y in corners) or all(x > WIDTH + beyond for x, _y in corners):
            return ""
        if all(y < -beyond for _x, y in corners) or all(y > HEIGHT + beyond for _x, y in corners):
            return ""
        drawn = []
        for before, (x, y), after in zip([corners[-1], *corners], corners, [*corners[1:], corners[0]]):
            (a, b), (u, v) = (((1 - _ROUND) * x + _ROUND * p, (1 - _ROUND) * y + _ROUND * q) for p, q in (before, after))
            drawn.append(f"{a:.0f} {b:.0f}Q{x:.0f} {y:.0f} {u:.0f} {v:.0f}")
        return f"M{'L'.join(drawn)}Z"

    def _lines(self) -> str:
        """Every fifth meridian and parallel."""
        path = ""
        for degrees in range(-30, 65, 5):
            x = self.point(degrees, 0)[0]
            path += f"M{x:.0f} 0V{HEIGHT:.0f}" if 0 < x < WIDTH else ""
        for degrees in range(25, 75, 5):
            y = self.point(0, degrees)[1]
            path += f"M0 {y:.0f}H{WIDTH:.0f}" if 0 < y < HEIGHT else ""
        return f'<path class="grid" d="{path}"/>'

    def _link(self, source: tuple[float, float], target: tuple[float, float], rtt: float) -> tuple[str, str]:
        (x, y), (u, v) = sorted((source, target))
        length = math.hypot(u - x, v - y)
        bend = min(60.0, length * 0.16) / (length or 1)
        through = ((x + u) / 2 + (v - y) * bend, (y + v) / 2 - (u - x) * bend)
        curve = f'<path class="link" d="M{x:.1f} {y:.1f}Q{through[0]:.1f} {through[1]:.1f} {u:.1f} {v:.1f}"/>'
        told = f"{rtt:.1f} ms"
        half = len(told) * _LETTER * 0.9 / 2
        # Along the curve, nearest to its middle, where there is room.
        for share in (0.5, 0.4, 0.6, 0.3, 0.7):
            rest = 1 - share
            a = rest * rest * x + 2 * rest * share * through[0] + share * share * u
            b = rest * rest * y + 2 * rest * share * through[1] + share * share * v
            box = (a - half, b - 8, a + half, b + 8)
            if self._free(box):
                self._taken.append(box)
                return curve, f'<text class="rtt" x="{a:.1f}" y="{b + 4:.1f}">{told}</text>'
        return curve, ""

    def _free(self, box: Box) -> bool:
        left, top, right, bottom = box
        inside = left >= 2 and top >= 2 and right <= WIDTH - 2 and bottom <= HEIGHT - 2
        return inside and not any(
            left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in self._taken
        )

    def _dot(self, mark: Mark) -> str:
        x, y = self.points[mark.name]
        count = f'<text class="count" x="{x:.1f}" y="{y + 4:.1f}">{escape(mark.count)}</text>' if mark.count else ""
        radius = _DOT if mark.count else _DOT * 0.7
        halo = f'<circle class="halo" cx="{x:.1f}" cy="{y:.1f}" r="{_DOT * 1.9:.1f}"/>' if mark.state == "bad" else ""
        circle = f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'
        return f'<g class="site {mark.state}"><title>{escape(mark.told)}</title>{halo}{circle}{count}</g>'

    def _label(self, mark: Mark) -> str:
        """Two lines beside the dot, where there is room."""
        x, y = self.points[mark.name]
        lines = [_short(mark.name), _short(mark.place)]
        wide, high = max(len(line) for line in lines) * _LETTER, _LINE * (2 if lines[1] else 1)
        right, left, middle = x + _DOT + 6, x - _DOT - 6 - wide, x - wide / 2
        level, above, below = y - high / 2, y - _DOT - 5 - high, y + _DOT + 5
        tries = [
            (right, level),
            (left, level),
            (middle, below),
            (middle, above),
            (right, above),
            (right, below),
            (left, above),
            (left, below),
        ]
        boxes = [(a, b, a + wide, b + high) for a, b in tries]
        box = next((box for box in boxes if self._free(box)), boxes[0])
        self._taken.append(box)
        anchor, at = ("start", box[0]) if box[0] >= x else ("end", box[2]) if box[2] <= x else ("middle", (box[0] + box[2]) / 2)
        first = f'<text class="name" text-anchor="{anchor}" x="{at:.1f}" y="{box[1] + 13:.1f}">{escape(lines[0])}</text>'
        second = f'<text class="small" text-anchor="{anchor}" x="{at:.1f}" y="{box[1] + 13 + _LINE:.1f}">{escape(lines[1])}</text>'
        return first + (second if lines[1] else "")


def pairs(links: Iterable[Mapping[str, Any]], known: Iterable[str]) -> list[tuple[str, str, float]]:
    """``(site, site, ms)``: each pair once, with the less of both directions; only of sites that are on the map."""
    names, found = set(known), dict[tuple[str, str], float]()
    for link in links:
        source, target, rtt = plain(link.get("source")), plain(link.get("target")), number(link, "rtt_ms")
        if source == target or rtt is None or not {source, target} <= names:
            continue
        pair = (source, target) if source < target else (target, source)
        found[pair] = min(rtt, found.get(pair, rtt))
    return [(*pair, found[pair]) for pair in sorted(found)]


def _mercator(latitude: float) -> float:
    """In degrees, as longitudes are."""
    return math.degrees(math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2)))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
