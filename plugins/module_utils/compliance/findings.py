# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was found, and the report of it all: the schema ``virt8ra.federation/findings/1``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..errors import ComplianceError
from ..portable import Portable
from .controls import Clause

SCHEMA = "virt8ra.federation/findings/1"
RESULTS = ("pass", "fail", "not_applicable", "not_assessed", "error")


@dataclass(frozen=True)
class Finding(Portable):
    """One control judged of one subject.

    ``subject``: ``{type, name, site}``. ``evidence``: the facts by their areas, as they were gathered. ``waived``: a fail that
    a waiver covers today; it stays a fail.
    """

    control: str
    title: str
    severity: str
    how: str
    clauses: tuple[Clause, ...]
    subject: dict[str, str]
    result: str
    reason: str
    offending: tuple[Any, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    remedy: str = ""
    waiver: dict[str, Any] | None = None
    waived: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """By which findings are sorted and compared: control, type, site, name."""
        return self.control, self.subject["type"], self.subject["site"], self.subject["name"]

    def to_dict(self) -> dict[str, Any]:
        """Its evidence and its parameters are not copied: many findings share them."""
        shallow = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**shallow, "clauses": [clause.to_dict() for clause in self.clauses], "offending": list(self.offending)}


@dataclass(frozen=True)
class Report(Portable):
    """The whole report; ``generated`` is the time of the newest evidence, never the clock's."""

    generated: str
    today: str
    profile: dict[str, Any]
    federation: str
    sites: tuple[dict[str, Any], ...]
    links: tuple[dict[str, Any], ...]
    findings: tuple[Finding, ...]
    scores: tuple[dict[str, Any], ...] = ()
    waivers: tuple[dict[str, Any], ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As findings.json has it. ComplianceError for a report without a finding, which would look like a good one."""
        if not self.findings:
            remedy = "give evidence of at least one subject to which a control of the profile applies"
            raise ComplianceError("there is no finding at all", option="profile", value=self.profile.get("name"), remedy=remedy)
        ordered = sorted(self.findings, key=lambda finding: finding.key)
        return {
            "schema": SCHEMA,
            "generated": self.generated,
            "today": self.today,
            "profile": self.profile,
            "federation": self.federation,
            "sites": list(self.sites),
            "links": list(self.links),
            "summary": summary(ordered),
            "scores": list(self.scores),
            "findings": [finding.to_dict() for finding in ordered],
            "waivers": list(self.waivers),
            "changes": self.changes,
        }


def summary(findings: Iterable[Finding]) -> dict[str, int]:
    """How many there are of each result, and how many of the fails are waived."""
    findings = list(findings)
    counts = Counter(finding.result for finding in findings)
    return {**{result: counts[result] for result in RESULTS}, "waived": sum(finding.waived for finding in findings)}
