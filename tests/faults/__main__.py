# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make faults`: every case, as a table, and build/faults.json. FAULTS_ONLY=TEXT takes those whose line holds the text."""

from __future__ import annotations

import json
import os
import sys

from tests.integration.lab import ROOT, Lab

from .case import carry_out
from .matrix import every


def main() -> int:
    lab = Lab()
    wanted = os.environ.get("FAULTS_ONLY", "")
    plans = [plan for plan in every() if wanted in str(plan)]
    results = []
    for number, plan in enumerate(plans, 1):
        result = carry_out(lab, plan)
        results.append(result)
        verdict = "survived" if result["survived"] else f"NOT SURVIVED: {result['why'][:600]}"
        print(
            f"{number:3d}/{len(plans)}  {plan.mode:4s}  {plan.phase:12s}  {plan.fault:26s}  {plan.then:7s}  {result['seconds']:6.1f} s  {verdict}",
            flush=True,
        )
        (ROOT / "build" / "faults.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    survived = sum(result["survived"] for result in results)
    print(f"{len(results)} faults, {survived} survived")
    return 0 if results and survived == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
