# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was answered is kept, as etcd keeps it: ``state.json`` has the whole, ``changes`` every change since then."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .store import Event, Store, dumps


class Kept:
    """``load()`` first; from then on every change is written before its request is answered.

    :param durable: requests wait in ``settled()`` until their changes are on the disk
    """

    def __init__(self, folder: Path, store: Store, durable: bool = False) -> None:
        self._folder, self._store = folder, store
        self._changes = -1
        # One that syncs, so that no two syncs run at once.
        self._writer = ThreadPoolExecutor(1) if durable else None
        self._turn = asyncio.Lock()
        self._written = self._safe = 0

    async def settled(self) -> None:
        """Returns when every change made until now is on the disk. As in etcd, those who wait meanwhile share the next sync."""
        if self._writer is None:
            return
        wanted = self._written
        async with self._turn:
            if self._safe < wanted:
                reached = self._written
                await asyncio.get_running_loop().run_in_executor(self._writer, os.fdatasync, self._changes)
                self._safe = reached

    def load(self) -> None:
        state, changes = self._folder / "state.json", self._folder / "changes"
        objects: dict[tuple[str, str, str, str], Any] = {}
        version = 0
        if state.exists():
            read = json.loads(state.read_text())
            version = int(read["rv"])
            for each in read["objects"]:
                objects[_place(each["group"], each["plural"], each["object"])] = each
        for line in changes.read_text().splitlines() if changes.exists() else ():
            # The last line may be torn, when it was killed as it wrote.
            with contextlib.suppress(ValueError):
                each = json.loads(line)
                version = max(version, int(each["rv"]))
                objects.pop(_place(each["group"], each["plural"], each["object"]), None)
                if not each["gone"]:
                    objects[_place(each["group"], each["plural"], each["object"])] = each
        if version:
            self._store.load({"rv": version, "objects": list(objects.values())})
        self.save()
        self._store.listeners.append(self._hear)

    def save(self) -> None:
        """The whole state anew."""
        new = self._folder / "state.json.new"
        new.touch(0o600)
        new.write_text(json.dumps(self._store.saved()))
        new.rename(self._folder / "state.json")
        if self._changes >= 0 and self._writer is not None:
            # After the sync that may be running.
            self._writer.submit(os.close, self._changes)
        elif self._changes >= 0:
            os.close(self._changes)
        self._changes = os.open(self._folder / "changes", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)

    def _hear(self, storage: tuple[str, str], event: Event) -> None:
        known = dumps({"group": storage[0], "plural": storage[1], "rv": event.rv, "gone": event.gone})
        os.write(self._changes, known[:-1] + b',"object":' + event.new.text + b"}\n")
        self._written += 1


def _place(group: str, plural: str, obj: Any) -> tuple[str, str, str, str]:
    return group, plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
