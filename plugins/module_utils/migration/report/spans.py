# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the events of a report mean in time: phases, interruptions, and when the guest ran where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...shown import mapping, mappings, number, plain
from ...sizes import show_size

CAME_OVER = ("completed", "released")
TAKEN_BACK = ("aborted", "rolled back")
# A process that takes over, or a next phase that begins, needs a moment: shorter ones are no interruption.
SHORTEST_GAP = 1.0

# By the first word of a phase, for "round 2" and "last delta".
_KINDS = {
    "preparing": "prepare",
    "seed": "copy",
    "round": "copy",
    "copying": "copy",
    "last": "copy",
    "verify": "check",
    "sign": "check",
    "stopping": "switch",
    "switch": "switch",
    "start": "switch",
    "resume": "switch",
    "settling": "wait",
    "waiting": "wait",
    "rolled": "back",
    "aborted": "back",
    "releasing": "wait",
}


@dataclass(frozen=True)
class Span:
    """One phase. Moments are seconds since 1970; ``ended`` is None while it goes on, and when it was cut off.

    ``kind`` is prepare, copy, check, switch, wait, back or other. ``number`` counts from 1 in the order of time.
    ``drawn_to`` is where a picture ends it: its end, or the next phase's beginning, or the last moment that is known.
    """

    number: int
    phase: str
    kind: str
    began: float
    ended: float | None
    drawn_to: float
    cut_off: bool
    bytes: int | None
    note: str

    @property
    def sentence(self) -> str:
        size = "" if self.bytes is None else f", {show_size(self.bytes)}"
        note = f", {self.note}" if self.note else ""
        return f"{self.phase}{', cut off' if self.cut_off else ''}{size}{note}"


@dataclass(frozen=True)
class Interval:
    """Seconds since 1970. ``ended`` is None while it goes on."""

    began: float
    ended: float | None

    @property
    def seconds(self) -> float:
        return 0.0 if self.ended is None else max(0.0, self.ended - self.began)


def spans(report: Mapping[str, Any]) -> list[Span]:
    """The phases in the order of time. An event that tells no moment at all is left out."""
    known = []
    for event in mappings(report, "events"):
        began, ended = number(event, "began"), number(event, "ended")
        began = ended if began is None else began
        if began is not None:
            known.append((began, None if ended is None else max(began, ended), event))
    known.sort(key=lambda item: item[0])
    last = max((ended if ended is not None else began for began, ended, _event in known), default=0.0)
    found = []
    for index, (began, ended, event) in enumerate(known):
        later = [other for other, _end, _event in known[index + 1 :] if other > began]
        phase = plain(event.get("phase")) or "unnamed"
        size = number(event, "bytes")
        found.append(
            Span(
                number=index + 1,
                phase=phase,
                kind=_KINDS.get(phase.split()[0] if phase.split() else "", "other"),
                began=began,
                ended=ended,
                drawn_to=ended if ended is not None else (later[0] if later else last),
                cut_off=ended is None and bool(later or is_over(report)),
                bytes=None if size is None else int(size),
                note=plain(event.get("note")),
            )
        )
    return found


def is_over(report: Mapping[str, Any]) -> bool:
    """Whether nothing goes on any more, well or not."""
    return report.get("phase") in (*CAME_OVER, *TAKEN_BACK) or bool(report.get("ended"))


def gaps(found: Iterable[Span]) -> list[Interval]:
    """When no phase was at work although later ones were: nobody was there, or it waited for the next round."""
    idle: list[Interval] = []
    reached: float | None = None
    for span in found:
        if reached is not None and span.began - reached >= SHORTEST_GAP:
            idle.append(Interval(reached, span.began))
        reached = span.drawn_to if reached is None else max(reached, span.drawn_to)
    return idle


def downtime(report: Mapping[str, Any], found: list[Span]) -> Interval | None:
    """When the guest ran nowhere; None when it always did, or was off from the beginning.

    The measured figure says how long. The phases say when: it is laid where their ends and beginnings fit it best.
    """
    measured = number(mapping(report, "figures"), "downtime_ms")
    begins = [moment for span in found for moment in _may_stop_at(span)]
    if report.get("phase") in TAKEN_BACK:
        ends = [span.drawn_to for span in found if span.kind == "back" or span.phase == "resume"]
    else:
        ends = [span.ended for span in found if span.phase in ("resume", "start", "sign of life") and span.ended is not None]
    if measured is not None and measured > 0:
        seconds = measured / 1000
        fits = [(abs(end - begin - seconds), end) for begin in begins for end in ends if end >= begin]
        fallback = ends[:1] or [span.drawn_to for span in found if span.kind in ("copy", "switch")][-1:]
        end = min(fits)[1] if fits else (fallback[0] if fallback else None)
        return None if end is None else Interval(end - seconds, end)
    if measured is not None or not begins:
        return None
    began = min((span.drawn_to for span in found if span.phase == "stopping"), default=begins[0])
    later = [end for end in ends if end >= began]
    if not later and is_over(report):
        return None
    return Interval(began, later[0] if later else None)


def _may_stop_at(span: Span) -> list[float]:
    if span.phase == "stopping":
        return [span.began] if span.ended is None else [span.began, span.ended]
    return [span.began] if span.phase in ("last delta", "switch") else []


def guest_ran(report: Mapping[str, Any], found: list[Span], pause: Interval | None) -> dict[str, list[Interval]]:
    """``{"source": [...], "target": [...]}``; empty lists for a VM that was off."""
    lanes: dict[str, list[Interval]] = {"source": [], "target": []}
    if not found or not report.get("phase") or was_off(report, found):
        return lanes
    first, last = found[0].began, max(span.drawn_to for span in found)
    if report.get("phase") in CAME_OVER:
        switched = [span.drawn_to for span in found if span.kind in ("copy", "switch")] or [last]
        left, arrived = (pause.began, pause.ended) if pause else (switched[-1], switched[-1])
        lanes["source"].append(Interval(first, left))
        lanes["target"].append(Interval(last if arrived is None else arrived, None))
    elif pause is None:
        lanes["source"].append(Interval(first, None))
    else:
        lanes["source"].append(Interval(first, pause.began))
        if pause.ended is not None:
            lanes["source"].append(Interval(pause.ended, None))
    return lanes


def was_off(report: Mapping[str, Any], found: list[Span]) -> bool:
    """Whether the VM was off all the time: only a cold migration moves one, and it starts nothing then."""
    return report.get("mode") == "cold" and not any(span.phase in ("stopping", "start", "resume", "sign of life") for span in found)
