# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""100 hosts judged by 45 controls, and all outputs written: how long it takes, and the memory that it needs."""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.assessing import assess
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.files import write_all
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.request import read_request

from .bench import ROOT, Lab, Row, repeats

HOSTS = 100
CONTROLS = 45
SECONDS = 2.0
MEBIBYTES = 200
_PROFILES = Path(__file__).resolve().parents[2] / "roles" / "compliance" / "files" / "profiles"


def controls() -> dict[str, Any]:
    """Controls with filters and functions, a third of which fail."""
    stanzas = [
        {
            "id": f"BENCH-{number:02d}",
            "title": f"Measured control {number}",
            "clauses": [{"framework": "CSF", "clause": f"{number % 8 + 1}.{number}", "source": "benchmark"}],
            "applies_to": ["hypervisor"],
            "needs": [f"area{number % 9}"],
            "parameters": {"nets": ["192.0.2.0/24", "198.51.100.0/24"], "most": 40 if number % 3 else 1},
            "when": f"facts.area{number % 9}",
            "passes": f"length(each_with(facts.area{number % 9}, {{nets: parameters.nets, most: parameters.most}})"
            "[?!in_networks(address, nets) || age > most]) == `0`",
            "offending": f"facts.area{number % 9}[?age > `1`].name",
            "reason": "Something is too old",
            "remedy": "Renew it.",
        }
        for number in range(CONTROLS)
    ]
    return {"controls": stanzas}


def params(folder: Path) -> dict[str, Any]:
    (folder / "controls").mkdir()
    (folder / "controls" / "bench.yml").write_text(yaml.safe_dump(controls()), encoding="utf-8")
    sites = [
        {
            "name": f"site-{site}",
            "provider": "Arsys",
            "country": "ES",
            "latitude": 40.0 + site,
            "longitude": -3.0,
            "hypervisors": [{"name": f"kvm-{site}-{host}"} for host in range(HOSTS // 10)],
        }
        for site in range(10)
    ]
    areas = {
        f"area{area}": {
            "how": "libvirt",
            "data": [{"name": f"volume-{area}-{item}", "address": f"192.0.2.{item}", "age": item} for item in range(12)],
        }
        for area in range(9)
    }
    subjects = [
        {"type": "hypervisor", "name": host["name"], "site": site["name"], "facts": json.loads(json.dumps(areas))}
        for site in sites
        for host in site["hypervisors"]
    ]
    return {
        "federation": "bench",
        "sites": sites,
        "evidence": [{"collected": "2026-11-25T12:00:00Z", "subjects": [subject]} for subject in subjects],
        **{key: [] for key in ("vms", "latencies", "waivers")},
        "controls": [str(folder / "controls")],
        "profiles": [str(_PROFILES)],
        "profile": "all",
        "fail_on": "never",
        "folder": str(folder / "out"),
        **dict.fromkeys(("previous", "today", "signing_key", "signing_passphrase")),
        "public_pages": False,
    }


def measure() -> None:
    """The whole of it in this process; one line of JSON with seconds of judging and of writing, and the peak in MiB."""
    folder = Path(tempfile.mkdtemp(prefix="virt8ra-bench-"))
    try:
        given = params(folder)
        begun = time.monotonic()
        request = read_request(given, "2026-11-25")
        report = assess(request.known)
        judged = time.monotonic()
        files = write_all(report.to_dict(), request.folder).paths
        ended = time.monotonic()
    finally:
        shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {
        "judged": judged - begun,
        "written": ended - judged,
        "peak": peak,
        "findings": len(report.findings),
        "files": len(files),
    }
    print(json.dumps(told))


def run(_lab: Lab) -> list[Row]:
    """Two rows: seconds, memory."""
    runs = []
    for _repeat in range(repeats()):
        done = subprocess.run([sys.executable, "-m", __name__], check=True, capture_output=True, text=True, cwd=ROOT)
        runs.append(json.loads(done.stdout))
        print(
            "    {findings} findings, {files} files: {judged:.2f} s and {written:.2f} s, {peak:.0f} MiB".format(**runs[-1]),
            flush=True,
        )
    seconds = statistics.median(one["judged"] + one["written"] for one in runs)
    peak = statistics.median(one["peak"] for one in runs)
    what = f"compliance of {HOSTS} hosts by {CONTROLS} controls, all outputs"
    return [
        Row(f"{what}, s", seconds, SECONDS, seconds, SECONDS, True),
        Row(f"{what}, MiB", peak, MEBIBYTES, peak, MEBIBYTES, True),
    ]


if __name__ == "__main__":
    measure()
