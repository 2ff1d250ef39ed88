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
