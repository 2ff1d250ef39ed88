# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Live migration between the two lab hosts, with things killed on the way; every outcome is read from both ends."""

from __future__ import annotations

import json
import subprocess
import threading

import pytest

from .guest import SOURCE, TARGET, Guest
from .lab import ROOT, command, environment, faulty


@pytest.fixture
def guest(lab):
    guest = Guest(lab, "t-move")
    guest.remove()
    guest.deploy()
    yield guest
    guest.remove()


@pytest.fixture(scope="module")
def resting(lab):
    """A guest that no test moves."""
    guest = Guest(lab, "t-rest")
    guest.remove()
    guest.deploy()
    yield guest
    guest.remove()


def ends(guest):
    return guest.state(SOURCE), guest.state(TARGET)


def autostart(guest, host):
    return "enable" in guest.lab.run(host, f"virsh dominfo {guest.name} | grep Autostart")


def untouched(guest):
    """The source runs and writes, and the target has nothing."""
    assert ends(guest) == ("running", "")
    assert guest.volumes(TARGET) == []
    guest.wait_for_writes(SOURCE, 3)


class Background:
    """A migration at work while the test breaks something; slow, so that there is time to."""

    def __init__(self, guest, **options):
        self.result = {}
        arguments = {"bandwidth": 2, **options}
        self.thread = threading.Thread(target=lambda: self.result.update(guest.migrate(**arguments)))
        self.thread.start()
        guest.wait(lambda: "Data processed" in self.job(guest), "the migration to copy")

    @staticmethod
    def job(guest):
        return guest.lab.run(SOURCE, f"virsh domjobinfo {guest.name} 2>/dev/null", check=False)

    def end(self):
        self.thread.join(600)
        assert not self.thread.is_alive()
        return self.result


def test_plan_check_run_again_release_and_back(guest):
    planned = guest.migrate(state="planned")
    assert planned["changed"] is False
    assert planned["plan"]["blockers"] == []
    # Rates are measured anew each time.
    checked = guest.migrate(check=True)["plan"]
    assert {**checked, "estimate": None} == {**planned["plan"], "estimate": None}
    assert checked["estimate"]["rate"] > 0
    untouched(guest)
    uuid = guest.lab.run(SOURCE, f"virsh domuuid {guest.name}")
    macs = guest.lab.run(SOURCE, f"virsh domiflist {guest.name} | awk 'NR>2 {{print $5}}'")

    guest.lab.run(SOURCE, f"virsh autostart {guest.name}")
    moved = guest.migrate(diff=True)
    assert moved["changed"] is True, moved
    assert moved["diff"]["before"] != moved["diff"]["after"]
    figures = moved["migration"]
    assert figures["verified"] is True
    assert 0 < figures["downtime_ms"] <= figures["total_ms"]
    assert figures["bytes"] > 2**20
    assert ends(guest) == ("shut off", "running")
    assert guest.lab.run(TARGET, f"virsh domuuid {guest.name}") == uuid
    assert guest.lab.run(TARGET, f"virsh domiflist {guest.name} | awk 'NR>2 {{print $5}}'") == macs
    assert (autostart(guest, SOURCE), autostart(guest, TARGET)) == (False, True)
    guest.wait_for_writes(TARGET, 5)
    verdict = guest.verdict(TARGET)
    assert verdict["lost"] == 0
    assert verdict["found"] >= verdict["acknowledged"] > 0

    again = guest.migrate()
    assert again["changed"] is False
    assert again["migration"]["downtime_ms"] == figures["downtime_ms"]
    assert "is completed already" in guest.migrate(state="aborted")["msg"]

    blocked = guest.migrate(TARGET, SOURCE)
    assert "kept by an earlier migration" in blocked["msg"]
    assert guest.migrate(state="released", check=True)["changed"] is True
    assert guest.volumes(SOURCE) != []
    assert guest.migrate(state="released")["changed"] is True
    assert ends(guest) == ("", "running")
    assert guest.volumes(SOURCE) == []
    assert guest.migrate(state="released")["changed"] is False

    assert guest.migrate(TARGET, SOURCE)["migration"]["verified"] is True
    assert ends(guest) == ("running", "shut off")


def test_a_vm_may_not_leave_its_countries(lab, resting):
    spec = {"name": resting.name, "allowed_countries": ["ES", "PT"], "site": "{{ federation_site }}", "hypervisor": SOURCE}
    assert lab.module(SOURCE, "virt8ra.federation.vm", {**spec, "state": "present"})["changed"] is True
    refused = resting.migrate()
    assert "may run in ES, PT only, and site lab-de is in DE" in refused["msg"]
    untouched(resting)
    lab.module(SOURCE, "virt8ra.federation.vm", {**spec, "state": "present", "allowed_countries": []})


@pytest.mark.parametrize(
    ("prepare", "options", "sentence"),
    [
        ("virsh snapshot-create-as NAME s1 >/dev/null", {}, "snapshot"),
        ("true", {"networks": {"public": "nowhere"}}, "nowhere"),
        ("true", {"storage": {"ssd": "nowhere"}}, "nowhere"),
        ("true", {"bandwidth": -1}, "bandwidth=-1"),
        ("true", {"source_hypervisor": TARGET, "source_site": "{{ federation_site }}"}, "is the target itself"),
        ("true", {"source_hypervisor": "lab-xx-1"}, "lab-xx-1"),
        ("true", {"name": "t-nobody"}, "t-nobody"),
    ],
)
def test_preflight_refuses_in_a_sentence_and_touches_nothing(resting, prepare, options, sentence):
    resting.lab.run(SOURCE, prepare.replace("NAME", resting.name))
    refused = resting.migrate(**options)
    resting.lab.run(SOURCE, f"virsh snapshot-delete {resting.name} s1 2>/dev/null || true")
    assert refused["failed"] is True
    assert sentence in refused["msg"]
    assert "Traceback" not in str(refused)
    untouched(resting)


def test_a_name_or_a_volume_that_is_taken_blocks(resting):
    resting.lab.run(
        TARGET,
        f"echo '<domain type=\"qemu\"><name>{resting.name}</name><memory>8192</memory><os><type>hvm</type></os></domain>' > /tmp/t.xml",
    )
    resting.lab.run(TARGET, "virsh define /tmp/t.xml; rm /tmp/t.xml")
    resting.lab.run(TARGET, f"virsh vol-create-as vms {resting.name}-vda.qcow2 4096")
    plan = resting.migrate(state="planned")["plan"]
    assert {"name", "volume"} == {blocker["check"] for blocker in plan["blockers"]}
    assert resting.migrate()["failed"] is True
    assert resting.volumes(TARGET) == [f"{resting.name}-vda.qcow2"], "somebody else's volume was touched"


def test_abort_in_mid_copy_goes_back_to_the_source(guest):
    guest.lab.run(SOURCE, f"virsh autostart {guest.name}")
    background = Background(guest)
    aborted = guest.migrate(state="aborted")
    assert not aborted.get("failed"), aborted
    background.end()
    untouched(guest)
    assert autostart(guest, SOURCE)
    assert guest.migrate(state="aborted")["changed"] is False


@pytest.mark.slow
def test_a_timeout_aborts_and_the_source_runs_on(guest):
    result = guest.migrate(bandwidth=1, timeout=2)
    assert "longer than its timeout" in result["msg"]
    untouched(guest)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["systemctl kill -s KILL libvirtd", "pkill -KILL -f guest=t-move"])
def test_the_targets_daemon_or_qemu_dies(guest, victim):
    background = Background(guest)
    guest.lab.run(TARGET, victim)
    result = background.end()
    assert result["failed"] is True
    guest.lab.run(TARGET, "virsh list")
    guest.migrate(state="aborted")
    untouched(guest)
    assert guest.migrate()["migration"]["verified"] is True


def test_the_sources_daemon_dies(guest):
    background = Background(guest)
    guest.lab.run(SOURCE, "systemctl kill -s KILL libvirtd")
    background.end()
    guest.lab.run(SOURCE, "virsh list")
    guest.migrate(state="aborted")
    untouched(guest)
    assert guest.migrate()["migration"]["verified"] is True


def test_the_module_dies_and_the_next_run_finishes_it(guest):
    background = Background(guest, bandwidth=8)
    guest.lab.run(TARGET, "pkill -KILL -f '[v]m_migration' || true")
    background.end()
    # libvirt goes on by itself: the VM arrives paused, and stays so, for nobody is there to commit.
    guest.wait(lambda: ends(guest) == ("shut off", "paused"), "the VM to arrive paused")
    finished = guest.migrate()
    assert finished["changed"] is True, finished
    assert finished["migration"]["phase"] == "completed"
    assert ends(guest) == ("shut off", "running")
    assert guest.verdict(TARGET)["lost"] == 0


def test_the_controller_dies_and_the_work_goes_on(guest):
    argv = [command("ansible-playbook"), "-i", str(guest.lab.inventory), "playbooks/migrate_vm.yml"]
    argv += ["-e", f"vm={guest.name}", "-e", f"target={TARGET}", "-e", "bandwidth=8"]
    controller = subprocess.Popen(argv, cwd=ROOT, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL)
    guest.wait(lambda: "Data processed" in Background.job(guest), "the migration to copy")
    controller.kill()
    controller.wait()
    guest.wait(lambda: ends(guest) == ("shut off", "running"), "the detached module to finish")
    assert guest.migrate()["migration"]["phase"] == "completed"
    assert guest.verdict(TARGET)["lost"] == 0


def test_a_person_sees_progress(guest):
    shown = guest.lab.shown("playbooks/migrate_vm.yml", "-e", f"vm={guest.name}", "-e", f"target={TARGET}", "-e", "bandwidth=8")
    assert f"{guest.name}  {SOURCE} → {TARGET}  copying" in shown
    assert not faulty(shown)
    again = guest.lab.shown("playbooks/migrate_vm.yml", "-e", f"vm={guest.name}", "-e", f"target={TARGET}")
    assert "changed=0" in again
    assert not faulty(again)


@pytest.mark.slow
def test_snapshots_are_put_aside_and_put_back(guest):
    """libvirt migrates no VM that has any; they stay with the source copy, or come back when it is taken back."""

    def snapshots():
        looks = f"virsh snapshot-list {guest.name} --tree | grep -v '^ *|* *$'; virsh snapshot-current {guest.name} --name"
        return guest.lab.run(SOURCE, looks).split()

    for name in ("s1", "s2", "s3"):
        guest.lab.run(SOURCE, f"virsh snapshot-create-as {guest.name} {name}")
    guest.lab.run(SOURCE, f"virsh snapshot-revert {guest.name} s2")
    before = snapshots()
    assert before == ["s1", "+-", "s2", "+-", "s3", "s2"]
    assert "3 snapshot(s), which cannot follow it" in guest.migrate()["msg"]
    late = guest.migrate(clear=["snapshots"], bandwidth=1, timeout=2)
    assert "longer than its timeout" in late["msg"]
    untouched(guest)
    assert snapshots() == before
    assert guest.migrate(clear=["snapshots"])["migration"]["phase"] == "completed"
    assert ends(guest) == ("shut off", "running")
    assert snapshots() == before
    assert guest.lab.run(SOURCE, "ls /var/lib/virt8ra/owners | grep aside || true") == ""
    assert guest.migrate(state="released")["migration"]["phase"] == "released"
    assert guest.volumes(SOURCE) == []


@pytest.mark.slow
def test_a_guest_that_is_suspended_comes_over_or_runs_on(guest):
    """Its job ends while it is suspended: it is taken back, and runs on. Then it comes over."""
    background = Background(guest, bandwidth=4, suspend_after=1)
    guest.wait(lambda: guest.state(SOURCE) == "paused", "the guest to be suspended")
    guest.lab.run(SOURCE, f"virsh domjobabort {guest.name}")
    assert background.end()["failed"] is True
    untouched(guest)
    moved = guest.migrate(bandwidth=12, suspend_after=1)
    assert moved["migration"]["phase"] == "completed", moved
    assert ends(guest) == ("shut off", "running")
    assert moved["migration"]["downtime_ms"] > 1000, "the whole pause is told"
    assert guest.verdict(TARGET)["lost"] == 0


@pytest.mark.slow
def test_disks_are_read_at_both_ends_and_compared_while_the_guest_runs(guest):
    moved = guest.migrate(verify_disks=True)
    assert moved["migration"]["phase"] == "completed", moved
    figures = moved["migration"]
    assert (figures["not_compared"], figures["differing_extents"], figures["verified"]) == ("", 0, True)
    assert figures["compared_bytes"] > 8 * 2**20
    assert ends(guest) == ("shut off", "running"), "the kept copy was only held"
    left = f"find /var/lib/libvirt -name '{guest.name}*scratch*'; virsh backup-dumpxml {guest.name} 2>/dev/null; true"
    assert [guest.lab.run(host, left).strip() for host in (SOURCE, TARGET)] == ["", ""]
    assert guest.verdict(TARGET)["lost"] == 0
    assert guest.migrate(verify_disks=True)["changed"] is False


@pytest.mark.slow
def test_a_disk_that_differs_is_told_and_the_source_copy_is_not_released(guest):
    """A cluster of the source's file changes behind QEMU's back, after it was mirrored."""
    background = Background(guest, bandwidth=4, verify_disks=True)
    streams = "ss -Htn state established '( dport >= :49152 and dport <= :49215 )'"
    guest.wait(lambda: guest.lab.run(SOURCE, streams).count("\n") == 2, "the memory to follow the disk")
    extents = json.loads(guest.lab.run(SOURCE, f"qemu-img map -U --output=json {guest.volume}"))
    at = [extent for extent in extents if extent["data"] and "offset" in extent][-1]
    spoil = f"dd if=/dev/urandom of={guest.volume} bs=4096 count=1 seek={at['offset'] // 4096} conv=notrunc,fsync oflag=direct"
    guest.lab.run(SOURCE, spoil)
    result = background.end()
    assert "1 extent(s) of the disks at lab-de-1 are not those of lab-es-1" in result.get("msg", ""), result
    assert ends(guest) == ("shut off", "running")
    assert "were found to differ" in guest.migrate(state="released")["msg"]
    assert guest.volumes(SOURCE) == [f"{guest.name}-vda.qcow2"]
    assert guest.verdict(TARGET)["lost"] == 0
