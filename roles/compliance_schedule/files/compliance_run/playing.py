# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook, run by ansible-runner."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .config import Config


@dataclass
class Played:
    """``status`` is ansible-runner's word; ``told`` what the playbook gave to set_stats."""

    status: str
    returned: int
    told: dict[str, Any] = field(default_factory=dict)


def play(config: Config, run: str) -> Played:
    """Blocks until the playbook ended; its artefacts are in the folder ``run``. ImportError without ansible-runner."""
    import ansible_runner  # type: ignore[import-untyped,unused-ignore]

    told: dict[str, Any] = {}
    _forget_given(config)

    def notice(event: dict[str, Any]) -> bool:
        if event.get("event") == "playbook_on_stats":
            told.update((event.get("event_data") or {}).get("artifact_data") or {})
        return True

    done = ansible_runner.run(
        private_data_dir=config.state_dir,
        artifact_dir=str(config.artifacts),
        ident=run,
        playbook=config.playbook,
        inventory=config.inventory,
        extravars=config.extra_vars,
        envvars={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        timeout=config.timeout or None,
        event_handler=notice,
    )
    _forget_given(config)
    return Played(str(done.status), int(done.rc if done.rc is not None else -1), told)


def _forget_given(config: Config) -> None:
    """ansible-runner keeps what it was given in files, and would take them for the next run's."""
    for name in ("extravars", "envvars"):
        (Path(config.state_dir) / "env" / name).unlink(missing_ok=True)
