# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time for each VM, and a way to ask the run at work to stop."""

from __future__ import annotations

from pathlib import Path

from ..errors import MigrationFailed
from ..lock import Report, RunLock


class MigrationLock(RunLock):
    """The lock of one VM at its target."""

    fault = MigrationFailed
    remedy = "wait for it, or ask for state: aborted"

    def __init__(self, state_path: str, uuid: str, report: Report, progress_path: str | None = None) -> None:
        folder = Path(state_path) / "migrations"
        super().__init__(folder / f"{uuid}.lock", "this VM", report, progress_path)
        self._stop = folder / f"{uuid}.stop"

    def _taken(self) -> None:
        self._stop.unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Have the run that holds it leave what it copies."""
        if self.is_held():
            self._stop.touch(mode=0o600)

    def asked_to_stop(self) -> bool:
        return self._stop.exists()
