# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copying and reading back, with disks that are bytes in memory."""

from __future__ import annotations

import hashlib
import threading
import time

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, MigrationFailed
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.bulk import ZEROES, Copied
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.copying import PIECE, Copier, Copying, DiskJob
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.verify import Verifier

PART = 2**18


class Memory:
    """Both a source and a target; ``log`` tells in which order things were done."""

    def __init__(self, content, *, fails_at=-1, hangs=False):
        self.content = bytearray(content)
        self.log = []
        self.fails_at = fails_at
        self.hangs = hangs
        self.released = threading.Event()

    def parts(self, offset, view):
        length = len(view)
        if self.hangs:
            self.released.wait(30)
            raise BackendError("cut")
        if offset <= self.fails_at < offset + length:
            raise BackendError("the link is gone")
        self.log.append(("read", offset))
        view[:] = self.content[offset : offset + length]
        for at in range(0, length, PART):
            yield view[at : at + PART]

    def write(self, offset, data):
        self.log.append(("write", offset))
        self.content[offset : offset + len(data)] = data

    def settle(self):
        pass

    def zero(self, offset, length):
        self.log.append(("zero", offset))
        self.content[offset : offset + length] = bytes(length)

    def flush(self):
        self.log.append(("flush", 0))

    def cut(self):
        self.released.set()

    def close(self):
        pass


def content(pieces):
    return b"".join(bytes([number]) * PIECE for number in pieces)


def copy(source, target, *, data, zero=(), how=None, stopped=lambda: False):
    kept = []
    job = DiskJob("vda", data, zero, lambda: source, lambda: target)
    copier = Copier([job], how or Copying(connections=3), kept.extend, lambda _progress: None, stopped)
    copier.run()
    return copier, kept


def test_all_of_it_arrives_with_its_digests_and_zeroes_are_not_written():
    source, target = Memory(content([1, 0, 3, 4])), Memory(b"\xff" * 4 * PIECE)
    copier, kept = copy(source, target, data=[(0, 3 * PIECE)], zero=[(3 * PIECE, PIECE)])
    assert target.content == content([1, 0, 3, 0])
    digests = {one.offset: one.digest for one in kept}
    assert digests[0] == hashlib.sha256(content([1])).hexdigest()
    assert digests[PIECE] == digests[3 * PIECE] == ZEROES
    assert ("write", PIECE) not in target.log
    assert ("read", 3 * PIECE) not in source.log, "holes cost nothing on the wire"
    assert (copier.sent_bytes, copier.zero_bytes) == (3 * PIECE, 2 * PIECE)


def test_nothing_is_kept_before_it_was_flushed():
    target = Memory(bytes(2 * PIECE))
    flushed_before = []
    job = DiskJob("vda", [(0, 2 * PIECE)], [], lambda: Memory(content([1, 2])), lambda: target)

    def keep(batch):
        flushed_before.append(target.log[-1][0] == "flush" and {("write", one.offset) for one in batch} <= set(target.log))

    Copier([job], Copying(connections=1), keep, lambda _progress: None, lambda: False).run()
    assert flushed_before
    assert all(flushed_before)


def test_a_fault_of_the_source_is_told_and_what_was_copied_is_kept():
    kept = []
    source, target = Memory(content([1, 2, 3]), fails_at=2 * PIECE), Memory(bytes(3 * PIECE))
    job = DiskJob("vda", [(0, 3 * PIECE)], [], lambda: source, lambda: target)
    with pytest.raises(BackendError, match="the link is gone"):
        Copier([job], Copying(connections=1), kept.extend, lambda _progress: None, lambda: False).run()
    assert [one.offset for one in kept] == [0, PIECE]


def test_a_person_can_stop_it_and_a_dead_link_stalls():
    with pytest.raises(MigrationFailed, match="asked to stop"):
        copy(Memory(b"", hangs=True), Memory(bytes(PIECE)), data=[(0, PIECE)], stopped=lambda: True)
    with pytest.raises(BackendError, match="not a byte moved"):
        copy(Memory(b"", hangs=True), Memory(bytes(PIECE)), data=[(0, PIECE)], how=Copying(1, stall_timeout=0.1))
    with pytest.raises(MigrationFailed, match="longer than its timeout"):
        copy(Memory(b"", hangs=True), Memory(bytes(PIECE)), data=[(0, PIECE)], how=Copying(1, timeout=0.1))


def test_the_cap_is_for_all_connections_together():
    begun = time.monotonic()
    copy(Memory(content([1] * 4)), Memory(bytes(4 * PIECE)), data=[(0, 4 * PIECE)], how=Copying(4, bandwidth=10 * PIECE))
    # The first piece is free; the three others wait their turn, however many connections there are.
    assert time.monotonic() - begun >= 0.3


def verifier(target, data):
    return Verifier({"vda": lambda: target}, {"vda": data}, 2)


def test_a_flipped_byte_is_found_in_data_and_in_zeroes():
    target = Memory(content([1, 0, 0]))
    copied = [Copied("vda", 0, PIECE, hashlib.sha256(content([1])).hexdigest()), Copied("vda", PIECE, 2 * PIECE, ZEROES)]
    assert verifier(target, [(0, 2 * PIECE)]).differing(copied, 3 * PIECE, lambda _progress: None) == []
    assert ("read", 2 * PIECE) not in target.log, "a hole reads as zeroes"
    target.content[5] ^= 1
    target.content[PIECE + 7] = 1
    bad = verifier(target, [(0, 2 * PIECE)]).differing(copied, 3 * PIECE, lambda _progress: None)
    assert sorted(one.offset for one in bad) == [0, PIECE]
