# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as JUnit XML, for CI: a suite for each family of controls, a case for each finding. Pure; the same bytes for the same report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ...shown import mapping, mappings, plain
from .lines import compact

_TAGS = {"fail": "failure", "error": "error", "not_assessed": "skipped", "not_applicable": "skipped", "waived": "skipped"}
_MARKS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_SECOND = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")


def junit(report: Mapping[str, Any]) -> str:
    """The text of junit.xml. A fail that a waiver covers is skipped, with the waiver as its message; it is never a passed case."""
    findings = mappings(report, "findings")
    found = _SECOND.match(plain(report.get("generated")))
    suites = [_suite(family, list(group), found[0] if found else "") for family, group in groupby(findings, key=_family)]
    name = f"{plain(report.get('federation'))}: {plain(mapping(report, 'profile').get('title'))}"
    head = f'<testsuites name="{_escaped(name)}" {_counts(findings)} time="0">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *suites, "</testsuites>", ""])


def _family(one: Mapping[str, Any]) -> str:
    """``LOC`` of ``LOC-01``."""
    return plain(one.get("control")).rsplit("-", 1)[0]


def _kind(one: Mapping[str, Any]) -> str:
    return "waived" if one.get("waived") and one["result"] == "fail" else plain(one["result"])


def _counts(findings: Sequence[Mapping[str, Any]]) -> str:
    tags = Counter(_TAGS.get(_kind(one)) for one in findings)
    return f'tests="{len(findings)}" failures="{tags["failure"]}" errors="{tags["error"]}" skipped="{tags["skipped"]}"'


def _suite(family: str, findings: Sequence[Mapping[str, Any]], moment: str) -> str:
    stamp = f' timestamp="{moment}"' if moment else ""
    head = f'<testsuite name="{_escaped(family)}" {_counts(findings)} time="0"{stamp}>'
    return "\n".join([head, *(_case(one) for one in findings), "</testsuite>"])


def _case(one: Mapping[str, Any]) -> str:
    subject, kind = mapping(one, "subject"), _kind(one)
    at = f" at {plain(subject.get('site'))}" if subject.get("site") and subject.get("type") != "site" else ""
    name = f"{plain(one.get('title'))}: {plain(subject.get('type'))} {plain(subject.get('name'))}{at}"
    head = f'<testcase classname="{_escaped(one.get("control"))}" name="{_escaped(name)}" time="0"'
    tag = _TAGS.get(kind)
    if tag is None:
        return f"{head}/>"
    if tag == "skipped":
        return f'{head}><skipped message="{_escaped(_why_skipped(one, kind))}"/></testcase>'
    told = [plain(one.get("reason"))]
    told += [f"offending: {plain(item if isinstance(item, str) else compact(item))}" for item in one.get("offending") or ()]
    told += [f"remedy: {plain(one['remedy'])}"] if one.get("remedy") else []
    text = "\n".join(_escaped(line) for line in told)
    return f'{head}><{tag} message="{_escaped(one.get("reason"))}" type="{_escaped(one.get("severity"))}">{text}</{tag}></testcase>'


def _why_skipped(one: Mapping[str, Any], kind: str) -> str:
    if kind != "waived":
        return f"{kind.replace('_', ' ')}: {plain(one.get('reason'))}"
    waiver = mapping(one, "waiver")
    until = f"until {plain(waiver.get('expires'))} by {plain(waiver.get('owner'))}: {plain(waiver.get('reason'))}"
    return f"fails, and is waived {until}; {plain(one.get('reason'))}"


def _escaped(value: Any) -> str:
    """What XML cannot hold is replaced, as everything is that cannot be printed."""
    return plain(value).translate(_MARKS)
