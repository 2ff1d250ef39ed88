# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Warm and cold migration between the two lab hosts, and the guard over what they leave behind."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta, timezone

import pytest

from .guest import IMAGE, SOURCE, TARGET, Guest


@pytest.fixture
def guest(lab):
    guest = Guest(lab, "t-warm")
    guest.remove()
    guest.deploy()
    yield guest
    guest.remove()


def ends(guest):
    return guest.state(SOURCE), guest.state(TARGET)


def left_at_source(guest):
    """Checkpoints, scratch files and jobs of a migration."""
    looks = f"virsh checkpoint-list {guest.name} --name | grep .; ls /var/lib/libvirt/vms | grep scratch; virsh backup-dumpxml {guest.name}"
    return guest.lab.run(SOURCE, f"({looks}) 2>/dev/null || true").strip()


def arrived_whole(guest):
    guest.wait_for_writes(TARGET, 3)
    verdict = guest.verdict(TARGET)
    assert verdict["lost"] == 0
    assert verdict["contiguous"]
    assert verdict["found"] >= verdict["acknowledged"] > 0


def test_rounds_copy_what_was_written_and_the_cutover_loses_nothing(guest):
    first = guest.migrate(mode="warm", state="synced")
    assert first["changed"] is True, first
    assert first["migration"]["phase"] == "synced"
    assert ends(guest) == ("running", "")
    guest.wait_for_writes(SOURCE, 5)
    (_seed, second) = guest.migrate(mode="warm", state="synced")["report"]["rounds"]
    assert second["kind"] == "delta"
    assert 0 < second["bytes"] <= 2**20, "a round copies what was written, not the disk"
    told = guest.lab.module(TARGET, "virt8ra.federation.vm_migration_info", {"name": guest.name})
    assert [one["pending_bytes"] for one in told["received"]] == [0]
    journal = guest.lab.module(SOURCE, "virt8ra.federation.vm_migration_info", {"name": guest.name})["migrations"][0]
    assert (journal["journal"]["phase"], journal["owner"]["hypervisor"]) == ("synced", SOURCE)

    refused = guest.migrate(mode="live")
    assert "does not go with the warm migration that is under way" in refused["msg"]
    done = guest.migrate(mode="warm", downtime_budget=60)
    assert done["migration"]["phase"] == "completed", done
    assert done["migration"]["verified"] is True
    assert 0 < done["migration"]["downtime_ms"] <= done["migration"]["total_ms"]
    assert ends(guest) == ("shut off", "running")
    assert guest.migrate(mode="warm")["changed"] is False
    arrived_whole(guest)
    assert left_at_source(guest) == ""

    refusal = guest.lab.run(SOURCE, f"virsh start {guest.name} 2>&1", check=False)
    assert f"may not start at {SOURCE}: its owner is {TARGET} (epoch 2)" in refusal
    xml = f"virsh dumpxml --inactive {guest.name} | sed '/<metadata/,/<[/]metadata>/d' > /tmp/t-warm.xml"
    refusal = guest.lab.run(SOURCE, f"{xml}; virsh create /tmp/t-warm.xml 2>&1; rm /tmp/t-warm.xml", check=False)
    assert "its owner is" in refusal, "old XML without metadata"
    other = "sed -i -e 's#<uuid>.*#<uuid>11111111-2222-4333-8444-555555555555</uuid>#' -e 's#<name>.*#<name>t-warm-x</name>#' /tmp/t-warm.xml"
    refusal = guest.lab.run(SOURCE, f"{xml}; {other}; virsh create /tmp/t-warm.xml 2>&1; rm /tmp/t-warm.xml", check=False)
    assert "is a copy of VM" in refusal, "another VM on the kept disk"
    guest.lab.run(SOURCE, f"virsh autostart {guest.name} && systemctl restart libvirtd && sleep 3 && virsh list >/dev/null")
    guest.lab.run(TARGET, "systemctl restart libvirtd && virsh list >/dev/null")
    assert ends(guest) == ("shut off", "running"), "autostart is refused, and a VM that runs is not touched"

    released = guest.migrate(state="released")["migration"]
    assert released["phase"] == "released"
    receipt = released["receipt"]
    assert (receipt["hypervisor"], receipt["country"], receipt["volumes"]) == (
        SOURCE,
        "ES",
        [f"/var/lib/libvirt/vms/{guest.name}-vda.qcow2"],
    )
    kept = json.loads(guest.lab.run(TARGET, f"cat /var/lib/virt8ra/receipts/{receipt['uuid']}.{released['id']}.json"))
    assert kept == receipt
    assert guest.volumes(SOURCE) == []
    assert ends(guest) == ("", "running")
    assert guest.volumes(SOURCE) == []


def test_a_saved_image_of_before_cannot_be_restored(guest):
    save = f"/var/lib/libvirt/images/{guest.name}.save"
    guest.lab.run(SOURCE, f"virsh save {guest.name} {save} && cp {save} {save}.old && virsh restore {save}")
    try:
        guest.wait_for_writes(SOURCE, 3)
        assert guest.migrate(mode="cold")["migration"]["phase"] == "completed"
        assert "its owner is" in guest.lab.run(SOURCE, f"virsh restore {save}.old 2>&1", check=False)
        assert ends(guest) == ("shut off", "running")
    finally:
        guest.lab.run(SOURCE, f"rm -f {save} {save}.old")


def test_aborted_leaves_nothing_and_the_vm_runs(guest):
    guest.migrate(mode="warm", state="synced")
    assert guest.volumes(TARGET) != []
    assert guest.migrate(mode="warm", state="aborted", check=True)["changed"] is True
    assert guest.migrate(mode="warm", state="aborted")["changed"] is True
    assert ends(guest) == ("running", "")
    assert guest.volumes(TARGET) == []
    assert left_at_source(guest) == ""
    uuid = guest.lab.run(SOURCE, f"virsh domuuid {guest.name}").strip()
    assert guest.lab.run(TARGET, f"ls /var/lib/virt8ra/migrations | grep {uuid} || true") == ""
    assert guest.migrate(mode="warm", state="aborted")["changed"] is False


def test_a_vm_that_is_off_moves_cold_to_another_format_with_a_new_mac_and_its_disc(guest):
    disc = f"/var/lib/libvirt/images/{guest.name}-seed.iso"
    guest.lab.run(SOURCE, f"dd if=/dev/urandom of={disc} bs=1k count=64 2>/dev/null")
    guest.lab.run(SOURCE, f"virsh attach-disk {guest.name} {disc} sda --type cdrom --mode readonly --config")
    guest.lab.module(
        SOURCE,
        "virt8ra.federation.vm",
        {"name": guest.name, "state": "stopped", "site": "{{ federation_site }}", "hypervisor": SOURCE},
    )
    assert guest.state(SOURCE) == "shut off"
    before = guest.lab.run(SOURCE, f"virsh domiflist {guest.name} --inactive | awk 'NR>2 {{print $5}}'").strip()
    plan = guest.migrate(mode="auto", state="planned")["plan"]
    assert plan["mode"] == "cold"
    assert "not live: VM" in plan["reason"]

    moved = guest.migrate(mode="auto", formats={"vda": "raw"}, macs="remap")
    assert moved["migration"]["phase"] == "completed", moved
    assert ends(guest) == ("shut off", "shut off"), "what was off stays off"
    described = guest.lab.run(TARGET, f"virsh domblklist {guest.name}; virsh domiflist {guest.name}")
    assert f"{guest.name}-vda.raw" in described
    assert before not in described
    sums = {
        host: guest.lab.run(host, f"sha256sum < {path}")
        for host, path in ((SOURCE, disc), (TARGET, f"/var/lib/libvirt/vms/{guest.name}-sda.iso"))
    }
    assert sums[SOURCE] == sums[TARGET]
    sparse = guest.lab.run(TARGET, f"du -m /var/lib/libvirt/vms/{guest.name}-vda.raw | cut -f1")
    assert int(sparse) < 60, "holes stay holes"
    guest.lab.run(TARGET, f"virsh start {guest.name}")
    guest.volume = f"/var/lib/libvirt/vms/{guest.name}-vda.raw"
    arrived_whole(guest)
    guest.lab.run(SOURCE, f"rm -f {disc}")


@pytest.fixture
def block_device(guest):
    """A block device at the source, in a pool t-block of its own: its path. It is a loop device, made and taken away by its own number."""
    image = "/var/lib/libvirt/t-block.img"
    nodes = "for n in $(seq 0 15); do [ -e /dev/loop$n ] || mknod /dev/loop$n b 7 $n; done; [ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237"
    loop = guest.lab.run(SOURCE, f"truncate -s 64M {image}; {nodes}; losetup -f --show {image}", check=False).strip()
    if not loop:
        pytest.skip("this kernel has no loop devices")
    path = f"/dev/t-block/{guest.name}-vda"
    guest.lab.run(SOURCE, f"mkdir -p /dev/t-block; cp -a {loop} {path}; virsh pool-create-as t-block dir --target /dev/t-block")
    yield path
    guest.remove()
    guest.lab.run(SOURCE, f"virsh pool-destroy t-block; losetup -d {loop}; rm -rf /dev/t-block {image}", check=False)


@pytest.mark.slow
def test_a_block_device_moves_cold_into_a_file(guest, block_device):
    image = f"/var/lib/libvirt/vms/{guest.name}-vda.qcow2"
    edits = (
        "-e \"s#type='file' device='disk'#type='block' device='disk'#\" -e \"s#type='qcow2'#type='raw'#\" "
        f"-e \"s#<source file='{image}'/>#<source dev='{block_device}'/>#\""
    )
    guest.lab.run(
        SOURCE,
        f"virsh destroy {guest.name} && qemu-img convert -n -O raw {image} {block_device} && rm {image} && virsh pool-refresh vms && "
        f"virsh pool-refresh t-block && virsh dumpxml --inactive {guest.name} | sed {edits} > /tmp/t-block.xml && "
        f"virsh define /tmp/t-block.xml && rm /tmp/t-block.xml && virsh start {guest.name}",
    )
    guest.wait_for_writes(SOURCE, 5)
    mapped = "{'storage': {'ssd': 't-block', 'images': 'images'}}"
    options = {
        "formats": {"vda": "qcow2"},
        "source_site": f"{{{{ hostvars['{SOURCE}'].federation_site | combine({mapped}, recursive=true) }}}}",
    }
    assert "use mode live or cold" in guest.migrate(mode="warm", **options)["msg"], "a raw disk holds no bitmaps"
    moved = guest.migrate(mode="cold", **options)
    assert moved["migration"]["phase"] == "completed", moved
    (copy,) = moved["report"]["rounds"]
    assert copy["zero_bytes"] > 32 * 2**20, "a block device tells no holes; they are found"
    assert int(guest.lab.run(TARGET, f"du -m {image} | cut -f1")) < 60, "and stay holes"
    arrived_whole(guest)
    assert "its owner is" in guest.lab.run(SOURCE, f"virsh start {guest.name} 2>&1", check=False)
    assert guest.migrate(mode="cold", state="released", **options)["migration"]["phase"] == "released"
    assert ends(guest) == ("", "running")


def test_the_tpms_state_travels(guest):
    tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
    guest.lab.run(
        SOURCE,
        f'virsh destroy {guest.name} && virsh dumpxml --inactive {guest.name} | sed "s#</devices>#{tpm}</devices>#" > /tmp/t-tpm.xml && '
        f"virsh define /tmp/t-tpm.xml && virsh start {guest.name} && virsh destroy {guest.name}; rm /tmp/t-tpm.xml",
    )
    uuid = guest.lab.run(SOURCE, f"virsh domuuid {guest.name}").strip()
    look = f"sha256sum < /var/lib/libvirt/swtpm/{uuid}/tpm2/tpm2-00.permall"
    assert guest.migrate(mode="cold")["migration"]["phase"] == "completed"
    assert guest.lab.run(SOURCE, look) == guest.lab.run(TARGET, look), "its seeds and counters are the same"
    guest.migrate(state="released")
    guest.lab.run(TARGET, f"virsh start {guest.name}")
    assert guest.migrate(TARGET, SOURCE)["migration"]["verified"] is True, "live, through QEMU's own stream"
    guest.migrate(TARGET, SOURCE, state="released")
    assert guest.lab.run(TARGET, f"ls /var/lib/libvirt/swtpm | grep {uuid} || true") == "", "nothing of it stays behind"


def test_the_firmwares_variables_of_a_vm_that_is_off_travel(guest):
    name = f"{guest.name}-uefi"
    uefi = Guest(guest.lab, name)
    uefi.remove()
    try:
        disk = {"name": "vda", "size": "64MiB", "storage": "ssd", "image": f"images/{IMAGE}"}
        spec = {"name": name, "cpus": 1, "memory": "256MiB", "firmware": "uefi", "disks": [disk]}
        place = {"site": "{{ federation_site }}", "hypervisor": "{{ inventory_hostname }}"}
        made = guest.lab.module(SOURCE, "virt8ra.federation.vm", {**spec, **place})
        assert not made.get("failed"), made.get("msg")
        variables = f"/var/lib/libvirt/qemu/nvram/{name}_VARS.fd"
        guest.lab.run(SOURCE, f"virsh start {name} && virsh destroy {name} && printf mark | dd of={variables} seek=99 conv=notrunc")
        before = guest.lab.run(SOURCE, f"sha256sum < {variables}")
        assert uefi.migrate(mode="cold")["migration"]["phase"] == "completed"
        assert guest.lab.run(TARGET, f"sha256sum < {variables}") == before
        guest.lab.run(TARGET, f"virsh start {name} && virsh destroy {name}")
    finally:
        uefi.remove()


def test_the_second_run_waits_for_the_first(guest):
    results = []
    runs = [threading.Thread(target=lambda: results.append(guest.migrate(mode="warm", bandwidth=8))) for _run in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(600)
    assert sorted(result["changed"] for result in results) == [False, True], results
    assert ends(guest) == ("shut off", "running")
    arrived_whole(guest)


def test_a_vm_that_does_not_start_at_the_target_is_given_back(guest):
    guest.migrate(mode="warm", state="synced")
    # Without its firmware QEMU does not start there.
    guest.lab.run(TARGET, "mount -t tmpfs none /usr/share/seabios")
    try:
        failed = guest.migrate(mode="warm")
    finally:
        guest.lab.run(TARGET, "umount /usr/share/seabios")
    assert failed["failed"] is True
    assert f"given back to {SOURCE}" in failed["msg"], failed["msg"]
    assert ends(guest) == ("running", "")
    guest.wait_for_writes(SOURCE, 3)
    done = guest.migrate(mode="warm")
    assert done["migration"]["phase"] == "completed", done
    kinds = [entry["kind"] for entry in done["report"]["rounds"]]
    assert kinds.count("full") == 2, "what the target held is not relied upon again"
    arrived_whole(guest)


@pytest.mark.slow
def test_a_guest_that_does_not_live_at_the_target_is_given_back(guest):
    # It runs on from its memory; nothing boots from such a disk.
    wipe = 'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P 0 0 1M"'
    assert not guest.lab.run(SOURCE, f"virsh qemu-monitor-command --hmp {guest.name} '{wipe}'").strip()
    result = guest.migrate(mode="warm", life_timeout=8)
    assert result.get("failed"), result
    assert "gave no sign of life within 8 s" in result["msg"]
    assert "given back to lab-es-1" in result["msg"]
    assert ends(guest) == ("running", "")
    assert result["report"]["error"] == result["msg"], "a failed migration has its report too"


@pytest.mark.slow
def test_a_broken_checkpoint_means_a_full_copy_and_says_so(guest):
    guest.migrate(mode="warm", state="synced")
    guest.lab.run(SOURCE, f"virsh checkpoint-delete {guest.name} $(virsh checkpoint-list {guest.name} --name | head -1)")
    again = guest.migrate(mode="warm", state="synced")
    assert [entry["kind"] for entry in again["report"]["rounds"]] == ["full", "full"]
    assert "is broken" in again["report"]["warnings"][0]
    assert guest.migrate(mode="warm")["migration"]["phase"] == "completed"
    arrived_whole(guest)


@pytest.mark.slow
def test_a_guard_that_sleeps_blocks_the_migration(guest):
    hook = "/etc/libvirt/hooks/qemu.d/10-virt8ra-owner-guard"
    guest.lab.run(TARGET, f"chmod -x {hook}")
    try:
        blocked = guest.migrate(mode="cold")
    finally:
        guest.lab.run(TARGET, f"chmod +x {hook}")
    assert f"the owner guard at {TARGET} is missing or not executable; run the kvm_host role" in blocked["msg"]
    assert ends(guest) == ("running", "")
    assert guest.volumes(TARGET) == []


NOW = datetime.now(timezone.utc)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"not_after": (NOW - timedelta(hours=1)).isoformat()}, "is in the past"),
        ({"not_before": "tomorrow"}, "is not a moment"),
        ({"not_before": "2999-01-01T00:00:00"}, "has no time zone"),
        ({"downtime_budget": 0}, "downtime_budget=0: leaves no time"),
        ({"connections": 0}, "connections=0"),
        ({"backup_ports": [5, 4]}, "is not a range of ports"),
        ({"mode": "live", "state": "synced"}, "has no rounds before its cutover"),
        ({"formats": {"vdz": "raw"}}, "formats names disk vdz"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(guest_at_rest, options, sentence):
    refused = guest_at_rest.migrate(**{"mode": "warm", **options})
    assert refused["failed"] is True
    assert sentence in refused["msg"]
    assert "Traceback" not in str(refused)
    assert ends(guest_at_rest) == ("running", "")
    assert guest_at_rest.volumes(TARGET) == []


@pytest.fixture(scope="module")
def guest_at_rest(lab):
    guest = Guest(lab, "t-calm")
    guest.remove()
    guest.deploy()
    yield guest
    guest.remove()


def test_checkpoints_of_a_backup_tool_block_unless_they_may_stay_behind(guest_at_rest):
    name = guest_at_rest.name
    guest_at_rest.lab.run(SOURCE, f"virsh checkpoint-create-as {name} nightly-1 >/dev/null")
    try:
        refused = guest_at_rest.migrate(mode="warm")
        assert "the backup tool's checkpoint(s) nightly-1" in refused["msg"]
        assert guest_at_rest.migrate(mode="warm", state="planned", clear=["checkpoints"])["plan"]["blockers"] == []
    finally:
        guest_at_rest.lab.run(SOURCE, f"virsh checkpoint-delete {name} nightly-1")


def test_disks_are_kept_in_step_until_the_window_opens(guest_at_rest):
    opens = datetime.now(timezone.utc) + timedelta(seconds=40)
    synced = guest_at_rest.migrate(mode="warm", state="synced", not_before=opens.isoformat(), sync_interval=3)
    assert synced["migration"]["phase"] == "synced", synced
    assert datetime.now(timezone.utc) >= opens
    kinds = [entry["kind"] for entry in synced["report"]["rounds"]]
    assert kinds[0] == "full"
    assert kinds.count("delta") == len(kinds) - 1 >= 2, "a round each few seconds"
    assert ends(guest_at_rest) == ("running", "")
    assert guest_at_rest.migrate(mode="warm", state="aborted")["changed"] is True


@pytest.mark.slow
def test_a_window_that_closes_takes_it_all_back(guest_at_rest):
    closes = (datetime.now(timezone.utc) + timedelta(seconds=9)).isoformat()
    late = guest_at_rest.migrate(mode="cold", bandwidth=1, not_after=closes)
    assert late["failed"] is True
    assert "was taken back" in late["msg"], late["msg"]
    assert ends(guest_at_rest) == ("running", "")
    guest_at_rest.wait_for_writes(SOURCE, 3)
    assert guest_at_rest.migrate(mode="cold", state="aborted")["changed"] is True
    assert guest_at_rest.volumes(TARGET) == []
