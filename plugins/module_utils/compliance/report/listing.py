# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings of a page, grouped by their controls, with their evidence folded away. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from ...page.pieces import section
from ...shown import mapping, mappings, plain
from .lines import compact
from .style import KINDS

# What a page shows of one piece; findings.json has all of it.
_SHOWN = 3000
_WORDS = {
    "fail": ("✗", "fail"),
    "waived": ("⚑", "waived"),
    "error": ("!", "error"),
    "not_assessed": ("?", "not assessed"),
    "pass": ("✓", "pass"),
    "not_applicable": ("–", "not applicable"),
}
_ORDER = {kind: place for place, kind in enumerate(_WORDS)}
_FILTERS = {"fail": "fail", "waived": "waived", "error": "unknown", "not_assessed": "unknown", "pass": "pass"}

Finding = Mapping[str, Any]


def kind_of(one: Finding) -> str:
    """Its result, or ``waived`` for a fail that a waiver covers."""
    return "waived" if one.get("waived") and one["result"] == "fail" else str(one["result"])


def listing(findings: Sequence[Finding]) -> str:
    """The section of all findings; empty where there are none."""
    shown: dict[int, str] = {}
    controls = "".join(_control(list(group), shown) for _name, group in groupby(findings, key=lambda one: one["control"]))
    counts = Counter(_FILTERS.get(kind_of(one), "") for one in findings)
    counts["all"] = len(findings)
    radios = "".join(
        f'<input class="filter" type="radio" name="show" id="show-{kind}"{" checked" if kind == "all" else ""} aria-label="{word}">'
        for kind, word in KINDS
    )
    labels = "".join(f'<label for="show-{kind}">{word} {counts[kind]}</label>' for kind, word in KINDS)
    body = f'{radios}<div class="filters" aria-hidden="true">{labels}</div><div class="controls">{controls}</div>'
    return section("Findings", body) if controls else ""


def _control(findings: Sequence[Finding], shown: dict[int, str]) -> str:
    first = findings[0]
    kinds = Counter(kind_of(one) for one in findings)
    has = " ".join(sorted({f"has-{_FILTERS[kind]}" for kind in kinds if kind in _FILTERS}))
    told = " · ".join(f"{kinds[kind]} {_WORDS[kind][1]}" for kind in _WORDS if kinds[kind])
    worst = next(kind for kind in _WORDS if kinds[kind])
    severity = plain(first.get("severity"))
    clauses = "; ".join(
        f"{plain(clause.get('framework'))} {plain(clause.get('clause'))}".strip() for clause in mappings(first, "clauses")
    )
    words = [plain(first.get("how")), clauses, f"judged with {_cut(first['parameters'])}" if first.get("parameters") else ""]
    remedy = f"<p>Remedy: {escape(plain(first['remedy']))}</p>" if first.get("remedy") and kinds["fail"] else ""
    # Those to look at come first; within each kind the order of the report stays.
    order = sorted(findings, key=lambda one: _ORDER[kind_of(one)])
    return (
        f'<details class="control {has}"{" open" if worst == "fail" and len(findings) <= 40 else ""}><summary>'
        f'<span class="id">{escape(plain(first["control"]))}</span><span class="title">{escape(plain(first.get("title")))}</span>'
        f'<span class="severity {escape(severity)}">{escape(severity)}</span>'
        f'<span class="counts"><span class="tag {worst}">{_WORDS[worst][0]}</span> {told}</span></summary><div class="within">'
        f"<p>{escape(' · '.join(filter(None, words)))}</p>{remedy}{''.join(_finding(one, shown) for one in order)}</div></details>"
    )


def _finding(one: Finding, shown: dict[int, str]) -> str:
    subject, kind = one["subject"], kind_of(one)
    sign, word = _WORDS[kind]
    site = plain(subject.get("site"))
    at = f" at {site}" if site and subject.get("type") != "site" else ""
    who = f"{plain(subject.get('type'))} {plain(subject.get('name'))}{at}"
    return (
        f'<details class="finding {kind} is-{_FILTERS.get(kind, "none")}"><summary><span class="tag {kind}">{sign} {word}</span>'
        f'<span class="who">{escape(who)}</span><span class="why">{escape(plain(one.get("reason")))}</span></summary>'
        f"{_offending(one)}{_waiver(one)}{_evidence(mapping(one, 'evidence'), shown)}</details>"
    )


def _offending(one: Finding) -> str:
    items = one.get("offending") or ()
    told = "".join(f"<li>{escape(_cut(item))}</li>" for item in items[:50])
    more = f"<li>and {len(items) - 50} more</li>" if len(items) > 50 else ""
    return f"<ul>{told}{more}</ul>" if told else ""


def _waiver(one: Finding) -> str:
    waiver = mapping(one, "waiver")
    if not waiver:
        return ""
    until = "until" if one.get("waived") else "expired on"
    told = f"Waiver of {plain(waiver.get('owner'))}, {until} {plain(waiver.get('expires'))}: {plain(waiver.get('reason'))}"
    return f'<p class="warn">{escape(told)}</p>'


def _evidence(evidence: Mapping[str, Any], shown: dict[int, str]) -> str:
    """Many findings share a fact: it is written once, and looked up by its identity, which lasts as long as the report."""
    told = []
    for area in sorted(evidence):
        fact = evidence[area]
        if id(fact) not in shown:
            shown[id(fact)] = _fact(fact)
        told.append(f"<p>{escape(plain(area))}: {shown[id(fact)]}")
    return "".join(told) or "<p>There is no evidence.</p>"


def _fact(fact: Any) -> str:
    if not isinstance(fact, Mapping) or "how" not in fact:
        return f"as attested in the federation file</p><pre>{escape(_cut(fact))}</pre>"
    how = f"got by <code>{escape(plain(fact['how']))}</code></p>"
    if "error" in fact:
        return f"{how}<p>{escape(plain(fact['error']))}</p>"
    missing = "".join(f"<p>missing: {escape(plain(why))}</p>" for why in fact.get("missing", ()))
    return f"{how}<pre>{escape(_cut(fact.get('data')))}</pre>{missing}"


def _cut(value: Any) -> str:
    text = plain(value if isinstance(value, str) else compact(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text) - _SHOWN} more characters in findings.json)"
