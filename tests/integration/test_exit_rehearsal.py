# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM's exit is rehearsed: its copy ran elsewhere and is gone, it itself runs on, and the record says what it took."""

from __future__ import annotations

import json

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.rehearsal import read_records, rehearsal_subjects

from .database import Database
from .guest import POOL, SOURCE, TARGET, Guest
from .lab import Lab

pytestmark = pytest.mark.slow

NAME = "t-exit"
COPY = f"{NAME}-rehearsal"


class Leaving(Database, Guest):
    """A Debian guest with an agent, which a copy needs to answer."""

    def remove(self):
        super().remove()
        for host in (SOURCE, TARGET):
            drop = (
                f"virsh destroy {COPY}; virsh undefine {COPY} --nvram; rm -rf {POOL}/{COPY}* {POOL}/rehearsal-* {POOL}/.rehearsal-*"
            )
            self.lab.run(host, f"{drop}; virsh pool-refresh vms >/dev/null", check=False)


@pytest.fixture(scope="module")
def guest(lab, tmp_path_factory):
    guest = Leaving(lab, NAME)
    guest.remove()
    try:
        guest.deploy_database(tmp_path_factory.mktemp("guest"))
        yield guest
    finally:
        guest.remove()


def rehearse(lab: Lab, path, **extra):
    return lab.playbook(
        "playbooks/exit_rehearsal.yml",
        extra={"vm": NAME, "at": SOURCE, "target": TARGET, "folder": POOL, "rehearsal_path": str(path), **extra},
    )


def left_behind(lab, host):
    return lab.run(
        host, f"ls -A {POOL} | grep -E '{COPY}|rehearsal-' || true; virsh list --all --name | grep {COPY} || true"
    ).split()


def test_a_copy_runs_elsewhere_and_is_taken_away(lab: Lab, guest, tmp_path):
    path = tmp_path / "rehearsals.jsonl"
    uuid = lab.run(SOURCE, f"virsh domuuid {NAME}").strip()
    told = rehearse(lab, path)
    assert told["rc"] == 0, told
    (record,) = read_records(path.read_text(encoding="utf-8"))
    assert (record.vm, record.hypervisor, record.target, record.problem) == (NAME, SOURCE, TARGET, "")
    assert record.bundle_valid and record.started and record.differences == ()
    assert record.bytes > 0 and record.export_seconds > 0 and record.import_seconds > 0 and record.start_seconds > 0
    assert not left_behind(lab, SOURCE) and not left_behind(lab, TARGET)
    assert guest.state(SOURCE) == "running" and lab.run(SOURCE, f"virsh domuuid {NAME}").strip() == uuid
    guest.wait_for_writes(SOURCE, 3)
    found = rehearsal_subjects([record], [{"name": NAME, "site": record.site, "bytes": 2**32}])
    assert found[1]["facts"]["exit"]["data"]["days"] > 0, json.dumps(found)


def test_a_copy_that_does_not_answer_is_a_record_as_well(lab: Lab, guest, tmp_path):
    path = tmp_path / "rehearsals.jsonl"
    told = rehearse(lab, path, wait_timeout=1)
    assert told["rc"] != 0
    (record,) = read_records(path.read_text(encoding="utf-8"))
    assert record.bundle_valid and not record.started and record.problem
    assert not left_behind(lab, SOURCE) and not left_behind(lab, TARGET)
    assert guest.state(SOURCE) == "running"


def test_a_vm_of_the_copys_name_is_not_touched(lab: Lab, guest, tmp_path):
    path = tmp_path / "rehearsals.jsonl"
    other = Guest(lab, COPY)
    try:
        other.deploy(TARGET)
        told = rehearse(lab, path)
        assert told["rc"] != 0 and not path.exists()
        assert other.state(TARGET) == "running"
    finally:
        other.remove()
