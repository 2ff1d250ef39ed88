# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user's commands: what they are told, what their failure means, and which are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.hooks import MOMENTS, Hook, hooks_of, run_hooks
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError, MigrationFailed


def test_they_find_the_migration_in_their_environment(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = (
        f"import os; open({str(told)!r}, 'a').write(' '.join(os.environ[k] for k in ('VIRT8RA_WHEN', 'VIRT8RA_SOURCE')) + '\\n')"
    )
    hooks = [Hook(when, (sys.executable, "-c", script)) for when in ("after_start", "before_cutover", "after_start")]
    assert run_hooks(hooks, "after_start", {"source": "es"}) == []
    assert told.read_text() == "after_start es\nafter_start es\n"
    assert run_hooks(hooks, "after_abort", {"source": "es"}) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("sh", "-c", "echo no way >&2; exit 3"), "sh ended with 3: no way; mend the command"),
        (("/nowhere/to/be/found",), r"/nowhere/to/be/found could not be started \(No such file or directory\)"),
        (("sleep", "30"), "sleep did not end within 1 seconds"),
    ],
)
def test_a_failure_is_told(command: tuple[str, ...], message: str) -> None:
    with pytest.raises(MigrationFailed, match=f"hooks='after_start': {message}"):
        run_hooks([Hook("after_start", command, 1)], "after_start", {})
    # Where nothing can be taken back any more, it is only told.
    assert len(run_hooks([Hook("after_cutover", command, 1)], "after_cutover", {})) == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"when": "after_start", "command": []}, r"hooks\[1\].command: is empty"),
        ({"when": "after_start", "command": [""]}, r"hooks\[1\].command: is empty"),
        ({"when": "after_start", "command": ["true"], "timeout": 0}, r"hooks\[1\].timeout=0: must be 1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(option: dict[str, object], message: str) -> None:
    good = {"when": MOMENTS[0], "command": ["true"], "timeout": 5}
    assert hooks_of([good]) == (Hook(MOMENTS[0], ("true",), 5),)
    with pytest.raises(InputError, match=message):
        hooks_of([good, option])
