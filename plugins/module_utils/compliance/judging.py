# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controls judged of subjects; pure. What is not known is never a pass.

Whether a control applies is asked first, as soon as what its ``when`` reads is known: what does not apply needs no evidence.

An expression sees ``subject`` (type, name, site), ``site`` (its entry in the federation file), ``facts`` (the data of each area that was
measured), ``attestation``, ``parameters``, ``today`` and ``federation`` (``{name, sites}``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..attestations import attestation_of
from ..errors import ComplianceError, InputError
from ..model import Site
from ..waivers import Waiver
from .controls import Control
from .expression import Expression
from .findings import Finding
from .subjects import Subject
from .waivers import check_waivers, covering

_SHOWN = 3
_LONGEST = 80


@dataclass(frozen=True)
class Case:
    """All that is judged by, beside the evidence; ``today`` is ISO 8601, ``known`` the ids of all controls, chosen or not."""

    federation: str
    sites: tuple[Site, ...]
    controls: tuple[Control, ...]
    waivers: tuple[Waiver, ...]
    today: str
    known: frozenset[str]


def judge(case: Case, subjects: Iterable[Subject]) -> list[Finding]:
    """A finding for each control of the day and each subject that it applies to.

    InputError for a waiver of an unknown control, and for an attestation without expiry that a control uses.
    """
    check_waivers(case.waivers, case.known)
    controls = [control for control in case.controls if control.holds_on(case.today)]
    check_attestations(controls, case.sites)
    waivers = {control.id: [waiver for waiver in case.waivers if waiver.control == control.id] for control in controls}
    bench = _Bench(case)
    return [
        bench.finding(control, subject, waivers[control.id])
        for subject in subjects
        for control in controls
        if subject.type in control.applies_to
    ]


def check_attestations(controls: Sequence[Control], sites: Iterable[Site]) -> None:
    """InputError for the first attestation that a control uses, and that would hold for ever."""
    used = {control.attested: control.id for control in controls if control.attested}
    for site in sites:
        for index, attestation in enumerate(site.attestations):
            claim = attestation.get("claim")
            if claim in used and not attestation.get("expires"):
                option = f"attestations[{index}].expires of site {site.name}"
                remedy = f"add the last day on which {claim} holds"
                raise InputError(f"is required, as {used[claim]} uses it", option=option, remedy=remedy)


@dataclass(frozen=True)
class _Verdict:
    result: str
    reason: str
    offending: tuple[Any, ...] = ()


class _Bench:
    """What all findings have in common."""

    def __init__(self, case: Case) -> None:
        self._today = case.today
        self._sites = {site.name: site for site in case.sites}
        self._entries = {site.name: site.to_dict() for site in case.sites}
        self._federation = {"name": case.federation, "sites": list(self._entries.values())}

    def finding(self, control: Control, subject: Subject, waivers: Sequence[Waiver]) -> Finding:
        attestation = (
            attestation_of(self._sites[subject.site].attestations, control.attested, self._today) if control.attested else None
        )
        verdict = self._verdict(control, subject, attestation)
        waiver = covering(waivers, subject.label()) if verdict.result == "fail" and waivers else None
        reason = verdict.reason
        if waiver is not None and waiver.expires < self._today:
            reason = f"{reason.rstrip('.')}; the waiver of {waiver.owner} expired on {waiver.expires}."
        evidence: dict[str, Any] = {area: subject.facts[area] for area in control.needs if area in subject.facts}
        if attestation is not None:
            evidence["attestation"] = attestation
        return Finding(
            control=control.id,
            title=control.title,
            severity=control.severity,
            how=control.how,
            clauses=control.clauses,
            subject=subject.label(),
            result=verdict.result,
            reason=reason,
            offending=verdict.offending,
            parameters=control.parameters,
            evidence=evidence,
            remedy=control.remedy,
            waiver=None if waiver is None else waiver.to_dict(),
            waived=waiver is not None and waiver.expires >= self._today,
        )

    def _verdict(self, control: Control, subject: Subject, attestation: dict[str, Any] | None) -> _Verdict:
        seen = {
            "subject": subject.label(),
            "site": self._entries[subject.site],
            "facts": {area: fact["data"] for area, fact in subject.facts.items() if "data" in fact},
            "attestation": attestation,
            "parameters": control.parameters,
            "today": self._today,
            "federation": self._federation,
        }
        try:
            asked = control.when if control.when and not self._unknown(control, subject, attestation, control.when) else None
            if asked is not None and self._give(asked, seen) in (None, False):
                return _Verdict("not_applicable", "It does not apply to what was found here.")
            unknown = self._unknown(control, subject, attestation)
            if unknown:
                return _Verdict("not_assessed", _sentence(unknown))
            if attestation is not None and self._expired(attestation):
                return _Verdict(
                    "fail", f"The attestation of {control.attested} expired on {attestation['expires']}.", (attestation,)
                )
            return self._judged(control, subject, seen)
        except ComplianceError as error:
            return _Verdict("error", _sentence(error.sentence()))

    def _expired(self, attestation: dict[str, Any]) -> bool:
        return bool(attestation["expires"] < self._today)

    def _unknown(
        self, control: Control, subject: Subject, attestation: dict[str, Any] | None, asked: Expression | None = None
    ) -> str:
        """Why it cannot be judged, or why one expression of it cannot be asked; empty where it can."""
        areas = None if asked is None else asked.reads("facts")
        attested = bool(control.attested) and (asked is None or asked.reads("attestation") != frozenset())
        needs = [area for area in control.needs if areas is None or area in areas]
        if subject.fault and (asked is None or areas != frozenset()):
            return subject.fault
        if attested and (attestation is None or (asked is not None and self._expired(attestation))):
            return f"site {subject.site} has no attestation of {control.attested}"
        for area in needs:
            fact = subject.facts.get(area)
            if fact is None:
                return f"{area} was not measured" + (f": {subject.silence}" if subject.silence else "")
            if "error" in fact:
                return f"{area} could not be measured: {fact['error']}"
        return ""

    def _judged(self, control: Control, subject: Subject, seen: dict[str, Any]) -> _Verdict:
        passed = self._give(control.passes, seen)
        if passed is None:
            return _Verdict("not_assessed", "The expression gave nothing.")
        if not isinstance(passed, bool):
            return _Verdict("error", f"The expression gave {_short(passed)}, which is neither true nor false.")
        if not passed:
            found = self._give(control.offending, seen)
            offending = tuple(found) if isinstance(found, list) else () if found is None else (found,)
            return _Verdict("fail", _failed(control.reason, offending), offending)
        for area in control.needs:
            for why in subject.facts[area].get("missing", ()):
                return _Verdict("not_assessed", _sentence(f"{area} could not be measured everywhere: {why}"))
        told = self._give(control.tells, seen)
        return _Verdict("pass", _sentence(told if isinstance(told, str) else control.title))

    def _give(self, expression: Expression | None, seen: dict[str, Any]) -> Any:
        return None if expression is None else expression.search(seen, self._today)


def _failed(reason: str, offending: Sequence[Any]) -> str:
    if not offending:
        return _sentence(reason)
    shown = ", ".join(_short(item) for item in offending[:_SHOWN])
    more = f" and {len(offending) - _SHOWN} more" if len(offending) > _SHOWN else ""
    return _sentence(f"{reason.rstrip('.')}: {shown}{more}")


def _short(value: Any) -> str:
    """On one line; the first values of a mapping tell most."""
    if isinstance(value, dict):
        value = " ".join(str(item) for item in value.values() if isinstance(item, (str, int, float)) and item != "")
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line[:1].upper() + line[1:] + ("" if line.endswith((".", "!", "?", "…")) else ".")
