# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with holes as the source's pod tells them."""

from __future__ import annotations

import stat
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import Ended
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.listing import Entry
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.pods import Mover
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.sending import Shorter
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.shell import Lost
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.sparse import read_filled

HEAD = b"F 0 131075 -5 1000 33 4755\n"


class Command:
    """It says what it is given, in odd pieces, and ends."""

    def __init__(self, output: bytes, exit_code: int) -> None:
        self._exit_code = exit_code
        self._pieces = [output[begin : begin + 7] for begin in range(0, len(output), 7)]

    def send(self, data: bytes) -> None:
        assert data == b"0:./f\0"

    def receive(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def end(self) -> Ended:
        return Ended(self._exit_code, "")

    def close(self) -> None:
        pass

    def close_stdin(self) -> bool:
        return True

    @property
    def stdin_ends(self) -> bool:
        return True


def told(output: bytes, exit_code: int = 0) -> list[tuple[Entry, list[tuple[int, bytes]]]]:
    class Api:
        name = "es"

        def run(self, *_given: Any, **_more: Any) -> Command:
            return Command(output, exit_code)

    mover: Any = Mover(Api(), "shop", "data", "pod")  # type: ignore[arg-type]
    files = [Entry(b"./f", stat.S_IFREG | 0o644, (0, 0), 10, 10)]
    return [(entry, list(content)) for entry, content in read_filled(mover, files)]


def test_facts_and_pieces() -> None:
    ((entry, content),) = told(HEAD + b"W 64 4\nW 0\nE\n")
    assert (entry.size, entry.modified, entry.owner, entry.permissions) == (131075, -5, (1000, 33), 0o4755)
    assert content == [(64, b"W 0\n")]
    assert told(b"") == []


@pytest.mark.parametrize("rest", [b"", b"W 64 4\nab", b"W 64 4\nabE\n", b"W 0 999999999\n", b"W 64 4\nabcdX", b"x" * 300])
def test_a_file_that_became_shorter_is_never_taken_for_whole(rest: bytes) -> None:
    with pytest.raises(Shorter):
        told(HEAD + rest)
    with pytest.raises(Shorter):
        told(b"F 1" + HEAD[3:] + b"E\n")


@pytest.mark.parametrize("rest", [b"", b"W 64", b"W 64 4\n", b"W 64 4\nab", b"W 64 4\nabcd"])
def test_a_command_that_was_killed_is_lost_and_its_file_not_shorter(rest: bytes) -> None:
    with pytest.raises(Lost, match="was killed") as lost:
        told(HEAD + rest, exit_code=137)
    assert not isinstance(lost.value, Shorter)
