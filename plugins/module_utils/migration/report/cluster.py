# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What only the report of a cluster's migration has: its objects, the data of its claims, and what was checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ...page.pieces import cells, section, table
from ...shown import mapping, plain, whole, written
from ...sizes import show_size
from .spans import CAME_OVER

Report = Mapping[str, Any]


def objects(report: Report) -> str:
    """How many of each kind went along."""
    counts = mapping(report, "objects")
    rows = [cells(escape(plain(kind)), f"#{whole(counts, kind)}") for kind in sorted(counts)]
    return section("Objects", table("What went along, by kind", ("kind", "#objects"), rows)) if rows else ""


def volumes(report: Report) -> str:
    """The claims whose data was copied."""
    found = mapping(report, "volumes")
    rows = []
    for name in sorted(found):
        one = mapping(found, name)
        rows.append(
            cells(
                f"<strong>{escape(plain(name))}</strong>",
                f"#{whole(one, 'files')}",
                f"#{show_size(whole(one, 'bytes'))}",
                escape(plain(one.get("state"))),
            )
        )
    heads = ("claim", "#files", "#sent", "how far")
    return section("Data", table("The data of each claim", heads, rows)) if rows else ""


def checks(report: Report) -> str:
    """What was seen, and where the copies are."""
    figures, phase = mapping(report, "figures"), report.get("phase")
    target, source = plain(report.get("target")), plain(report.get("source"))
    told: list[tuple[bool | None, str]] = []
    if phase in CAME_OVER:
        told.append(
            (figures.get("verified") is True, f"Nothing of it ran at {source} when it was started at {target}, as both ends showed")
        )
        if figures.get("sign_of_life"):
            told.append((True, f"Seen at {target}: {plain(figures['sign_of_life'])}"))
        told.append((None, _source_left(phase, source, mapping(figures, "receipt"))))
    elif phase:
        told.append((None, f"It runs at {source}, unless its cutover is under way"))
    marks = {True: ("good", "✓"), False: ("bad", "✗"), None: ("soft", "•")}
    items = "".join(f'<li><span class="mark {marks[good][0]}">{marks[good][1]}</span>{escape(text)}</li>' for good, text in told)
    return section("Checks", f'<ul class="checks">{items}</ul>') if items else ""


def _source_left(phase: Any, source: str, receipt: Report) -> str:
    if phase != "released":
        return f"The copy at {source} is kept, at rest and fenced, until it is released"
    if not receipt:
        return f"The copy at {source} was deleted"
    counts = mapping(receipt, "objects")
    total = sum(whole(counts, kind) for kind in counts)
    names = ", ".join(plain(name) for name in receipt.get("namespaces") or ())
    return f"The copy at {source} was deleted at {written(receipt.get('erased'))}: {total} objects, namespaces {names or 'none'}"
