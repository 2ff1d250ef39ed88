# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run's figures in the text format that node_exporter's textfile collector reads; pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .outcome import RESULTS, failing

STATUSES = ("clean", "findings", "error")
PREFIX = "virt8ra_compliance"

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


@dataclass(frozen=True)
class Run:
    """How the last run went: times in seconds since 1970, ``seconds`` that it took."""

    status: str
    ended: float
    seconds: float
    last_report: float  # when a run last gave a report; 0 where none ever did
    new_fails: int


def text(run: Run, report: Mapping[str, Any] | None) -> str:
    """The whole file. Without a report only the run is told of, so that old figures do not look new."""
    parts = [
        _metric("last_run_timestamp_seconds", "When the last run ended.", [({}, run.ended)]),
        _metric("last_report_timestamp_seconds", "When a run last gave a report; 0 for never.", [({}, run.last_report)]),
        _metric("run_seconds", "How long the last run took.", [({}, run.seconds)]),
        _metric("run_status", "1 for how the last run ended.", [({"status": one}, float(one == run.status)) for one in STATUSES]),
        _metric("new_fails", "Findings that fail since the last run, without waivers.", [({}, run.new_fails)]),
    ]
    if report is not None:
        parts += _of_report(report)
    return "".join(parts)


def _of_report(report: Mapping[str, Any]) -> list[str]:
    findings = report["findings"]
    results = Counter(str(one.get("result")) for one in findings)
    unwaived = Counter((str((one.get("subject") or {}).get("site")), str(one.get("severity"))) for one in failing(report))
    waivers = report.get("waivers") or []
    scores = [one for one in report.get("scores") or [] if isinstance(one.get("score"), (int, float))]
    return [
        _metric("findings", "Findings by result.", [({"result": one}, results[one]) for one in RESULTS]),
        _metric("waived", "Findings that fail and are waived.", [({}, sum(bool(one.get("waived")) for one in findings))]),
        _metric(
            "failing",
            "Findings that fail without a waiver, by site and severity.",
            [({"site": site, "severity": severity}, count) for (site, severity), count in sorted(unwaived.items())],
        ),
        _metric("score", "Score by framework, of what was assessed; evidence, not an award.", _first_of_each(scores)),
        _metric("waivers_due", "Waivers that expire soon.", [({}, sum(bool(one.get("due")) for one in waivers))]),
        _metric("waivers_expired", "Waivers that are over.", [({}, sum(bool(one.get("expired")) for one in waivers))]),
    ]


def _first_of_each(scores: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """A label set may stand once only, or the collector refuses the whole file."""
    seen: dict[str, float] = {}
    for one in scores:
        seen.setdefault(str(one.get("framework")), float(one["score"]))
    return [({"framework": name}, value) for name, value in sorted(seen.items())]


def _metric(name: str, told: str, samples: Iterable[Sample]) -> str:
    lines = [f"{PREFIX}_{name}{_labels(labels)} {_number(value)}\n" for labels, value in samples]
    return f"# HELP {PREFIX}_{name} {told}\n# TYPE {PREFIX}_{name} gauge\n" + "".join(lines) if lines else ""


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    """As the format wants it; a lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
    whole = value.encode("utf-8", "replace").decode("utf-8")
    return whole.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
