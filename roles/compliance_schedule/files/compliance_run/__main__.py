# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run, from the lock to the metrics.

Exit status: 0 nothing fails, 1 the playbook ended with findings, 2 it could not be judged or somebody could not be told,
75 another run is under way.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import config as configuration
from . import keeping, metrics, outcome, storing, webhook
from .config import Config, ConfigError
from .playing import Played, play

CLEAN, FINDINGS, ERROR, BUSY = 0, 1, 2, 75

VERDICT = "compliance_verdict"  # what the playbook gives to set_stats

Memory = dict[str, Any]


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print("usage: python -m compliance_run CONFIG", file=sys.stderr)
        return ERROR
    try:
        config = configuration.read(argv[0])
        _check(config)
        with storing.alone(config.lock):
            return _run(config)
    except storing.BusyError as error:
        print(error, file=sys.stderr)
        return BUSY
    except (ConfigError, webhook.WebhookError, OSError) as error:
        print(error, file=sys.stderr)
        return ERROR


def _check(config: Config) -> None:
    """What can be told to be wrong before an hour of work."""
    if config.webhook_url:
        webhook.check(config.webhook_url)
        configuration.secret("webhook_token_file", config.webhook_token_file)
        configuration.secret("webhook_secret_file", config.webhook_secret_file)
    for option, folder in (("state_dir", config.state_dir), ("report_dir", config.report_dir)):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"{option}: {folder} is no folder that can be written; run the role compliance_schedule again")


def _run(config: Config) -> int:
    start = time.time()
    run = keeping.name(datetime.now(timezone.utc), os.getpid())
    before = _stamp(config.report)
    try:
        played = play(config, run)
    except ImportError as error:
        raise ConfigError(f"ansible-runner is not installed for {sys.executable} ({error}); install it there") from error
    report, fault = _report(config, fresh=_stamp(config.report) != before or VERDICT in played.told)
    memory = _remembered(config.memory)
    fresh = outcome.news(report, memory["told"]) if report else []
    faults = [fault] if fault else []
    if report:
        faults += _tell(config, report, fresh, memory)
        memory["last_report"] = time.time()
        _keep_with_run(config, run)
    status = _status(played, report)
    storing.write(config.memory, json.dumps(memory, indent=1, sort_keys=True) + "\n", 0o600)
    faults += _measure(config, metrics.Run(status, time.time(), time.time() - start, memory["last_report"], len(fresh)), report)
    gone = storing.rotate(config.artifacts, datetime.now(timezone.utc), config.keep_runs, config.keep_days)
    _show(run, played, status, len(fresh), gone, faults)
    return {"clean": ERROR if faults else CLEAN, "findings": ERROR if faults else FINDINGS}.get(status, ERROR)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    return seen.st_ino, seen.st_mtime_ns


def _report(config: Config, *, fresh: bool) -> tuple[dict[str, Any] | None, str]:
    """This run's report, or why there is none: that of an earlier run is none.

    A report of the same bytes is not written again; then the verdict says that it is this run's as well.
    """
    if not fresh:
        return None, f"the playbook wrote no report to {config.report}; its output is with the run's artefacts"
    try:
        return outcome.parse(config.report.read_text(encoding="utf-8")), ""
    except (OSError, ValueError) as error:
        return None, f"{config.report}: {error}"


def _status(played: Played, report: Mapping[str, Any] | None) -> str:
    """A playbook that failed and gave the verdict ``fail`` has findings; any other that failed has a fault of its own."""
    if report is None or played.status == "timeout":
        return "error"
    if played.returned == 0:
        return "clean"
    return "findings" if played.told.get(VERDICT) == "fail" else "error"


def _tell(config: Config, report: Mapping[str, Any], fresh: list[outcome.Finding], memory: Memory) -> list[str]:
    """What could not be told is not remembered as told, so that the next run tells it."""
    memory["told"] = outcome.still_known(report, memory["told"])
    if fresh and config.webhook_url:
        try:
            webhook.tell(
                config.webhook_url,
                outcome.message(report, fresh),
                configuration.secret("webhook_token_file", config.webhook_token_file),
                configuration.secret("webhook_secret_file", config.webhook_secret_file),
                config.webhook_timeout,
            )
        except (webhook.WebhookError, ConfigError) as error:
            return [str(error)]
    memory["told"] = sorted({*memory["told"], *(outcome.key(one) for one in fresh)})
    return []


def _remembered(path: Path) -> Memory:
    """A file that is not ours counts as none: rather tell twice than never."""
    try:
        memory = json.loads(path.read_text(encoding="utf-8"))
        return {"told": [str(one) for one in memory["told"]], "last_report": float(memory["last_report"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"told": [], "last_report": 0.0}


def _keep_with_run(config: Config, run: str) -> None:
    kept = config.artifacts / run / "report"
    shutil.copytree(config.report_dir, kept, symlinks=True, dirs_exist_ok=True)


def _measure(config: Config, run: metrics.Run, report: Mapping[str, Any] | None) -> list[str]:
    if not config.metrics_file:
        return []
    try:
        storing.write(Path(config.metrics_file), metrics.text(run, report), 0o644)
    except OSError as error:
        return [f"metrics_file: {config.metrics_file} cannot be written ({error}); make its folder"]
    return []


def _show(run: str, played: Played, status: str, fresh: int, gone: list[str], faults: list[str]) -> None:
    """One line for the journal, as JSON, and one for each fault."""
    told = {"run": run, "status": status, "ansible": played.status, "new_fails": fresh, "removed_runs": gone, "stats": played.told}
    print(json.dumps(told, sort_keys=True, default=str))
    for fault in faults:
        print(fault, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
