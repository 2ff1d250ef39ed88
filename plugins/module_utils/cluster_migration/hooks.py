# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user's own commands before and after the steps of a cluster's migration: DNS, a load balancer, a note to somebody."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, MigrationFailed

MOMENTS = (
    "before_sync",
    "after_sync",
    "before_cutover",
    "after_quiesce",
    "after_delta",
    "before_start",
    "after_start",
    "after_cutover",
    "before_abort",
    "after_abort",
    "before_release",
    "after_release",
)
# Nothing can be taken back any more after these: a command that fails is told, and nothing else.
ONLY_TOLD = ("after_cutover", "after_abort", "after_release")
_SHOWN = 300


@dataclass(frozen=True)
class Hook:
    """``command`` is run without a shell, for ``timeout`` seconds at the most."""

    when: str
    command: tuple[str, ...]
    timeout: int = 300


def hooks_of(options: Sequence[Mapping[str, Any]]) -> tuple[Hook, ...]:
    """InputError for one without a command, or without a time to run."""
    found = []
    for index, option in enumerate(options):
        hook = Hook(str(option["when"]), tuple(option["command"]), int(option.get("timeout") or 0))
        if not hook.command or not hook.command[0]:
            raise InputError("is empty", option=f"hooks[{index}].command", remedy="give the program and its arguments as a list")
        if hook.timeout < 1:
            raise InputError("must be 1 or more", option=f"hooks[{index}].timeout", value=hook.timeout, remedy="give seconds")
        found.append(hook)
    return tuple(found)


def run_hooks(hooks: Sequence[Hook], when: str, facts: Mapping[str, str]) -> list[str]:
    """The commands of that moment, one after the other, each with ``facts`` as ``VIRT8RA_…`` in its environment.

    :returns: a sentence for each that failed after the end of its step, where a failure changes nothing any more
    :raises MigrationFailed: for one that failed at any other moment
    """
    told: list[str] = []
    environment = {**os.environ, **{f"VIRT8RA_{key.upper()}": value for key, value in facts.items()}, "VIRT8RA_WHEN": when}
    for hook in hooks:
        if hook.when != when:
            continue
        fault = _fault(hook, environment)
        if fault and when in ONLY_TOLD:
            told.append(f"the hook {hook.command[0]} ({when}) {fault}")
        elif fault:
            raise MigrationFailed(
                f"{hook.command[0]} {fault}", option="hooks", value=when, remedy="mend the command, and run the migration again"
            )
    return told


def _fault(hook: Hook, environment: Mapping[str, str]) -> str:
    """What went wrong with it, in words; empty for nothing."""
    try:
        ended = subprocess.run(
            list(hook.command),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=hook.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {hook.timeout} seconds"
    except OSError as error:
        return f"could not be started ({error.strerror or error})"
    if ended.returncode == 0:
        return ""
    said = " ".join(ended.stdout.decode("utf-8", "replace").split())[-_SHOWN:]
    return f"ended with {ended.returncode}" + (f": {said}" if said else "")
