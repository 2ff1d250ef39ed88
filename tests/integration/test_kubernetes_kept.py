# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the double of an API server calls a change kept: with ``durable`` not before it is on the disk."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from tests.doubles.kubernetes.kept import Kept
from tests.doubles.kubernetes.store import Store

MAPS = ("", "configmaps")
WAIT = 10.0


class Disk:
    """Stands for ``os.fdatasync``: each sync lasts until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)
        self.sizes: list[int] = []
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, descriptor: int) -> None:
        self.sizes.append(os.fstat(descriptor).st_size)
        self.begun.release()
        assert self.let_go.acquire(timeout=WAIT)

    async def sync_begins(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=WAIT)


def put(store: Store, name: str) -> None:
    metadata = {"name": name, "namespace": "default"}
    store.put(MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def kept(folder: Path, *, durable: bool) -> tuple[Store, Kept]:
    store = Store()
    made = Kept(folder, store, durable)
    made.load()
    return store, made


def test_writers_that_wait_share_the_next_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)

    async def write() -> None:
        store, made = kept(tmp_path, durable=True)
        put(store, "first")
        first = asyncio.create_task(made.settled())
        await disk.sync_begins()
        others = []
        for number in range(5):
            put(store, f"other-{number}")
            others.append(asyncio.create_task(made.settled()))
        await asyncio.sleep(0)
        assert not first.done()
        disk.let_go.release()
        await first
        await disk.sync_begins()
        # What they wrote is not on the disk yet: the first sync began before them.
        assert not any(task.done() for task in others)
        disk.let_go.release()
        await asyncio.wait_for(asyncio.gather(*others), WAIT)

    asyncio.run(write())
    assert len(disk.sizes) == 2
    assert disk.sizes[1] == (tmp_path / "changes").stat().st_size > disk.sizes[0] > 0


def test_a_reader_waits_for_no_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)

    async def read() -> None:
        _store, made = kept(tmp_path, durable=True)
        await asyncio.wait_for(made.settled(), WAIT)

    asyncio.run(read())
    assert disk.sizes == []


def test_without_it_nothing_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)

    async def write() -> None:
        store, made = kept(tmp_path, durable=False)
        put(store, "one")
        await asyncio.wait_for(made.settled(), WAIT)

    asyncio.run(write())
    assert disk.sizes == []
    known, _made = kept(tmp_path, durable=False)
    assert [obj["metadata"]["name"] for obj in known.objects(MAPS)] == ["one"]
