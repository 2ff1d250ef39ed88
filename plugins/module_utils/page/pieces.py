# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sections and tables of a report's page. Pure; what is given to them is HTML already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def table(caption: str, heads: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col"{_right(name)}>{name.strip("#")}</th>' for name in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wide"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _right(name: str) -> str:
    """Columns of numbers are marked with # and stand to the right."""
    return ' class="n"' if name.startswith("#") else ""


def cells(*values: str) -> str:
    return "".join(f'<td class="n">{value[1:]}</td>' if value.startswith("#") else f"<td>{value}</td>" for value in values)


def tiles(boxes: Iterable[tuple[str, str, str]]) -> str:
    """Figures in boxes: name, value and class of each."""
    told = "".join(f'<div class="{kind}"><dt>{name}</dt><dd>{value}</dd></div>' for name, value, kind in boxes)
    return f'<dl class="tiles">{told}</dl>' if told else ""


def share_bar(shares: Iterable[tuple[float, str]], title: str) -> str:
    """A bar of shares of 1, each with its class; what is left stays empty. ``title`` is what it says in words."""
    parts, at = [], 0.0
    for share, kind in shares:
        wide = max(0.0, min(100.0 - at, share * 100))
        parts.append(f'<rect class="{kind}" x="{at:.2f}" width="{wide:.2f}" height="10"/>' if wide else "")
        at += wide
    head = f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{title}">'
    return f'{head}<title>{title}</title><rect class="track" width="100" height="10"/>{"".join(parts)}</svg>'
