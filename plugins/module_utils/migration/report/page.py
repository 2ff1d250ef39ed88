# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a migration as one HTML page that needs nothing from elsewhere. Pure; the same report gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ...page.pieces import cells, section, table
from ...shown import clock, duration, mapping, mappings, number, plain, rate, whole, written
from ...sizes import show_size
from . import cluster
from .spans import CAME_OVER, TAKEN_BACK, gaps, is_over, spans
from .style import PAGE
from .subject import subject_of
from .timeline import timeline

Report = Mapping[str, Any]


def html(report: Report) -> str:
    """The page. Every key may be missing; texts are shown as they are, never as markup.

    :param report: what vm_migration and cluster_migration return as ``report``; ``error`` beside it where it failed
    """
    about = subject_of(report)
    if about.is_cluster:
        sections = (_timeline(report), cluster.objects(report), cluster.volumes(report), cluster.checks(report))
    else:
        sections = (_timeline(report), _rounds(report), _disks(report), _checks(report))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>Migration of {escape(about.name)}</title><style>{PAGE}</style></head><body>",
            f'<p class="over">{_over(report)}</p>',
            f"<h1>{escape(verdict(report))}</h1>",
            *_boxes(report),
            _tiles(report),
            *(section for section in sections if section),
            f"<footer>{_foot(report)}</footer></body></html>",
            "",
        ]
    )


def verdict(report: Report) -> str:
    """What came of it, as one sentence."""
    about = subject_of(report)
    vm = about.name[0].upper() + about.name[1:] if about.is_cluster or not report.get("vm") else about.name
    source, target = plain(report.get("source")) or "its source", plain(report.get("target")) or "its target"
    figures = mapping(report, "figures")
    if report.get("phase") in CAME_OVER:
        down = number(figures, "downtime_ms")
        told = "" if not down else f", after {duration(down / 1000)} of downtime"
        checked = "both ends were checked" if report.get("mode") == "live" else f"{about.compared} and both ends were checked"
        proof = checked if figures.get("verified") is True else "not all of it could be checked"
        return f"{vm} is at {target}{told}; {proof}"
    if report.get("phase") in TAKEN_BACK:
        return f"{vm} stayed at {source}; the migration to {target} was taken back"
    if report.get("error"):
        return f"{vm} is at {source}; the migration to {target} did not come to its end yet"
    if report.get("phase") == "synced":
        return f"{vm} runs at {source}; its {about.copied} in step at {target}"
    return f"{vm} is on its way from {source} to {target}" if report.get("phase") else f"No migration of {vm} is known"


def _over(report: Report) -> str:
    phase = plain(report.get("phase")) or "unknown"
    colour = "good" if phase in CAME_OVER else "soft" if phase in TAKEN_BACK else "going"
    words = [f"{plain(report.get('mode'))} migration".strip(), written(report.get("started"))]
    return f'<span class="badge {colour}">{escape(phase)}</span> ' + escape(" · ".join(filter(None, words)))


def _boxes(report: Report) -> list[str]:
    boxes = []
    if report.get("error"):
        boxes.append(f'<div class="box error"><strong>What went wrong</strong><br>{escape(plain(report["error"]))}</div>')
    warnings = report.get("warnings")
    if isinstance(warnings, Sequence) and not isinstance(warnings, str) and warnings:
        items = "".join(f"<li>{escape(plain(text))}</li>" for text in warnings)
        boxes.append(f'<div class="box warning"><strong>What to know</strong><ul>{items}</ul></div>')
    return boxes


def _tiles(report: Report) -> str:
    figures = mapping(report, "figures")
    rounds = mappings(report, "rounds")
    down, total = number(figures, "downtime_ms"), number(figures, "total_ms")
    sent = number(figures, "bytes")
    sent = sum(whole(entry, "bytes") for entry in rounds) if sent is None and rounds else sent
    tiles = [
        ("Downtime", None if down is None else duration(down / 1000)),
        ("From begin to end", None if total is None else duration(total / 1000)),
        ("Sent", None if sent is None else show_size(int(sent))),
        ("Rounds", str(len(rounds)) if rounds else None),
        ("Taken over by other runs", plain(report.get("takeovers")) if report.get("takeovers") else None),
    ]
    told = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles if value)
    return f'<dl class="tiles">{told}</dl>' if told else ""


def _timeline(report: Report) -> str:
    found = spans(report)
    if not found:
        return ""
    rows = [
        cells(
            f"#{span.number}",
            escape(span.sentence),
            f"#{clock(span.began)}",
            f"#{'' if span.ended is None else duration(span.ended - span.began)}",
        )
        for span in found
    ]
    idle = "".join(f"<p>Nothing was copied for {duration(gap.seconds)} from {clock(gap.began)} UTC on.</p>" for gap in gaps(found))
    picture = f'<div class="wide">{timeline(report)}</div>'
    return section("When", picture + idle + table("The phases, in UTC", ("#", "phase", "#began", "#took"), rows))


def _rounds(report: Report) -> str:
    rounds = mappings(report, "rounds")
    if not rounds:
        return ""
    most = max(max(whole(entry, "bytes"), whole(entry, "dirty_bytes")) for entry in rounds) or 1
    rows = []
    for entry in rounds:
        sent, dirty = whole(entry, "bytes"), whole(entry, "dirty_bytes")
        meter = (
            f'<span class="meter" style="width:{100 * sent / most:.1f}%"></span>'
            f'<span class="meter dirty" style="width:{100 * dirty / most:.1f}%"></span>'
        )
        kind = " ".join(filter(None, (plain(entry.get("kind")), plain(entry.get("reason")))))
        speed = number(entry, "bytes_per_second")
        rows.append(
            cells(f"#{whole(entry, 'round')}", escape(kind))
            + f'<td class="barcell">{meter}</td>'
            + cells(
                f"#{show_size(sent)}",
                f"#{show_size(dirty)}",
                f"#{duration(number(entry, 'seconds') or 0.0)}",
                f"#{'' if speed is None else rate(speed)}",
            )
        )
    heads = ("#round", "what", "sent, and dirty below", "#sent", "#dirty", "#took", "#speed")
    return section("What went over", table("Bytes of each round", heads, rows))


def _disks(report: Report) -> str:
    disks = mapping(report, "disks")
    rows = []
    for name in sorted(disks):
        disk = mapping(disks, name)
        formats = list(dict.fromkeys(filter(None, (plain(disk.get("source_format")), plain(disk.get("format"))))))
        rows.append(
            cells(
                f"<strong>{escape(plain(name))}</strong>",
                f"#{show_size(whole(disk, 'capacity'))}",
                escape(" to ".join(formats)),
                f"<code>{escape(plain(disk.get('source_path')))}</code>",
                f"<code>{escape(plain(disk.get('path')))}</code>",
                f"#{show_size(whole(disk, 'verified_bytes'))}",
            )
        )
    heads = ("disk", "#size", "format", "from", "to", "#read back")
    return section("Disks", table("Where each disk was and is", heads, rows)) if rows else ""


def _checks(report: Report) -> str:
    figures, phase = mapping(report, "figures"), report.get("phase")
    checks: list[tuple[bool | None, str]] = []
    if phase in CAME_OVER:
        told = "Both ends were read afterwards: only the target's copy runs"
        if report.get("mode") != "live":
            told = "What is on the target's disks was read back and compared with what was read at the source, extent by extent"
        checks.append((figures.get("verified") is True, told))
        if figures.get("compared_bytes"):
            compared = f"{show_size(whole(figures, 'compared_bytes'))} of the disks were read at both ends"
            checks.append(
                (not figures.get("differing_extents"), f"{compared}; {whole(figures, 'differing_extents')} extents differ")
            )
        if figures.get("sign_of_life"):
            checks.append((True, f"Sign of life at the target: {plain(figures['sign_of_life'])}"))
        checks.append((True, f"The owner is {plain(report.get('target'))}, epoch {plain(report.get('epoch'))}"))
        checks.append((None, _copy_left(phase, mapping(figures, "receipt"))))
    elif phase:
        checks.append((None, f"The owner is {plain(report.get('source'))}; no other copy may start"))
    marks = {True: ("good", "✓"), False: ("bad", "✗"), None: ("soft", "•")}
    items = "".join(f'<li><span class="mark {marks[good][0]}">{marks[good][1]}</span>{escape(text)}</li>' for good, text in checks)
    return section("Checks", f'<ul class="checks">{items}</ul>') if items else ""


def _copy_left(phase: Any, receipt: Report) -> str:
    if phase != "released":
        return "The source's copy is kept, and may not start, until it is released"
    if not receipt:
        return "The source's copy was deleted"
    volumes = ", ".join(plain(path) for path in receipt.get("volumes") or ())
    return f"The source's copy was deleted at {written(receipt.get('erased'))}: {volumes}"


def _foot(report: Report) -> str:
    about = subject_of(report)
    ended = report.get("ended") if is_over(report) else None
    words = [
        f"Migration {plain(report.get('id'))} of {about.identity}",
        f"mode {plain(report.get('mode'))}: {plain(report['mode_reason'])}" if report.get("mode_reason") else "",
        f"ended {written(ended)}" if ended else "",
        "made by virt8ra.federation",
    ]
    return escape(" · ".join(filter(None, words)))
