# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report of findings means to somebody who was told of an earlier one; pure.

A report is the dictionary of ``findings.json``. The key of a finding is ``CONTROL TYPE NAME SITE``, each quoted as JSON, which
no name can imitate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

RESULTS = ("pass", "fail", "not_applicable", "not_assessed", "error")
SEVERITIES = ("low", "medium", "high", "critical")
TOLD_FIELDS = ("control", "title", "severity", "subject", "reason", "remedy")
MOST_TOLD = 100  # findings in one message; the rest are counted

Report = Mapping[str, Any]
Finding = Mapping[str, Any]


class ReportError(ValueError):
    """The file is there and is no report."""


def parse(text: str) -> dict[str, Any]:
    """The report; ReportError for what is none."""
    try:
        report = json.loads(text)
    except ValueError as error:
        raise ReportError(f"the report is no JSON ({error})") from error
    findings = report.get("findings") if isinstance(report, dict) else None
    if not isinstance(findings, list) or not findings or not all(isinstance(one, dict) for one in findings):
        raise ReportError("the report has no findings, and an empty report is an error")
    return dict(report)


def key(finding: Finding) -> str:
    """Names the finding from one run to the next."""
    subject = finding.get("subject") or {}
    return json.dumps([finding.get("control"), subject.get("type"), subject.get("name"), subject.get("site")])


def failing(report: Report) -> list[Finding]:
    """Those that fail and that nobody waived."""
    return [one for one in report["findings"] if one.get("result") == "fail" and not one.get("waived")]


def news(report: Report, told: Iterable[str]) -> list[Finding]:
    """Those that fail now, and of which nobody was told; the gravest first."""
    known = set(told)
    fresh = [one for one in failing(report) if key(one) not in known]
    return sorted(fresh, key=lambda one: (-_weight(one), key(one)))


def still_known(report: Report, told: Iterable[str]) -> list[str]:
    """What was told and fails yet. What was mended is forgotten, so that it is news when it comes back."""
    return sorted(set(told) & {key(one) for one in failing(report)})


def message(report: Report, fresh: list[Finding]) -> dict[str, Any]:
    """What the webhook is told, as plain data."""
    return {
        "schema": "virt8ra.federation/compliance-news/1",
        "federation": report.get("federation"),
        "generated": report.get("generated"),
        "profile": (report.get("profile") or {}).get("name"),
        "summary": dict(report.get("summary") or {}),
        "new_fails": [{name: one.get(name) for name in TOLD_FIELDS} for one in fresh[:MOST_TOLD]],
        "more": max(0, len(fresh) - MOST_TOLD),
    }


def _weight(finding: Finding) -> int:
    severity = finding.get("severity")
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1
