# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is different from the previous report; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import InputError
from .findings import SCHEMA, Finding

Key = tuple[str, str, str, str]
NOTHING: dict[str, Any] = {"previous": None, "new_fails": [], "fixed": [], "other": []}


def read_previous(text: str, option: str = "previous") -> dict[str, Any] | None:
    """The previous findings.json; None for an empty text; InputError for what is none."""
    if not text.strip():
        return None
    try:
        report = json.loads(text)
    except ValueError as error:
        raise InputError(f"is no JSON ({error})", option=option, remedy="name a findings.json, or none") from None
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        found = report.get("schema") if isinstance(report, dict) else None
        raise InputError(f"is no report of {SCHEMA}", option=option, value=found, remedy="name a findings.json, or none")
    return report


def results(report: Mapping[str, Any] | None) -> dict[str, str]:
    """The result of each finding, as people compare them; empty for no report."""
    findings = [] if report is None else report["findings"]
    return {
        f"{one['control']} of {one['subject']['type']} {one['subject']['name']} at {one['subject']['site']}": one["result"]
        for one in findings
    }


def changes(previous: Mapping[str, Any] | None, findings: Iterable[Finding], generated: str = "") -> dict[str, Any]:
    """``{previous, new_fails, fixed, other}``, lists of ``{control, subject, before, after}``.

    ``before`` or ``after`` is null for what was not judged then, or is not any more. Fixed is only what passes now.
    A report of the same evidence with the same results is not a previous one but this one, and keeps what it told.

    :param generated: of the new report
    """
    if previous is None:
        return {key: list(value) if isinstance(value, list) else value for key, value in NOTHING.items()}
    before = {_key(one["control"], one["subject"]): one["result"] for one in previous.get("findings", ())}
    after = {finding.key: finding.result for finding in findings}
    if before == after and previous.get("generated") == generated and isinstance(previous.get("changes"), dict):
        return dict(previous["changes"])
    told: dict[str, Any] = {"previous": previous.get("generated"), "new_fails": [], "fixed": [], "other": []}
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old != new:
            kind = "new_fails" if new == "fail" else "fixed" if (old, new) == ("fail", "pass") else "other"
            subject = {"type": key[1], "name": key[3], "site": key[2]}
            told[kind].append({"control": key[0], "subject": subject, "before": old, "after": new})
    return told


def _key(control: str, subject: Mapping[str, str]) -> Key:
    return control, subject["type"], subject["site"], subject["name"]
