# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m tests.benchmarks [name …]``: run the benchmarks, print a table, write build/bench/summary.json.

A benchmark is a module of this package with ``run(lab: Lab) -> list[Row]``. The exit status is 1 when a bar is missed.
BENCH_REPEATS (5) and BENCH_SLOW_REPEATS (5, where one run takes minutes) shorten it.
"""

from __future__ import annotations

import importlib
import json
import sys

from .bench import ROOT, Lab, Row

BENCHMARKS = ("inventory", "placement", "migration", "replication", "export", "objects", "volumes", "compliance", "evidence")


def main(names: list[str]) -> int:
    lab = Lab.read()
    rows: list[Row] = []
    for name in names or BENCHMARKS:
        print(f"==> {name}", flush=True)
        rows.extend(importlib.import_module(f"{__package__}.{name}").run(lab))
    print(table(rows))
    summary = ROOT / "build" / "bench" / "summary.json"
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text(json.dumps([row.to_dict() for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.holds for row in rows) else 1


def table(rows: list[Row]) -> str:
    width = max([len(row.name) for row in rows], default=4)
    lines = [f"{'what':<{width}}  {'ours':>9}  {'peer':>9}  {'ratio':>7}  {'bar':>7}"]
    for row in rows:
        goal = f"{'≤' if row.at_most else '≥'} {row.goal:g}"
        verdict = "holds" if row.holds else "MISSED"
        lines.append(f"{row.name:<{width}}  {row.ours:>9.3f}  {row.peer:>9.3f}  {row.ratio:>7.2f}  {goal:>7}  {verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
