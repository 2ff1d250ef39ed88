# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as one HTML page that needs nothing from elsewhere. Pure; the same report gives the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ...page.frame import frame
from ...page.map import Map, Mark, pairs, place_of
from ...page.pieces import cells, section, share_bar, table, tiles
from ...shown import mapping, mappings, number, plain, whole, written
from .listing import kind_of, listing
from .scopes import scope_words
from .style import SHEET

Report = Mapping[str, Any]
_KEYS = (("good", "all pass"), ("bad", "fails, and how many"), ("warn", "waived, or not judged"), ("none", "no finding"))


def html(report: Report) -> str:
    """The page. Texts of others are shown as they are, never as markup.

    :param report: as docs/schemas/findings.schema.json describes it
    """
    findings = mappings(report, "findings")
    kinds = Counter(kind_of(one) for one in findings)
    name = plain(report.get("federation")) or "the federation"
    parts = [
        _over(report, kinds),
        f"<h1>{escape(verdict(name, kinds))}</h1>",
        _tiles(kinds),
        _map(report, findings),
        _scores(report),
        _changes(report),
        _waivers(report),
        listing(findings),
        f"<footer>{_foot(report)}</footer>",
    ]
    return frame(f"Compliance of {name}", SHEET, parts)


def verdict(name: str, kinds: Mapping[str, int]) -> str:
    """What came of it, as one sentence. What could not be judged is never told as good."""
    judged = kinds.get("pass", 0) + kinds.get("fail", 0) + kinds.get("waived", 0)
    unknown = kinds.get("error", 0) + kinds.get("not_assessed", 0)
    open_fails, waived = kinds.get("fail", 0), kinds.get("waived", 0)
    told = (
        f"{open_fails} of {judged} findings fail" if open_fails else f"all {judged} findings pass" if not waived else "no open fail"
    )
    told = told if judged else "nothing could be judged"
    told += f", {waived} more {'is' if waived == 1 else 'are'} waived" if waived else ""
    told += f"; {unknown} could not be judged" if unknown and judged else ""
    return f"{name[:60]}: {told}"


def _over(report: Report, kinds: Mapping[str, int]) -> str:
    bad, unknown = kinds.get("fail", 0), kinds.get("error", 0) + kinds.get("not_assessed", 0)
    colour, word = ("bad", "fails") if bad else ("warn", "incomplete") if unknown or not kinds else ("good", "passes")
    words = [plain(mapping(report, "profile").get("title")), f"evidence of {written(report.get('generated'))}"]
    return f'<p class="over"><span class="badge {colour}">{word}</span> {escape(" · ".join(filter(None, words)))}</p>'


def _tiles(kinds: Mapping[str, int]) -> str:
    names = ("Fail", "Waived", "Error", "Not assessed", "Pass", "Not applicable")
    colours = {"fail": "bad", "waived": "warn", "error": "warn", "pass": "good"}
    keys = [name.lower().replace(" ", "_") for name in names]
    return tiles((name, str(kinds.get(key, 0)), colours.get(key, "") if kinds.get(key) else "") for name, key in zip(names, keys))


def _map(report: Report, findings: Sequence[Report]) -> str:
    sites = {plain(site.get("name")): site for site in mappings(report, "sites")}
    kinds: dict[str, Counter[str]] = {name: Counter() for name in sites}
    for one in findings:
        site = plain(one["subject"].get("site"))
        if site in kinds:
            kinds[site][kind_of(one)] += 1
    found = {name: place_of(site) for name, site in sites.items()}
    places = {name: place for name, place in found.items() if place is not None}
    if not places:
        return ""
    marks = [_mark(sites[name], kinds[name]) for name in places]
    links = pairs(mappings(report, "links"), places)
    picture = Map(places).svg(marks, links, f"Map of {len(places)} sites")
    key = "".join(f'<span><b class="{kind if kind != "none" else "soft"}">●</b> {word}</span>' for kind, word in _KEYS)
    lost = ", ".join(name for name in sites if name not in places)
    lost = f"<p>Not on the map, as their coordinates are not known: {escape(lost)}</p>" if lost else ""
    return section(
        "Sites",
        f'<div class="wide">{picture}</div><p class="key">{key}<span>— round trip, the less of both directions</span></p>{lost}',
    )


def _mark(site: Report, kinds: Mapping[str, int]) -> Mark:
    fails, doubt = kinds["fail"], kinds["waived"] + kinds["error"] + kinds["not_assessed"]
    state = "bad" if fails else "warn" if doubt else "good" if kinds["pass"] else "none"
    place = ", ".join(filter(None, (plain(site.get("city")), plain(site.get("country")))))
    told = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(kinds.items()))
    name = plain(site.get("name"))
    return Mark(name, place, state, str(fails) if fails else "", f"{name}, {plain(site.get('provider'))}: {told or 'no finding'}")


def _scores(report: Report) -> str:
    blocks = []
    for score in mappings(report, "scores"):
        title = f"{plain(score.get('title'))}{_score(score)}"
        rows = []
        for one in mappings(score, "of"):
            value, assessed = number(one, "score"), whole(one, "assessed")
            told = f"{whole(one, 'passed')} of {assessed}" if assessed else "not assessed"
            words = f"{plain(one.get('objective'))} {plain(one.get('title'))}"
            line = share_bar([(value or 0.0, "full")], escape(f"{words}: {told}"))
            weight = f", weight {one['weight']:g}" if number(one, "weight") is not None else ""
            figure = "–" if value is None or not assessed else f"{100 * value:.0f} %"
            rows.append(
                f'<div><span>{escape(words)}</span>{line}<span class="n" title="{escape(told + weight)}">{figure}</span></div>'
            )
        blocks.append(f'<h3>{escape(title)}</h3><div class="scores">{"".join(rows)}</div>')
    note = '<p class="soft">Shares of what was assessed, by the framework\'s weights: evidence, never an award of a level.</p>'
    return section("Scores", "".join(blocks) + note) if blocks else ""


def _score(score: Report) -> str:
    value = number(score, "score")
    return "" if value is None else f": {100 * value:.1f} %"


def _changes(report: Report) -> str:
    changes = mapping(report, "changes")
    if not changes.get("previous"):
        return ""
    told = []
    for kind, sign, word in (
        ("new_fails", "fail", "✗ fails now"),
        ("fixed", "pass", "✓ fixed"),
        ("other", "not_assessed", "→ changed"),
    ):
        for one in mappings(changes, kind):
            subject = mapping(one, "subject")
            way = f": {_before(one.get('before'))} → {_before(one.get('after'))}" if kind == "other" else ""
            text = f"{plain(one.get('control'))} of {plain(subject.get('type'))} {plain(subject.get('name'))}{way}"
            told.append(f'<li><span class="tag {sign}">{word}</span> {escape(text)}</li>')
    body = f'<ul class="changes">{"".join(told[:200])}</ul>' if told else "<p>Nothing is different.</p>"
    more = f"<p>and {len(told) - 200} more in findings.json</p>" if len(told) > 200 else ""
    return section(f"Since {escape(written(changes['previous']))}", body + more)


def _before(result: Any) -> str:
    return plain(result).replace("_", " ") or "not there"


def _waivers(report: Report) -> str:
    rows = []
    for waiver in sorted(mappings(report, "waivers"), key=lambda one: (plain(one.get("expires")), plain(one.get("control")))):
        state, sign = (
            ("expired", "fail") if waiver.get("expired") else ("due soon", "waived") if waiver.get("due") else ("holds", "soft")
        )
        rows.append(
            cells(
                f'<span class="tag {sign}">{state}</span>',
                f"<strong>{escape(plain(waiver.get('control')))}</strong>",
                escape(scope_words(waiver.get("scope"))),
                escape(plain(waiver.get("owner"))),
                f"#{escape(plain(waiver.get('expires')))}",
                escape(plain(waiver.get("reason"))),
            )
        )
    heads = ("", "control", "scope", "owner", "#until", "reason")
    return section("Waivers", table("Those that end next come first", heads, rows)) if rows else ""


def _foot(report: Report) -> str:
    profile = mapping(report, "profile")
    words = [
        f"Profile {plain(profile.get('name'))}, judged as of {plain(report.get('today'))}",
        "the same findings are in findings.json, assessment-results.json (OSCAL) and junit.xml",
        "made by virt8ra.federation",
    ]
    return escape(" · ".join(words))
