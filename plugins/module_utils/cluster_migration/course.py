# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal while a run works on it: each state is written at both ends before what it permits is done."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Callable

from .journal import NOTHING, Journal
from .store import JournalStore

Report = Callable[[str, dict[str, Any]], None]


class Course:
    """The journal of the run at work, with the moments of its phases for the report."""

    def __init__(self, store: JournalStore, journal: Journal, report: Report) -> None:
        self.store = store
        self.journal = journal
        self._report = report
        self._open: tuple[str, float] | None = None

    def enter(self, state: str, proof: str = NOTHING, **changes: Any) -> None:
        """MigrationFailed where the state may not follow, or another run wrote the journal."""
        self.journal = self.store.write(self.journal.moved_to(state, proof, **changes))

    def change(self, **changes: Any) -> None:
        self.journal = self.store.write(replace(self.journal, **changes))

    def keep(self, **changes: Any) -> None:
        """Written with the next state."""
        self.journal = replace(self.journal, **changes)

    def begin(self, phase: str) -> None:
        """A phase begins, and the one before has ended; the journal has it with its next write."""
        self.end()
        self._open = (phase, time.time())
        self.journal = self.journal.noted(phase, self._open[1], None)
        self._report(phase, {})

    def end(self, **more: Any) -> None:
        """The phase has ended; ``more``: its ``bytes`` and its ``note``."""
        if self._open is not None:
            self.journal = self.journal.noted(self._open[0], self._open[1], time.time(), **more)
            self._open = None

    def warn(self, *sentences: str) -> None:
        fresh = [sentence for sentence in sentences if sentence not in self.journal.warnings]
        self.keep(warnings=[*self.journal.warnings, *fresh])
