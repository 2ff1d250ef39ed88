# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark gives and gets: rows with a bar, the lab they are measured on, and processes measured whole."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.federation import Federation, plain
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Hypervisor

ROOT = Path(__file__).resolve().parents[2]
FEDERATION_FILE = ROOT / "inventories" / "lab" / "lab.sites.yml"


@dataclass(frozen=True)
class Row:
    """``ratio`` is told in ``name``; it holds when it is at least ``goal``, or with ``at_most`` at most that."""

    name: str
    ours: float
    peer: float
    ratio: float
    goal: float
    at_most: bool = False

    @property
    def holds(self) -> bool:
        return self.ratio <= self.goal if self.at_most else self.ratio >= self.goal

    def to_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "ours": round(self.ours, 3),
            "peer": round(self.peer, 3),
            "ratio": round(self.ratio, 3),
            "bar": self.goal,
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Lab:
    """The hypervisors to measure on, as the federation file has them, and the client certificate's folder."""

    federation: Federation
    pki_path: Path

    @classmethod
    def read(cls) -> Lab:
        """The lab's own federation file, or the one that BENCH_FEDERATION names."""
        path = Path(os.environ.get("BENCH_FEDERATION", FEDERATION_FILE)).resolve()
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        federation = Federation.from_dict(plain(document))
        return cls(federation, (path.parent / federation.pki_path).resolve())

    @property
    def hypervisors(self) -> list[Hypervisor]:
        return [hypervisor for site in self.federation.sites for hypervisor in site.hypervisors]


@dataclass(frozen=True)
class Measured:
    """One whole process: ``seconds`` of the clock, ``memory`` its largest resident set in MiB."""

    seconds: float
    memory: float


def repeats(name: str = "BENCH_REPEATS") -> int:
    """How often each process is run for a median; 5 unless the environment shortens it."""
    return int(os.environ.get(name, "5"))


def tool(name: str) -> str:
    """A command of the Python environment that runs the benchmark."""
    return str(Path(sys.executable).parent / name)


def run_whole(command: Sequence[str], environment: dict[str, str], output: IO[bytes] | None = None) -> Measured:
    """Run a process to its end; RuntimeError with its last words when it fails.

    :param output: where its standard output goes, which is thrown away otherwise
    """
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        stdout = subprocess.DEVNULL if output is None else output
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=stdout, stderr=errors, cwd=ROOT)
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            raise RuntimeError(
                f"{' '.join(command)} ended with {process.returncode}: {errors.read()[-2000:].decode(errors='replace')}"
            )
    return Measured(seconds, usage.ru_maxrss / 1024)


def median(measured: Sequence[Measured]) -> Measured:
    return Measured(statistics.median(one.seconds for one in measured), statistics.median(one.memory for one in measured))
