# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The timeline of a migration as SVG: where the guest ran, and the phases between both ends."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ...shown import clock, duration, plain
from .scale import Scale
from .spans import CAME_OVER, Interval, Span, downtime, gaps, guest_ran, is_over, spans
from .style import PICTURE
from .subject import subject_of

WIDTH = 960
_LEFT, _RIGHT = 150, 940
_LANE, _ROW, _SPACE = 34, 24, 30
# Helvetica's mean letter at 12 px: only to know whether a word fits.
_LETTER = 6.6
_WORDS = {"prepare": "prepare", "copy": "copy", "check": "check", "switch": "switch over", "wait": "wait", "back": "take back"}


class _Panel:
    """Both lanes, the phases between them and an axis, from ``top`` downwards within one window of time."""

    def __init__(self, picture: _Picture, scale: Scale, top: float, close: bool) -> None:
        self.picture = picture
        self.scale = scale
        self.top = top
        self.close = close
        self.rows = self._rows()
        self.source = top + 26
        self.phases = self.source + _LANE + _SPACE
        self.target = self.phases + _ROW * max(1, max(self.rows.values(), default=0) + 1) + _SPACE
        self.axis = self.target + _LANE + 8
        self.bottom = self.axis + 24

    def _rows(self) -> dict[int, int]:
        """The row of each phase by its number: those at the same time go below each other."""
        free: list[float] = []
        rows = {}
        for span in self.picture.spans:
            row = next((index for index, end in enumerate(free) if end <= span.began + 1e-6), len(free))
            free[row : row + 1] = [span.drawn_to]
            rows[span.number] = row
        return rows

    def draw(self) -> list[str]:
        return [*self._lane("source"), *self._lane("target"), *self._idle(), *self._phases(), *self._pause(), *self._axis()]

    def _bar(self, began: float, ended: float, least: float = 0.0) -> tuple[float, float]:
        left, right = self.scale.x(began), self.scale.x(ended)
        return left, max(least, right - left)

    def _lane(self, end: str) -> list[str]:
        picture, y = self.picture, self.source if end == "source" else self.target
        name, place = picture.name(end), picture.place(end)
        parts = [
            f'<rect class="track" x="{_LEFT}" y="{y:.1f}" width="{_RIGHT - _LEFT}" height="{_LANE}" rx="4"/>',
            f'<text class="name" x="{_LEFT - 12}" y="{y + (14 if place else 21):.1f}" text-anchor="end">{_cut(name, 17)}</text>',
        ]
        if place:
            parts.append(f'<text class="small" x="{_LEFT - 12}" y="{y + 29:.1f}" text-anchor="end">{_cut(place, 22)}</text>')
        for ran in picture.ran[end]:
            ended = self.scale.ended if ran.ended is None else ran.ended
            if ended < self.scale.began or ran.began > self.scale.ended:
                continue
            x, width = self._bar(ran.began, ended, 2)
            word = f"{'runs' if ran.ended is None else 'ran'} at {name}"
            parts.append(f'<rect class="run" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_LANE}" rx="4">')
            parts.append(f"<title>The {picture.runner} {escape(word)}</title></rect>")
            word = next(
                (text for text in (f"{picture.runner} {word}", f"{picture.runner} {word.split()[0]}") if _fits(text, width)), ""
            )
            parts.append(f'<text class="on" x="{x + 8:.1f}" y="{y + 21:.1f}">{escape(word)}</text>')
        return parts

    def _idle(self) -> list[str]:
        parts = []
        for gap in self.picture.gaps:
            if gap.began >= self.scale.ended or gap.began + gap.seconds <= self.scale.began:
                continue
            x, width = self._bar(gap.began, gap.began + gap.seconds, 2)
            y, height = self.source + _LANE + 6, self.target - self.source - _LANE - 12
            words = f"nothing at work for {duration(gap.seconds)}"
            parts.append(f'<rect class="idle" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="url(#idle)">')
            parts.append(f"<title>{words}</title></rect>")
            fitting = next((text for text in (words, duration(gap.seconds)) if _fits(text, width)), "")
            parts.append(f'<text class="small" x="{x + width / 2:.1f}" y="{y + 14:.1f}" text-anchor="middle">{fitting}</text>')
        return parts

    def _phases(self) -> list[str]:
        parts = []
        for span in self.picture.spans:
            if span.began > self.scale.ended or span.drawn_to < self.scale.began:
                continue
            x, width = self._bar(span.began, span.drawn_to, 3)
            y = self.phases + _ROW * self.rows[span.number]
            if span.kind == "copy":
                above, below = self.source + _LANE, self.target
                parts.append(f'<rect class="stream" x="{x:.1f}" y="{above:.1f}" width="{width:.1f}" height="{below - above:.1f}"/>')
                parts += [_arrow(x + width / 2, below - 3)] if width >= 14 else []
            mark = " cut" if span.cut_off else (" open" if span.ended is None else "")
            parts.append(f'<rect class="{span.kind}{mark}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_ROW - 4}" rx="3">')
            parts.append(f"<title>{escape(self._told(span))}</title></rect>")
            wanted = (f"{span.number} {span.phase}", f"{span.number}")
            word = next((text for text in wanted if _fits(text, width)), "")
            parts.append(f'<text class="on" x="{x + width / 2:.1f}" y="{y + 14:.1f}" text-anchor="middle">{escape(word)}</text>')
        return parts

    def _told(self, span: Span) -> str:
        took = "" if span.ended is None else f", {duration(span.ended - span.began)}"
        return f"{span.number} {span.sentence}, from {clock(span.began)}{took}"

    def _pause(self) -> list[str]:
        pause = self.picture.pause
        if pause is None:
            return []
        ended = self.scale.ended if pause.ended is None else pause.ended
        x, width = self._bar(pause.began, ended, 3)
        words = f"{duration(pause.seconds)} of downtime" if pause.ended is not None else "down"
        half = len(words) * _LETTER / 2
        middle = min(_RIGHT - half, max(_LEFT + half, x + width / 2))
        height = self.target + _LANE - self.source + 12
        return [
            f'<rect class="down" x="{x:.1f}" y="{self.source - 6:.1f}" width="{width:.1f}" height="{height:.1f}">',
            f"<title>{words}</title></rect>",
            f'<text class="downword" x="{middle:.1f}" y="{self.source - 12:.1f}" text-anchor="middle">{words}</text>',
        ]

    def _axis(self) -> list[str]:
        pause = self.picture.pause
        origin = pause.began if self.close and pause else float(int(self.scale.began))
        step, moments = self.scale.ticks(origin, 84)
        parts = [f'<path class="axis" d="M{_LEFT} {self.axis:.1f}H{_RIGHT}"/>']
        for moment in moments:
            x = self.scale.x(moment)
            word = _offset(moment - origin, step) if self.close else _moment(moment, step)
            parts.append(f'<path class="axis" d="M{x:.1f} {self.axis:.1f}v5"/>')
            parts.append(f'<text class="small" x="{x:.1f}" y="{self.axis + 18:.1f}" text-anchor="middle">{word}</text>')
        return parts


class _Picture:
    """What both panels show."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.report = report
        self.spans = spans(report)
        self.gaps = gaps(self.spans)
        self.pause = downtime(report, self.spans)
        self.runner = subject_of(report).runner
        self.ran = guest_ran(report, self.spans, self.pause)

    def name(self, end: str) -> str:
        return plain(self.report.get(end)) or end

    def place(self, end: str) -> str:
        return " · ".join(filter(None, (plain(self.report.get(f"{end}_site")), plain(self.report.get(f"{end}_country")))))

    def whole(self) -> Scale:
        began, ended = self.spans[0].began, max(span.drawn_to for span in self.spans)
        if not is_over(self.report):
            ended += max(0.5, 0.05 * (ended - began))
        elif self.report.get("phase") in CAME_OVER:
            # A guest that runs at the target since the last moment needs room to be seen there.
            ended += 0.06 * (ended - began)
        return Scale(began, ended, _LEFT, _RIGHT, self.gaps)

    def switch(self, whole: Scale) -> Scale | None:
        """The moments around a downtime that is too short to be read in the whole."""
        if self.pause is None or self.pause.ended is None or whole.x(self.pause.ended) - whole.x(self.pause.began) > 200:
            return None
        began, ended = self.pause.began, self.pause.ended
        near = [
            span
            for span in self.spans
            if span.kind in ("switch", "check", "back") and span.drawn_to - span.began < 4 * (ended - began)
        ]
        near = [span for span in near if span.drawn_to >= began and span.began <= ended]
        began = min([began, *(span.began for span in near)])
        ended = max([ended, *(span.drawn_to for span in near)])
        room = 0.2 * (ended - began)
        return Scale(began - room, ended + room, _LEFT, _RIGHT)

    def sentence(self) -> str:
        parts = [f"{end.capitalize()} {self.name(end)}: {_lives(self.ran[end], self.runner)}." for end in ("source", "target")]
        if self.pause is not None and self.pause.ended is not None:
            parts.append(f"The {self.runner} was down for {duration(self.pause.seconds)} from {clock(self.pause.began)}.")
        parts += [f"Nothing was at work for {duration(gap.seconds)} from {clock(gap.began)}." for gap in self.gaps]
        return " ".join(parts)


def timeline(report: Mapping[str, Any], *, alone: bool = False) -> str:
    """The picture; empty when the report has no phase with a moment. ``alone``: a file of its own, with its colours."""
    picture = _Picture(report)
    if not picture.spans:
        return ""
    whole = picture.whole()
    panel = _Panel(picture, whole, 14, close=False)
    parts, height = panel.draw(), panel.bottom
    near = picture.switch(whole)
    if near is not None:
        below = _Panel(picture, near, panel.bottom + 44, close=True)
        parts += _lens(whole, near, panel, below) + below.draw()
        height = below.bottom
    parts += _legend(picture, height + 22)
    height += 36
    title = f"Timeline of the migration of {subject_of(report).identity}"
    head = f'<svg class="timeline" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img"'
    if alone:
        head += f' width="{WIDTH}" height="{height:.0f}"'
        parts = [f"<style>{PICTURE}</style>", '<rect class="paper" width="100%" height="100%" rx="10"/>', *parts]
    return "\n".join(
        [
            f'{head} aria-labelledby="timeline-title timeline-desc">',
            f'<title id="timeline-title">{escape(title)}</title>',
            f'<desc id="timeline-desc">{escape(picture.sentence())}</desc>',
            '<defs><pattern id="idle" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">',
            '<path class="hatch" d="M0 0V8"/></pattern></defs>',
            *parts,
            "</svg>",
        ]
    )


def _lens(whole: Scale, near: Scale, above: _Panel, below: _Panel) -> list[str]:
    left, right, top, bottom = whole.x(near.began), whole.x(near.ended), above.axis, below.source - 26
    return [
        f'<path class="lens" d="M{left:.1f} {top:.1f}L{_LEFT} {bottom:.1f}H{_RIGHT}L{right:.1f} {top:.1f}z"/>',
        f'<text class="small" x="{_LEFT - 12}" y="{bottom + 4:.1f}" text-anchor="end">the switch, closer</text>',
    ]


def _legend(picture: _Picture, y: float) -> list[str]:
    kinds = [("run", f"{picture.runner} runs")] if any(picture.ran.values()) else []
    kinds += [(kind, word) for kind, word in _WORDS.items() if any(span.kind == kind for span in picture.spans)]
    kinds += [("down", f"{picture.runner} down")] if picture.pause else []
    kinds += [("idle", "nothing at work")] if picture.gaps else []
    parts, x = [], float(_LEFT)
    for kind, word in kinds:
        fill = ' fill="url(#idle)"' if kind == "idle" else ""
        parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y - 10:.1f}" width="12" height="12" rx="2"{fill}/>')
        parts.append(f'<text class="small" x="{x + 18:.1f}" y="{y:.1f}">{word}</text>')
        x += 34 + len(word) * _LETTER
    return parts


def _lives(ran: list[Interval], runner: str) -> str:
    if not ran:
        return f"the {runner} did not run there"
    words = [f"from {clock(one.began)} {'on' if one.ended is None else f'to {clock(one.ended)}'}" for one in ran]
    return f"the {runner} ran there {' and '.join(words)}"


def _arrow(x: float, tip: float) -> str:
    return f'<path class="arrow" d="M{x - 5:.1f} {tip - 8:.1f}h10l-5 7z"/>'


def _moment(moment: float, step: float) -> str:
    return clock(moment) if step >= 1 else f"{clock(moment)}.{int(moment * 10) % 10}"


def _offset(seconds: float, step: float) -> str:
    if abs(seconds) < step / 2:
        return "0"
    shown = f"{seconds * 1000:+.0f} ms" if step < 1 and abs(seconds) < 1 else f"{seconds:+.3f}".rstrip("0").rstrip(".") + " s"
    return shown.replace("-", "\N{MINUS SIGN}")


def _fits(text: str, width: float) -> bool:
    return len(text) * _LETTER + 8 <= width


def _cut(text: str, letters: int) -> str:
    """Escaped text of so many letters at the most; the whole of it when pointed at."""
    if len(text) <= letters:
        return escape(text)
    return f"{escape(text[: letters - 1])}…<title>{escape(text)}</title>"
