# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is known of a federation to the report on it; pure, apart from pages that are fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ComplianceError, FindingsFailed, InputError
from ..latency import Latency
from ..model import Site
from ..waivers import Waiver
from .controls import SEVERITIES, Control
from .deriving import add_fallbacks, add_inventories, add_round_trips, add_vms
from .drift import changes
from .findings import Finding, Report
from .judging import Case, judge
from .profiles import Profile
from .public_pages import add_public_pages
from .scores import scores
from .subjects import read_subjects
from .waivers import shown

_NAMED = 5


@dataclass(frozen=True)
class Known:
    """All that a report is made of; ``evidence`` and ``vms`` as they were given, ``today`` ISO 8601."""

    federation: str
    sites: tuple[Site, ...]
    evidence: Sequence[Any]
    vms: Sequence[Any]
    latencies: tuple[Latency, ...]
    controls: tuple[Control, ...]
    profile: Profile
    waivers: tuple[Waiver, ...]
    today: str
    previous: dict[str, Any] | None = None
    fetch_pages: bool = False


def assess(known: Known) -> Report:
    """InputError for what cannot be meant, before anything is judged."""
    if not known.sites:
        raise InputError("has no site", option="sites", remedy="give federation_site of the hosts of the inventory")
    chosen = known.profile.chosen(known.controls)
    subjects, newest = read_subjects(known.evidence, known.sites)
    add_vms(subjects, known.vms)
    add_fallbacks(subjects, known.sites, known.today)
    add_inventories(subjects, known.sites)
    add_round_trips(subjects, known.sites, known.latencies)
    if known.fetch_pages:
        add_public_pages(subjects, known.sites, known.today)
    ids = frozenset(control.id for control in known.controls)
    found = judge(Case(known.federation, known.sites, chosen, known.waivers, known.today, ids), subjects)
    measured = [newest, *(latency.measured_at for latency in known.latencies)]
    generated = max(measured) or f"{known.today}T00:00:00Z"
    return Report(
        generated=generated,
        today=known.today,
        profile={"name": known.profile.name, "title": known.profile.title, "controls": [control.id for control in chosen]},
        federation=known.federation,
        sites=tuple(_place(site) for site in sorted(known.sites, key=lambda site: site.name)),
        links=_links(known.latencies),
        findings=tuple(found),
        scores=scores(known.profile.scoring, found),
        waivers=shown(known.waivers, known.today),
        changes=changes(known.previous, found, generated),
    )


def _place(site: Site) -> dict[str, Any]:
    keys = ("name", "provider", "country", "city", "latitude", "longitude")
    return {key: getattr(site, key) for key in keys}


def _links(latencies: Iterable[Latency]) -> tuple[dict[str, Any], ...]:
    """The shortest round trip between each two sites, whichever end measured it."""
    shortest: dict[tuple[str, str], float] = {}
    for latency in latencies:
        source, target = sorted((latency.source_site, latency.target_site))
        if source and source != target:
            shortest[source, target] = min(shortest.get((source, target), latency.min_ms), latency.min_ms)
    return tuple({"source": source, "target": target, "rtt_ms": rtt} for (source, target), rtt in sorted(shortest.items()))


def failing(findings: Iterable[Finding], fail_on: str) -> list[Finding]:
    """The fails of that severity or a higher one that no waiver covers; none for ``never``."""
    if fail_on == "never":
        return []
    least = SEVERITIES.index(fail_on)
    return [one for one in findings if one.result == "fail" and not one.waived and SEVERITIES.index(one.severity) >= least]


def reached(findings: Iterable[Finding], fail_on: str, result: dict[str, Any]) -> dict[str, Any]:
    """The module's result with its verdict; FindingsFailed, with the same result as its details, where the run fails."""
    found = failing(findings, fail_on)
    names = [f"{one.control} of {one.subject['name']} at {one.subject['site']}" for one in sorted(found, key=lambda one: one.key)]
    whole = {**result, "verdict": "fail" if found else "pass", "failing": names}
    if found:
        error = FindingsFailed(f"{len(names)} findings fail at severity {fail_on} or above: {', '.join(names[:_NAMED])}")
        error.details = {key: value for key, value in whole.items() if key != "diff"}
        raise error
    return whole


def check_errors(findings: Iterable[Finding]) -> None:
    """ComplianceError where a control itself could not be evaluated, which is no finding about a subject."""
    broken = [finding for finding in findings if finding.result == "error"]
    if broken:
        first = broken[0]
        what = f"{len(broken)} findings could not be evaluated, first {first.control} of {first.subject['name']} ({first.reason})"
        raise ComplianceError(what, option="controls", remedy="mend the expression of the control, or what was measured")
