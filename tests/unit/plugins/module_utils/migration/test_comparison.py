# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparing the disks of a live migration: what differs, what could not be read, and what a run that was cut off leaves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.backup import Export
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError
from ansible_collections.virt8ra.federation.plugins.module_utils.migration import comparison, journal
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.policy import Policy
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Hypervisor, Owner

MIB = 2**20
DISK = {
    "source_path": "/vms/web.qcow2",
    "source_format": "qcow2",
    "path": "/nvme/web.qcow2",
    "format": "qcow2",
    "capacity": 8 * MIB,
}
JOURNAL = journal.Journal("m1", "live", "es-1", "de-1", journal.COMPLETED, 2, "2026-11-24T12:00:00+00:00", disks={"vda": DISK})


class View:
    """A served disk: ``content`` from the beginning on, and zeroes after it."""

    def __init__(self, content):
        self.content = content

    def data(self):
        return [(0, len(self.content))]

    def parts(self, offset, view):
        view[:] = self.content[offset : offset + len(view)].ljust(len(view), b"\0")
        yield view

    def close(self):
        pass


class Backup:
    def __init__(self, end, address, _ports, _migration):
        self.end_of, self.address = end, address

    def begin(self, _disks):
        self.end_of.calls.append("begin")
        if self.end_of.broken:
            raise BackendError("it is not to be had")
        return Export(self.address, 49215, "")

    def end(self):
        self.end_of.calls.append("end")

    def delete_scratch(self, _disks):
        self.end_of.calls.append("scratch")


class Side:
    def __init__(self, owner, latest):
        self.calls, self.broken = [], False
        self.end = self.registry = self.power = self
        self.uuid = "u"
        self.owner, self.latest = owner, latest

    def entry(self, _uuid):
        return SimpleNamespace(owner=self.owner)

    def read_metadata(self, _kind):
        return self.latest.to_dict()

    def permit(self, _uuid, migration):
        self.calls.append(f"permit {migration}")

    def revoke(self, _uuid):
        self.calls.append("revoke")

    def hold(self):
        self.calls.append("hold")

    def release_held(self):
        self.calls.append("release")


@pytest.fixture
def world(monkeypatch):
    """``made(source, target)`` with what the two disks hold gives the comparison and both sides."""

    def made(source=b"", target=b"", *, owner=None, latest=JOURNAL):
        monkeypatch.setattr(comparison, "PullBackup", Backup)
        monkeypatch.setattr(comparison, "open_export", lambda address, _port, _name: View(source if address == "es" else target))
        sides = [Side(owner or Owner("de-1", 2), latest) for _end in range(2)]
        hosts = [Hypervisor(name, name[:2], "qemu:///system", "site") for name in ("es-1", "de-1")]
        return comparison.Comparison(*sides, *hosts, Policy(), lambda _phase, _figures: None), *sides

    return made


def test_disks_that_are_the_same(world):
    made, source, target = world(b"a" * 5 * MIB, b"a" * 5 * MIB)
    seen = made.run(JOURNAL, made.freeze(JOURNAL))
    assert seen == {"compared_bytes": 5 * MIB, "compared_extents": 3, "differing_extents": 0, "not_compared": ""}
    assert source.calls == ["permit m1", "hold", "revoke", "begin", "end", "release", "scratch"]
    assert target.calls == ["begin", "end", "scratch"]


@pytest.mark.parametrize(
    ("source", "target", "differing"),
    [
        (b"a" * 4 * MIB, b"a" * 4 * MIB + b"b", 1),
        (b"a" * 4 * MIB + b"b", b"a" * 4 * MIB, 1),
        (b"a" * 4 * MIB, b"b" + b"a" * 2 * MIB + b"b" + b"a" * (2 * MIB - 2), 2),
        (b"a" * MIB + b"\0" * MIB, b"a" * MIB, 0),
    ],
)
def test_what_differs_is_counted_wherever_it_is(world, source, target, differing):
    made, _source, _target = world(source, target)
    assert made.run(JOURNAL, made.freeze(JOURNAL))["differing_extents"] == differing


@pytest.mark.parametrize("broken", ["source", "target"])
def test_a_disk_that_cannot_be_served_is_told_and_nothing_is_left(world, broken):
    made, source, target = world()
    {"source": source, "target": target}[broken].broken = True
    seen = made.run(JOURNAL, made.freeze(JOURNAL))
    assert seen["not_compared"] == "it is not to be had"
    if broken == "source":
        assert source.calls[-3:] == ["end", "release", "scratch"]
        assert target.calls[-2:] == ["end", "scratch"]


@pytest.mark.parametrize(
    ("more", "tidied"),
    [
        ({}, True),
        ({"owner": Owner("es-1", 3)}, False),
        ({"latest": journal.Journal("m2", "warm", "de-1", "nl-1", journal.COPYING, 3, JOURNAL.started)}, False),
    ],
    ids=["cut off", "it is owned elsewhere", "it is on its way to elsewhere"],
)
def test_only_its_own_left_overs_are_ended(world, more, tidied):
    made, source, target = world(**more)
    made.tidy(JOURNAL)
    assert bool(source.calls or target.calls) is tidied
