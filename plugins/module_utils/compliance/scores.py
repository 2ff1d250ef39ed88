# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of a framework's weight the evidence bears out. It is evidence, and never the award of a level; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from .findings import Finding
from .profiles import Objective, Scoring

_ASSESSED = ("pass", "fail", "error")


def scores(scoring: Iterable[Scoring], findings: Sequence[Finding]) -> tuple[dict[str, Any], ...]:
    """``{framework, title, source, of, score}`` each, where ``of`` has ``{objective, title, weight, passed, assessed, score}``.

    An objective's score is the share of the assessed findings that pass, null where none was assessed; a waived fail is a fail.
    The whole is the mean by weight over all objectives that have a weight, and one that was not assessed adds nothing: what
    is not known does not count as reached. It is null where no weight is known or nothing was assessed.
    """
    return tuple(_score(one, findings) for one in scoring)


def _score(scoring: Scoring, findings: Sequence[Finding]) -> dict[str, Any]:
    of = [_objective(scoring.framework, objective, findings) for objective in scoring.objectives]
    weight = sum(one["weight"] for one in of)
    known = any(one["assessed"] for one in of) and weight > 0
    whole = sum(one["weight"] * (one["score"] or 0.0) for one in of) / weight if known else None
    score = None if whole is None else round(whole, 4)
    return {"framework": scoring.framework, "title": scoring.title, "source": scoring.source, "of": of, "score": score}


def _objective(framework: str, objective: Objective, findings: Sequence[Finding]) -> dict[str, Any]:
    counted = [
        finding
        for finding in findings
        if finding.result in _ASSESSED
        and any(
            clause.framework == framework and any(fnmatchcase(clause.clause, pattern) for pattern in objective.clauses)
            for clause in finding.clauses
        )
    ]
    passed = sum(finding.result == "pass" for finding in counted)
    return {
        "objective": objective.objective,
        "title": objective.title,
        "weight": objective.weight,
        "passed": passed,
        "assessed": len(counted),
        "score": round(passed / len(counted), 4) if counted else None,
    }
