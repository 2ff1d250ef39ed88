# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The owner guard, run as libvirt runs it, with a registry of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[3] / "roles" / "kvm_host" / "files" / "owner_guard.py"
UUID = "0c721ee7-6ba0-4ee9-968e-302d4521b545"
OTHER = "11111111-2222-4333-8444-555555555555"


class Guard:
    """A hypervisor named here."""

    def __init__(self, state: Path) -> None:
        self.owners = state / "owners"
        self.owners.mkdir()
        (state / "hypervisor").write_text("here\n")
        self.script = state / "guard.py"
        self.script.write_text(HOOK.read_text().replace('"/var/lib/virt8ra"', repr(str(state))))

    def entry(self, uuid, epoch, hypervisor, disks=()):
        data = {"uuid": uuid, "hypervisor": hypervisor, "epoch": epoch, "disks": list(disks)}
        (self.owners / f"{uuid}.{epoch}.json").write_text(json.dumps(data))

    def mark(self, kind, **data):
        (self.owners / f"{UUID}.{kind}.json").write_text(json.dumps(data))

    def says(self, operation="prepare", *, name="web", owner=None, journal=None, uuid=UUID, disk="/vms/web.qcow2"):
        """The sentence of the refusal; empty when the VM may start."""
        pieces = ""
        for kind, payload in (("owner", owner), ("migration", journal)):
            if payload is not None:
                pieces += f'<x:{kind} xmlns:x="https://virt8ra.eu/federation/{kind}/1">{json.dumps(payload)}</x:{kind}>'
        xml = (
            f"<domain><name>{name}</name><uuid>{uuid}</uuid><metadata>{pieces}</metadata>"
            f"<devices><disk type='file' device='disk'><source file='{disk}'/></disk></devices></domain>"
        )
        argv = [sys.executable, str(self.script), name, operation, "begin", "-"]
        done = subprocess.run(argv, input=xml, text=True, capture_output=True, check=False)
        assert done.stdout == "", "libvirt would take it for the XML"
        assert bool(done.returncode) == bool(done.stderr), done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr


@pytest.fixture
def guard(tmp_path):
    return Guard(tmp_path)


def owner(hypervisor, epoch):
    return {"hypervisor": hypervisor, "epoch": epoch}


def test_what_is_not_ours_and_what_is_ours_may_start(guard):
    assert guard.says() == ""
    assert guard.says(owner=owner("here", 1)) == ""
    guard.entry(UUID, 3, "here")
    assert guard.says(owner=owner("here", 3)) == ""
    assert guard.says() == "", "XML without metadata"


@pytest.mark.parametrize("operation", ["prepare", "migrate", "restore"])
def test_a_foreign_vm_is_refused_by_metadata_or_registry(guard, operation):
    assert "its owner is there (epoch 2)" in guard.says(operation, owner=owner("there", 2))
    guard.entry(UUID, 4, "there")
    assert "VM web may not start at here: its owner is there (epoch 4)" in guard.says(operation)
    assert "its owner is there (epoch 4)" in guard.says(operation, owner=owner("here", 3)), "old XML"


def test_the_higher_epoch_counts_and_at_the_same_one_the_foreign_owner(guard):
    guard.entry(UUID, 9, "there")
    guard.entry(UUID, 10, "here")
    assert guard.says(owner=owner("there", 9)) == ""
    assert "its owner is there (epoch 11)" in guard.says(owner=owner("there", 11))
    assert "its owner is there (epoch 10)" in guard.says(owner=owner("there", 10))


def test_an_entry_that_cannot_be_read_refuses_its_own_vm_only(guard):
    (guard.owners / f"{UUID}.2.json").write_text("")
    assert "cannot be read" in guard.says()
    assert guard.says(uuid=OTHER) == ""


def test_another_uuid_on_a_kept_copy_is_refused(guard, tmp_path):
    disk = tmp_path / "web.qcow2"
    disk.touch()
    (tmp_path / "link").symlink_to(disk)
    guard.entry(UUID, 2, "there", [str(disk)])
    for path in (disk, tmp_path / "link"):
        assert f"is a copy of VM {UUID}, whose owner is there (epoch 2)" in guard.says(uuid=OTHER, disk=path)
    assert guard.says(uuid=OTHER, disk=tmp_path / "another") == ""
    guard.entry(UUID, 3, "here", [str(disk)])
    assert guard.says(uuid=OTHER, disk=disk) == ""


def test_a_fenced_vm_starts_for_its_migration_only_and_only_once(guard):
    guard.mark("fence", uuid=UUID, migration="m1", hypervisor="there")
    assert "a migration of it is under way" in guard.says(owner=owner("here", 1), journal={"id": "m1"})
    guard.mark("permit", uuid=UUID, migration="m1")
    assert "under way" in guard.says(journal={"id": "m2"}), "another migration's journal"
    assert "under way" in guard.says(), "no journal"
    assert guard.says(journal={"id": "m1"}) == ""
    assert "under way" in guard.says(journal={"id": "m1"}), "it was used up"


def test_an_arriving_copy_is_let_in_once(guard):
    guard.mark("permit", uuid=UUID, migration="m1")
    foreign = {"owner": owner("there", 1), "journal": {"id": "m1"}}
    assert guard.says("migrate", **foreign) == ""
    assert guard.says("prepare", **foreign) == "", "the look before did not use it up"
    assert "its owner is there" in guard.says("prepare", **foreign)


@pytest.mark.parametrize("operation", ["reconnect", "start", "started", "stopped", "release", "attach", ""])
def test_what_would_kill_a_running_vm_is_never_refused(guard, operation):
    (guard.owners / f"{UUID}.2.json").write_text("broken")
    guard.mark("fence", uuid=UUID, migration="m1", hypervisor="there")
    assert guard.says(operation, owner=owner("there", 7)) == ""


def test_it_shows_that_it_is_awake_and_who_it_is(guard):
    assert guard.says(name="virt8ra-guard-probe-1234") == "virt8ra owner guard of here is awake\n"


def test_nonsense_in_the_metadata_is_no_owner(guard):
    assert guard.says(owner={"hypervisor": 5, "epoch": "x"}) == ""
    assert guard.says(owner=[1]) == ""
