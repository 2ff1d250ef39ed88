# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vm against a lab host: every change is checked, made, and made again without a change."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from .lab import ROOT, Unsafe

HOST = "lab-es-1"
NAME = "t-vm"
POOL = "/var/lib/libvirt/vms"
IMAGES = "/var/lib/libvirt/images"
DISK = {"name": "vda", "size": "64MiB", "storage": "ssd"}
SPEC = {"cpus": 1, "memory": "128MiB", "disks": [DISK], "nics": [{"network": "public"}], "accelerator": "tcg"}
HOSTILE = "{{ lookup('pipe', 'touch /tmp/t-hostile') }}"
SITE = {"site": "{{ federation_site }}", "hypervisor": "{{ inventory_hostname }}"}
GONE = {"state": "absent", "remove_disks": True, "force": True, "shutdown_timeout": 0}

BAD = [
    ({"cpus": 0}, "cpus"),
    ({"cpus": 900}, "cpus"),
    ({"memory": "lots"}, "memory"),
    ({"memory": "900TiB"}, "memory"),
    ({"machine": "q35"}, "machine"),
    ({"machine": "pc-q35-99.0"}, "machine"),
    ({"cpu_model": "host-passthrough"}, "cpu_model"),
    ({"cpu_model": "EPYC-Turin-v9"}, "cpu_model"),
    ({"accelerator": "kvm"}, "accelerator"),
    ({"uuid": "5"}, "uuid"),
    ({"allowed_countries": ["UK"]}, "allowed_countries"),
    ({"disks": [{**DISK, "storage": "gold"}]}, "disks[0].storage"),
    ({"disks": [{**DISK, "size": "64MB"}]}, "disks[0].size"),
    ({"disks": [{**DISK, "size": "900TiB"}]}, "disks[0].size"),
    ({"disks": [{**DISK, "image": "images/t-none"}]}, "disks[0].image"),
    ({"disks": [{**DISK, "image": "nowhere/x"}]}, "disks[0].image"),
    ({"disks": [DISK, {**DISK, "name": "sda"}]}, "disks[1].name"),
    ({"nics": [{"network": "dark"}]}, "nics[0].network"),
    ({"nics": [{"network": "public", "mac": "ff:00:00:00:00:01"}]}, "nics[0].mac"),
]


class Subject:
    """One VM of the lab that a test may do anything to."""

    def __init__(self, lab):
        self.lab = lab

    def run(self, *, name=NAME, check=False, diff=False, host=HOST, **options):
        result = self.lab.module(host, "virt8ra.federation.vm", {"name": name, **SITE, **options}, check=check, diff=diff)
        result.pop("warnings", None)
        return result

    def ok(self, **options):
        result = self.run(**options)
        assert not result.get("failed"), result.get("msg")
        return result

    def settle(self, **options):
        """Check, run, run again: check tells what the run does, and the second run does nothing. The run's result."""
        foretold = self.ok(check=True, diff=True, **options)
        done = self.ok(diff=True, **options)
        again = self.ok(diff=True, **options)
        for key in ("changed", "diff", "actions", "restart_required", "restart_fields"):
            assert foretold[key] == done[key], key
        assert done["changed"] is True
        assert (again["changed"], again["actions"]) == (False, [])
        assert again["diff"]["before"] == again["diff"]["after"]
        assert again["status"] is done["status"] is None or again["status"]["vm"] == done["status"]["vm"]
        return done

    def refused(self, option, *words, **options):
        """Refused in check mode and for real with the same sentence, which names option and remedy; nothing was touched."""
        before = self.traces()
        result = self.run(**options)
        assert result.get("failed"), result
        assert self.run(check=True, **options)["msg"] == result["msg"]
        assert result["error"]["option"] == option, result["msg"]
        assert result["error"]["remedy"], result["msg"]
        assert "Traceback" not in json.dumps(result)
        for word in words:
            assert word in result["msg"]
        assert self.traces() == before
        return result["msg"]

    def traces(self):
        """All that a test of refusals could leave: its VMs and its volumes."""
        shown = (
            f"for vm in {NAME} t-foreign; do virsh dumpxml $vm; done 2>/dev/null; ls -l --time-style=+ {POOL}/{NAME}-* 2>/dev/null"
        )
        return self.lab.run(HOST, f"{shown}; true")

    def domain(self, *flags):
        return ET.fromstring(self.lab.run(HOST, f"virsh dumpxml {' '.join(flags)} {NAME}"))

    def clean(self):
        flags = "--managed-save --snapshots-metadata --checkpoints-metadata --nvram"
        self.lab.run(
            HOST,
            f"for vm in {NAME} t-foreign; do virsh destroy $vm; virsh undefine $vm {flags}; done >/dev/null 2>&1; "
            f"rm -f {POOL}/{NAME}-* {IMAGES}/t-vm-* /tmp/t-hostile /var/log/libvirt/qemu/{NAME}-console.log; "
            "virsh pool-refresh vms; virsh pool-refresh images",
        )


@pytest.fixture
def vm(lab):
    subject = Subject(lab)
    subject.clean()
    yield subject
    subject.clean()


def volumes(vm):
    return sorted(vm.lab.run(HOST, f"ls {POOL} | grep '^{NAME}-' || true").split())


def after(result):
    return json.loads(result["diff"]["after"])


def test_a_vm_comes_runs_stops_and_goes(vm):
    vm.lab.run(HOST, f"head -c 3000000 /dev/urandom > {IMAGES}/t-vm-image")
    image = {**DISK, "image": "images/t-vm-image"}
    made = vm.settle(**{**SPEC, "disks": [image]}, state="running", console_log=True, description=HOSTILE.replace("{{", "{ {"))
    status = made["status"]
    assert (status["state"], status["managed"], status["owner"]) == ("running", True, {"hypervisor": HOST, "epoch": 1})
    assert status["vm"]["disks"][0]["size"] == 64 * 2**20
    assert status["vm"]["machine"].startswith("pc-q35-")
    assert made["diff"]["before"] == ""
    vm.lab.run(HOST, f"qemu-img convert -U -O raw {POOL}/{NAME}-vda.qcow2 /tmp/t-vm-raw")
    vm.lab.run(HOST, f"cmp -n 3000000 /tmp/t-vm-raw {IMAGES}/t-vm-image; rm /tmp/t-vm-raw")
    assert vm.domain().find("devices/graphics") is None

    stopped = vm.settle(state="stopped", force=True, shutdown_timeout=0)
    assert stopped["status"]["state"] == "stopped"
    assert vm.settle(state="running")["actions"] == [f"start the VM {NAME}"]

    vm.settle(state="absent", force=True, shutdown_timeout=0)
    assert volumes(vm) == [f"{NAME}-vda.qcow2"]
    assert vm.lab.run(HOST, f"virsh domstate {NAME} 2>/dev/null || echo none").strip() == "none"


def test_disks_go_with_the_vm_only_when_that_is_asked(vm):
    vm.lab.run(HOST, f"touch {POOL}/{NAME}-of-another")
    vm.ok(**SPEC)
    vm.settle(**GONE)
    assert volumes(vm) == [f"{NAME}-of-another"]


def test_a_volume_that_was_kept_is_never_written_over(vm):
    vm.ok(**SPEC)
    vm.ok(state="absent")
    vm.refused("disks[0].name", f"{NAME}-vda.qcow2 already", **SPEC)


def test_a_running_vm_follows_where_it_can(vm):
    image = next((ROOT / "build" / "cache").glob("demo-guest-counter-*.raw"))
    vm.lab.module(HOST, "ansible.builtin.copy", {"src": str(image), "dest": f"{IMAGES}/t-vm-guest", "mode": "0644"})
    root = {**DISK, "image": "images/t-vm-guest"}
    vm.ok(**{**SPEC, "disks": [root], "state": "running", "console_log": True})
    vm.lab.run(HOST, f"timeout 120 sh -c 'until grep -q ^ack /var/log/libvirt/qemu/{NAME}-console.log; do sleep 1; done'")

    done = vm.settle(cpus=2, description="live", autostart=True, allowed_countries=["ES", "DE"])
    assert done["restart_required"] is False
    assert (vm.domain().find("vcpu").get("current"), vm.domain().find("vcpu").text) == (None, "2")
    assert vm.domain().findtext("description") == "live"

    more = [
        {"name": "vda"},
        {"name": "vdb", "size": "32MiB", "storage": "ssd"},
        {"name": "sda", "size": 2**20 + 512, "storage": "ssd", "bus": "scsi"},
    ]
    assert vm.settle(disks=more)["restart_required"] is False
    grown = vm.settle(disks=[{"name": "vda", "size": "80MiB"}, {"name": "vdb", "size": "40MiB"}, {"name": "sda"}])
    assert grown["restart_required"] is False
    assert f"{80 * 2**20}" in vm.lab.run(HOST, f"virsh domblkinfo {NAME} vda")

    twins = vm.settle(nics=[{"network": "public"}, {"network": "public", "model": "e1000e"}])
    macs = [nic["mac"] for nic in twins["status"]["vm"]["nics"]]
    assert len(set(macs)) == 2
    assert after(twins)["nics"][1]["mac"] == ""
    same = {(one.find("mac").get("address"), one.find("address").get("bus")) for one in vm.domain().iterfind("devices/interface")}
    assert same == {
        (one.find("mac").get("address"), one.find("address").get("bus"))
        for one in vm.domain("--inactive").iterfind("devices/interface")
    }
    vm.settle(nics=[{"network": "public", "mac": macs[0]}])

    vm.settle(disks=[{"name": "vda"}, {"name": "vdb"}])
    assert f"{NAME}-sda.qcow2" in volumes(vm)
    vm.settle(disks=[{"name": "vda"}], remove_disks=True)
    assert volumes(vm) == [f"{NAME}-sda.qcow2", f"{NAME}-vda.qcow2"]


def test_what_waits_for_a_restart_is_named_until_it_was(vm):
    vm.ok(**SPEC, state="running")
    changed = {"cpus": 3, "memory": "192MiB", "console_log": True, "machine": "pc-q35-7.1", "cpu_model": "Westmere"}
    done = vm.settle(**changed)
    assert done["restart_fields"] == ["cpus", "memory", "cpu_model", "machine", "console_log"]
    assert vm.ok(state="running")["restart_required"] is True
    sata = vm.settle(disks=[{"name": "vda"}, {"name": "sda", "bus": "sata", "size": "1MiB", "storage": "ssd"}])
    assert "disks" in sata["restart_fields"]
    assert vm.ok(state="stopped", force=True, shutdown_timeout=0)["restart_required"] is False
    assert vm.ok(state="running")["restart_required"] is False
    assert vm.domain().findtext("cpu/model") == "Westmere"


def test_a_stopped_vm_is_changed_and_started_in_one_run(vm):
    vm.ok(**SPEC)
    done = vm.settle(state="running", memory="192MiB", disks=[{"name": "vda", "size": "65MiB"}], nics=[])
    assert done["actions"] == [f"change memory, disks, nics of the VM {NAME}", f"start the VM {NAME}"]
    assert done["status"]["vm"]["disks"][0]["size"] == 65 * 2**20


def test_a_baseline_is_stored_by_name_and_kept(vm):
    made = vm.settle(**SPEC, cpu_model="baseline")
    assert made["status"]["vm"]["cpu_model"] not in ("baseline", "")
    assert vm.domain().find("cpu").get("mode") == "custom"
    vm.ok(state="running")
    vm.ok(**GONE)


def test_a_vm_with_uefi_is_told_from_one_with_bios(vm):
    made = vm.settle(**SPEC, firmware="uefi", state="running")
    assert made["status"]["vm"]["firmware"] == "uefi"
    vm.settle(**GONE)


def test_what_libvirt_adds_to_the_xml_is_no_change(vm):
    vm.ok(**SPEC)
    assert vm.domain().find("devices/disk/address") is not None
    assert vm.ok(**SPEC)["changed"] is False
    vm.ok(state="running")
    assert vm.ok(**SPEC)["changed"] is False


def test_bad_input_is_refused_before_anything_is_touched(vm):
    tasks = [
        {"name": option, "virt8ra.federation.vm": {"name": NAME, **SITE, **SPEC, **change}, "ignore_errors": True}
        for change, option in BAD
    ]
    before = vm.traces()
    refusals = vm.lab.tasks(HOST, tasks)
    assert len(refusals) == len(BAD)
    for refusal, (change, option) in zip(refusals, BAD):
        assert refusal.get("failed"), change
        assert refusal["error"]["option"] == option, refusal["msg"]
        assert refusal["error"]["remedy"], refusal["msg"]
        assert refusal["msg"].startswith(option)
    assert vm.traces() == before
    assert [sentence(refusal) for refusal in vm.lab.tasks(HOST, tasks, check=True)] == [sentence(refusal) for refusal in refusals]


def sentence(refusal):
    """The message, but for the space that is free just now."""
    return re.sub(r"has \S+ \S+ free", "has free", refusal["msg"])


def test_a_vm_that_is_not_there_needs_its_size(vm):
    vm.refused("name", "cpus is not given", state="running")
    assert vm.ok(**GONE)["changed"] is False


def test_what_cannot_change_is_refused(vm):
    vm.ok(**SPEC)
    vm.refused("disks[0].size", "smaller", disks=[{"name": "vda", "size": "32MiB"}])
    vm.refused("disks[0].format", disks=[{"name": "vda", "format": "raw"}])
    vm.refused("disks[0].storage", disks=[{"name": "vda", "storage": "images"}])
    vm.refused("firmware", firmware="uefi")
    vm.refused("uuid", uuid="5f1d4d5e-4d3f-4c7a-9a53-3f3f0d2f6a01")
    vm.refused("disks[1].storage", disks=[{"name": "vda"}, {"name": "vdb", "size": 512, "storage": "gold"}])
    vm.refused("nics[1].network", nics=[{"network": "public"}, {"network": "dark"}])
    vm.refused("accelerator", accelerator="kvm")


def test_networks_pools_and_addresses_must_be_there(vm):
    other = {"name": "lab-es", "provider": "Arsys", "country": "ES", "storage": {"ssd": "nopool"}, "networks": {"public": "nonet"}}
    assert "nonet" in vm.refused("nics[0].network", **{**SPEC, "site": other, "disks": []})
    assert "nopool" in vm.refused("disks[0].storage", **{**SPEC, "site": other, "nics": []})
    define_foreign(vm)
    taken = [{"network": "public", "mac": "52:54:00:00:99:01"}]
    vm.refused("nics[0].mac", "another VM", **{**SPEC, "nics": taken})
    uuid = vm.lab.run(HOST, "virsh domuuid t-foreign").strip()
    vm.refused("uuid", "t-foreign", **SPEC, uuid=uuid)


def test_a_create_that_fails_takes_back_its_own_volumes_only(vm):
    vm.lab.run(
        HOST,
        f"printf 'QFI\\373\\0\\0\\0\\3' > {IMAGES}/t-vm-broken; truncate -s 1M {IMAGES}/t-vm-broken; touch {POOL}/{NAME}-other",
    )
    broken = {"name": "vdb", "size": "64MiB", "storage": "ssd", "image": "images/t-vm-broken"}
    result = vm.run(**{**SPEC, "disks": [DISK, broken]})
    assert result["failed"]
    assert volumes(vm) == [f"{NAME}-other"]
    assert vm.lab.run(HOST, f"virsh domstate {NAME} 2>/dev/null || echo none").strip() == "none"


def define_foreign(vm, name="t-foreign"):
    xml = (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><os><type machine='q35'>hvm</type></os><devices>"
        "<interface type='network'><mac address='52:54:00:00:99:01'/><source network='public'/></interface></devices></domain>"
    )
    vm.lab.run(HOST, f"cat > /tmp/t-foreign.xml <<'EOF'\n{xml}\nEOF\nvirsh define /tmp/t-foreign.xml; rm /tmp/t-foreign.xml")


def test_a_vm_of_somebody_else_is_left_alone_until_it_is_adopted(vm):
    define_foreign(vm)
    for options in ({"state": "running"}, {"state": "absent"}, {"cpus": 2}):
        vm.refused("name", "adopt=true", name="t-foreign", **options)
    taken = vm.settle(name="t-foreign", adopt=True, description="ours now")
    assert taken["actions"] == ["take over and change description of the VM t-foreign"]
    assert (taken["status"]["managed"], taken["status"]["owner"]) == (True, {"hypervisor": HOST, "epoch": 1})
    assert vm.settle(name="t-foreign", memory="96MiB")["status"]["vm"]["memory"] == 96 * 2**20


def test_a_vm_of_another_hypervisor_is_left_alone(vm):
    vm.ok(**SPEC)
    for options in ({"state": "running"}, {"state": "absent"}, {"cpus": 2}):
        vm.refused("name", HOST, hypervisor="lab-de-1", **options)


def test_a_vm_in_a_migration_is_left_alone(vm):
    vm.ok(**SPEC)
    journal = json.dumps({"version": 1, "phase": "copying", "source": "lab-es-1", "target": "lab-de-1"})
    set_metadata = f"virsh metadata {NAME} --config --uri https://virt8ra.eu/federation/migration/1 --key federation-migration"
    vm.lab.run(HOST, f"{set_metadata} --set '<migration>{journal}</migration>'")
    vm.refused("name", "is being migrated", state="running")
    vm.lab.run(HOST, f"{set_metadata} --set '<migration>{journal.replace('copying', 'aborted')}</migration>'")
    assert vm.ok(state="running")["changed"] is True


def test_a_paused_vm_goes_on_or_is_cut(vm):
    vm.ok(**SPEC, state="running")
    vm.lab.run(HOST, f"virsh suspend {NAME}")
    vm.refused("name", "force=true", state="stopped")
    assert vm.settle(state="running")["actions"] == [f"resume the VM {NAME}"]


def test_a_guest_that_does_not_shut_down_is_told(vm):
    vm.ok(**SPEC, state="running")
    result = vm.run(state="stopped", shutdown_timeout=1)
    assert "did not shut down within 1 s" in result["msg"]
    assert vm.lab.run(HOST, f"virsh domstate {NAME}").strip() == "running"


def test_a_hostile_name_or_description_stays_data(vm):
    vm.refused("name", name=Unsafe(HOSTILE), **SPEC)
    made = vm.settle(**SPEC, description=Unsafe(HOSTILE))
    assert made["status"]["vm"]["description"] == HOSTILE
    assert after(made)["description"] == HOSTILE
    assert vm.lab.run(HOST, "ls /tmp/t-hostile 2>/dev/null || echo none").strip() == "none"
