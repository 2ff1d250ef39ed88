# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From moments to places in a picture: long idle times are drawn short, so that the work can be seen."""

from __future__ import annotations

from collections.abc import Sequence

from .spans import Interval

# Shares of the busy time: an idle time longer than the one is drawn as long as the other, all of them at most as the third.
_LONG, _SHORT, _ALL = 0.15, 0.1, 0.4
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


class Scale:
    """Maps the seconds ``began``..``ended`` to ``left``..``right``, rising everywhere.

    :param idle: intervals between them without work, in the order of time; ``shortened`` holds those drawn short
    """

    def __init__(self, began: float, ended: float, left: float, right: float, idle: Sequence[Interval] = ()) -> None:
        self.began = began
        self.ended = max(ended, began + 0.001)
        busy = max(0.001, self.ended - began - sum(gap.seconds for gap in idle))
        self.shortened = [gap for gap in idle if gap.seconds > _LONG * busy]
        length = min(_SHORT * busy, _ALL * busy / max(1, len(self.shortened)))
        self._corners = [(began, 0.0)]
        for gap in self.shortened:
            moment, place = self._corners[-1]
            place += gap.began - moment
            self._corners += [(gap.began, place), (gap.began + gap.seconds, place + length)]
        moment, place = self._corners[-1]
        self._corners.append((self.ended, place + self.ended - moment))
        self._left, self._factor = left, (right - left) / self._corners[-1][1]
        self.right = right
        self.left = left

    def x(self, moment: float) -> float:
        """Places outside are the nearer edge."""
        moment = min(self.ended, max(self.began, moment))
        for (first, place), (second, next_place) in zip(self._corners, self._corners[1:]):
            if moment <= second:
                share = (moment - first) / (second - first) if second > first else 0.0
                return self._left + self._factor * (place + share * (next_place - place))
        return self.right

    def ticks(self, origin: float, apart: float) -> tuple[float, list[float]]:
        """``(step, moments)`` of a round step from ``origin``, at least ``apart`` from each other and outside of shortened times."""
        steps = [step for step in _STEPS if step * self._factor >= apart]
        step = steps[0] if steps else _STEPS[-1]
        kept: list[float] = []
        index = -int((origin - self.began) // step)
        # Only so many fit, whatever the shortened times hold; the others are jumped over.
        while origin + index * step <= self.ended and len(kept) < 200:
            moment = origin + index * step
            gap = next((gap for gap in self.shortened if gap.began < moment < gap.began + gap.seconds), None)
            if gap is not None:
                index += max(1, int((gap.began + gap.seconds - moment) // step))
                continue
            if moment >= self.began and (not kept or self.x(moment) - self.x(kept[-1]) >= apart):
                kept.append(moment)
            index += 1
        return step, kept
