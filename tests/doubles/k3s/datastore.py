# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the servers of a cluster keep: objects, members of etcd, and the sealed files that a new server starts from.

The state is ``{"rv", "objects": {"group/plural/namespace/name": object}, "members": [...], "bootstrap": sealed}``; a change
of it is ``{"rv", "put": {...}, "gone": [...]}``, with ``members`` or ``bootstrap`` when they change.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

State = dict[str, Any]
Change = dict[str, Any]


class NoQuorum(Exception):
    """The change is not known to be kept: too few members answered."""


def empty() -> State:
    return {"rv": 100, "objects": {}, "members": [], "bootstrap": None}


def apply(state: State, change: Change) -> None:
    state["objects"].update(change.get("put", {}))
    for key in change.get("gone", []):
        state["objects"].pop(key, None)
    for name in ("rv", "members", "bootstrap"):
        if name in change:
            state[name] = change[name]


class Sqlite:
    """The store of a single server without etcd: it always leads."""

    kind = "sqlite"
    name = ""
    removed = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.state = empty()
        self.leading: Callable[[bool], None] = lambda _leads: None

    def load(self) -> None:
        if self._path.exists():
            with contextlib.closing(sqlite3.connect(self._path)) as database:
                self.state = json.loads(database.execute("SELECT value FROM kine WHERE id = 1").fetchone()[0])

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.closing(sqlite3.connect(self._path)) as database:
            database.execute("CREATE TABLE IF NOT EXISTS kine (id INTEGER PRIMARY KEY, value TEXT)")
            database.execute("INSERT OR REPLACE INTO kine VALUES (1, ?)", [json.dumps(self.state)])
            database.commit()

    async def start(self) -> None:
        self.leading(True)

    async def stop(self) -> None:
        return

    async def propose(self, change: Change) -> None:
        apply(self.state, change)
        self._save()

    def leader(self) -> str:
        """Empty: this server itself."""
        return ""

    def available(self) -> bool:
        return True
