# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM leaves as a bundle and comes back from it: running and off, by the modules and by hand, cut off, and with a byte changed."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest
import yaml

from .database import Database
from .guest import IMAGE, POOL, SOURCE, TARGET, Guest
from .lab import ROOT, Lab

NAME = "t-bundle"
PATH = f"{POOL}/{NAME}.bundle"
PAGE = ROOT / "docs" / "bundle.md"
PLACE = {"site": "{{ federation_site }}", "hypervisor": "{{ inventory_hostname }}"}
CLEAN = f"rm -rf {PATH}* {POOL}/.{NAME}* /root/{NAME}* /run/{NAME}* /var/lib/virt8ra/exports /var/lib/virt8ra/imports"


class Bundled(Guest):
    """The guest, and its bundle at PATH."""

    def export(self, host=SOURCE, *, check=False, diff=False, **options):
        arguments = {"name": self.name, "path": PATH, **PLACE, **options}
        return self.lab.module(host, "virt8ra.federation.vm_export", arguments, check=check, diff=diff)

    def bring(self, host=TARGET, *, check=False, diff=False, **options):
        arguments = {"path": PATH, **PLACE, **options}
        return self.lab.module(host, "virt8ra.federation.vm_import", arguments, check=check, diff=diff)

    def fetched(self, **options):
        return self.bring(fetch_from="{{ hostvars['lab-es-1'].federation_hypervisor.uri }}", **options)

    def content(self, host, path, format="qcow2"):
        """SHA-256 of the disk in an image."""
        command = (
            f"qemu-img convert -f {format} -O raw {path} /root/{NAME}.raw && sha256sum < /root/{NAME}.raw; rm -f /root/{NAME}.raw"
        )
        return self.lab.run(host, command).split()[0]

    def drop(self, host):
        """The VM, its disks and its records at one host, as an operator removes it."""
        result = self.lab.module(
            host,
            "virt8ra.federation.vm",
            {"name": self.name, "state": "absent", "remove_disks": True, "force": True, "adopt": True, **PLACE},
        )
        assert not result.get("failed"), result.get("msg")

    def remove(self):
        super().remove()
        for host in (SOURCE, TARGET):
            self.lab.run(host, f"{CLEAN}; virsh pool-refresh vms >/dev/null", check=False)


@pytest.fixture
def guest(lab):
    guest = Bundled(lab, NAME)
    guest.remove()
    try:
        guest.deploy()
        yield guest
    finally:
        guest.remove()


def left_behind(guest, host):
    """Files of the guest at the host, hidden ones too."""
    return sorted(guest.lab.run(host, f"ls -A {POOL} | grep {NAME} || true").split())


def good(result):
    assert not result.get("failed"), result.get("msg")
    return result


def writes(guest, volume, log):
    """The verdict on an image at the source, against a console log."""
    program = str(ROOT / "roles" / "demo_guest" / "files" / "check_writes.py")
    defaults = yaml.safe_load((ROOT / "roles" / "demo_guest" / "defaults" / "main.yml").read_text(encoding="utf-8"))
    offset = defaults["demo_guest_offset_mib"] * 2**20
    guest.lab.module(SOURCE, "ansible.builtin.copy", {"src": program, "dest": f"/root/{NAME}-check.py"})
    verdict = json.loads(
        guest.lab.run(SOURCE, f"python3 /root/{NAME}-check.py --volume {volume} --format qcow2 --offset {offset} {log}")
    )
    assert verdict["acknowledged"] >= 5 and verdict["contiguous"]
    return verdict


def test_a_running_guest_leaves_and_arrives_elsewhere(guest):
    planned = good(guest.export(check=True, diff=True))
    assert planned["changed"] and planned["diff"]["after"] and f"{NAME}.bundle" not in left_behind(guest, SOURCE)
    guest.lab.run(SOURCE, f"cp {guest.log} /root/{NAME}.log")
    made = good(guest.export())
    manifest = made["bundle"]["manifest"]
    assert made["changed"] and manifest["consistency"] == {"method": "crash-consistent", "detail": "no guest agent answers"}
    assert any("crash-consistent" in text for text in made["warnings"])
    assert not guest.lab.run(SOURCE, f"virsh domjobinfo {NAME} | grep -i backup || true").strip()
    assert not good(guest.export())["changed"]
    guest.lab.run(SOURCE, f"cd {PATH} && sha256sum --check --strict SHA256SUMS && qemu-img check vda.qcow2")
    guest.wait_for_writes(SOURCE, 5)

    assert writes(guest, f"{PATH}/vda.qcow2", f"/root/{NAME}.log")["lost"] == 0, "what was acknowledged before is in the bundle"

    refused = guest.bring(SOURCE)
    assert refused["failed"] and re.search(f"is the (UUID of|name of another) .*{NAME}|name of another VM here", refused["msg"])
    peers = {SOURCE: "{{ hostvars['lab-es-1'].federation_hypervisor.uri }}"}
    refused = guest.fetched(peers=peers)
    assert refused["failed"] and f"is the UUID of the VM {NAME} at {SOURCE}" in refused["msg"]
    assert left_behind(guest, TARGET) == [f"{NAME}.bundle"]

    guest.drop(SOURCE)
    planned = good(guest.bring(peers=peers, check=True, diff=True))
    assert planned["changed"] and left_behind(guest, TARGET) == [f"{NAME}.bundle"]
    came = good(guest.bring(peers=peers))
    assert came["changed"] and guest.state(TARGET) == "shut off"
    image = next(file for file in manifest["files"] if file["path"] == "vda.qcow2")
    assert guest.content(TARGET, guest.volume) == guest.content(SOURCE, f"{PATH}/vda.qcow2")
    assert guest.lab.run(SOURCE, f"sha256sum {PATH}/vda.qcow2").split()[0] == image["sha256"]
    owner = json.loads(guest.lab.run(TARGET, f"cat /var/lib/virt8ra/owners/{manifest['vm']['uuid']}.2.json"))
    assert (owner["hypervisor"], owner["epoch"]) == (TARGET, 2)
    assert not good(guest.bring(peers=peers))["changed"]

    started = good(guest.bring(state="running"))
    assert started["changed"] and guest.state(TARGET) == "running"
    guest.wait_for_writes(TARGET, 5)


def test_a_guest_that_is_off(guest):
    guest.lab.run(SOURCE, f"virsh destroy {NAME}")
    result = good(guest.export(format="raw", form="tar"))
    assert result["bundle"]["manifest"]["consistency"]["method"] == "off"
    same = guest.content(SOURCE, guest.volume)
    assert good(guest.bring(SOURCE, name=f"{NAME}-2", identity="new"))["changed"]
    try:
        assert guest.content(SOURCE, f"{POOL}/{NAME}-2-vda.raw", "raw") == same
        again = good(guest.bring(SOURCE, name=f"{NAME}-2", identity="new"))
        assert not again["changed"]
        uuids = guest.lab.run(SOURCE, f"virsh domuuid {NAME}; virsh domuuid {NAME}-2").split()
        assert len(set(uuids)) == 2
    finally:
        Guest(guest.lab, f"{NAME}-2").remove()


def test_what_belongs_to_a_vm_comes_along(guest):
    """Firmware variables, the state of an emulated TPM, and the disc of cloud-init."""
    guest.drop(SOURCE)
    disk = {"name": "vda", "size": "64MiB", "storage": "ssd", "image": f"images/{IMAGE}"}
    spec = {"name": NAME, "cpus": 1, "memory": "256MiB", "firmware": "uefi", "disks": [disk]}
    seed = {"user_data": {"write_files": [{"path": "/etc/token", "content": "t-bundle-secret"}]}}
    good(guest.lab.module(SOURCE, "virt8ra.federation.vm", {**spec, "cloud_init": seed, **PLACE}))
    tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
    guest.lab.run(
        SOURCE,
        f'virsh dumpxml --inactive {NAME} | sed "s#</devices>#{tpm}</devices>#" > /root/{NAME}.xml && '
        f"virsh define /root/{NAME}.xml && virsh start {NAME} && virsh destroy {NAME}",
    )
    uuid = guest.lab.run(SOURCE, f"virsh domuuid {NAME}").strip()
    looks = {
        "variables": f"sha256sum < /var/lib/libvirt/qemu/nvram/{NAME}_VARS.fd",
        "tpm": f"sha256sum < /var/lib/libvirt/swtpm/{uuid}/tpm2/tpm2-00.permall",
        "disc": f"sha256sum < {POOL}/{NAME}-cloud-init.iso",
        "mode": f"stat -c %a {POOL}/{NAME}-cloud-init.iso",
    }
    before = {what: guest.lab.run(SOURCE, look) for what, look in looks.items()}
    assert before["mode"].strip() == "600"
    made = good(guest.export())
    assert {file["kind"] for file in made["bundle"]["manifest"]["files"]} >= {"disk", "nvram", "tpm", "medium"}
    assert "t-bundle-secret" not in json.dumps(made)
    readable = guest.lab.run(SOURCE, f"find {PATH} -type f -perm /077").strip()
    assert not readable, "what may hold secrets is root's alone"
    guest.drop(SOURCE)
    good(guest.fetched())
    assert {what: guest.lab.run(TARGET, look) for what, look in looks.items()} == before
    assert f"{NAME}-cloud-init.iso" in guest.lab.run(TARGET, f"virsh domblklist {NAME}")
    guest.lab.run(TARGET, f"virsh start {NAME} && virsh destroy {NAME}")
    assert not good(guest.lab.module(TARGET, "virt8ra.federation.vm", {**spec, "cloud_init": seed, **PLACE}))["changed"]


def test_a_packed_export_is_read_by_qemu_img_alone(guest):
    guest.lab.run(SOURCE, f"virsh destroy {NAME}")
    made = good(guest.export(compress=True))
    assert made["bundle"]["manifest"]["files"][0]["compression"] == "zstd"
    assert guest.content(SOURCE, f"{PATH}/vda.qcow2") == guest.content(SOURCE, guest.volume)


def test_a_vm_cannot_be_started_while_it_is_read(guest):
    guest.lab.run(SOURCE, f"virsh destroy {NAME}")
    lock = (
        "import sys; sys.path.insert(0, '/root/t-bundle-code'); "
        "from ansible_collections.virt8ra.federation.plugins.module_utils.backends.image_lock import kept_still\n"
        f"import subprocess\nwith kept_still(['{guest.volume}']):\n"
        f"    print(subprocess.run(['virsh', 'start', '{NAME}'], capture_output=True, text=True).stderr)"
    )
    code = "/root/t-bundle-code/ansible_collections/virt8ra/federation/plugins/module_utils"
    files = {"errors.py": "errors.py", "backends/image_lock.py": "backends/image_lock.py"}
    guest.lab.run(SOURCE, f"mkdir -p {code}/backends")
    for name, place in files.items():
        source = str(ROOT / "plugins" / "module_utils" / name)
        guest.lab.module(SOURCE, "ansible.builtin.copy", {"src": source, "dest": f"{code}/{place}"})
    guest.lab.module(SOURCE, "ansible.builtin.copy", {"content": lock, "dest": "/root/t-bundle-lock.py"})
    assert 'Failed to get "write" lock' in guest.lab.run(SOURCE, "python3 /root/t-bundle-lock.py")
    guest.lab.run(SOURCE, f"virsh start {NAME}")
    assert "is being written by another process" in guest.lab.run(SOURCE, "python3 /root/t-bundle-lock.py 2>&1", check=False)


def killed(guest, host, module, arguments, phase):
    """Run the module and kill its process as soon as its progress tells of that phase."""
    progress = f"/run/{NAME}-progress.json"
    watch = (
        f'until grep -q \'"phase": "{phase}"\' {progress} 2>/dev/null; do sleep 0.02; done; '
        f"kill -9 $(sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p' {progress})"
    )
    guest.lab.run(host, f"rm -f {progress}*")
    watcher = subprocess.Popen(guest.lab.ssh(host, watch), stdin=subprocess.DEVNULL)
    try:
        result = guest.lab.module(host, module, {**arguments, "progress_path": progress})
        assert result.get("failed"), "it was killed"
        watcher.wait(60)
    finally:
        watcher.kill()
        watcher.wait()


def more_data(guest):
    """A second disk with enough on it for a copy to be met in its middle."""
    guest.lab.run(
        SOURCE, f"dd if=/dev/urandom of=/var/lib/libvirt/images/{NAME}.raw bs=1M count=400 status=none; virsh pool-refresh images"
    )
    guest.remove()
    try:
        first = {"name": "vda", "size": "64MiB", "storage": "ssd", "image": "images/t-guest.img"}
        second = {"name": "vdb", "size": "400MiB", "storage": "ssd", "image": f"images/{NAME}.raw"}
        guest.deploy(disks=[first, second])
    finally:
        guest.lab.run(SOURCE, f"rm -f /var/lib/libvirt/images/{NAME}.raw; virsh pool-refresh images")


def test_a_killed_export_leaves_nothing_and_the_next_one_starts_clean(guest):
    more_data(guest)
    killed(guest, SOURCE, "virt8ra.federation.vm_export", {"name": NAME, "path": PATH, **PLACE}, "copying")
    assert f"{NAME}.bundle" not in left_behind(guest, SOURCE)
    guest.wait_for_writes(SOURCE, 3)
    assert good(guest.export())["changed"]
    assert left_behind(guest, SOURCE) == [f"{NAME}-vda.qcow2", f"{NAME}-vdb.qcow2", f"{NAME}.bundle"]
    guest.lab.run(SOURCE, f"cd {PATH} && sha256sum --check --quiet --strict SHA256SUMS")


def test_a_changed_byte_is_refused_and_nothing_is_left(guest):
    guest.lab.run(SOURCE, f"virsh destroy {NAME}")
    good(guest.export())
    guest.drop(SOURCE)
    guest.lab.run(
        SOURCE, f"printf x | dd of={PATH}/vda.qcow2 bs=1 seek=$(($(stat -c %s {PATH}/vda.qcow2) - 9)) conv=notrunc status=none"
    )
    refused = guest.bring(SOURCE)
    assert refused["failed"] and "the file vda.qcow2 is not as it was exported" in refused["msg"]
    assert left_behind(guest, SOURCE) == [f"{NAME}.bundle"] and guest.state(SOURCE) == ""
    assert not guest.lab.run(SOURCE, "ls /var/lib/virt8ra/imports/migrations 2>/dev/null || true").strip()


def test_an_import_that_was_cut_off_goes_on(guest):
    more_data(guest)
    guest.lab.run(SOURCE, f"virsh destroy {NAME}")
    good(guest.export())
    same = [guest.content(SOURCE, f"{PATH}/{name}.qcow2") for name in ("vda", "vdb")]
    guest.drop(SOURCE)
    killed(guest, SOURCE, "virt8ra.federation.vm_import", {"path": PATH, **PLACE}, "verifying")
    assert guest.state(SOURCE) == ""
    result = good(guest.bring(SOURCE))
    assert result["changed"] and result["bundle"]["copied_bytes"] == 0, "all of it was on the volumes"
    assert [guest.content(SOURCE, f"{POOL}/{NAME}-{name}.qcow2") for name in ("vda", "vdb")] == same
    assert good(guest.bring(SOURCE, state="running"))["changed"]
    guest.wait_for_writes(SOURCE, 3)


def commands():
    """The commands of the page, in its order."""
    return re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_is_enough_to_read_a_bundle_by_hand(guest):
    good(guest.export())
    same = guest.content(SOURCE, f"{PATH}/vda.qcow2")
    guest.drop(SOURCE)
    guest.lab.run(SOURCE, f"cp -r {PATH} /root/{NAME}")
    values = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[-1])
    mine = {"BUNDLE": f"/root/{NAME}", "FOLDER": POOL, "NETWORK": "default", "VM": NAME}
    assert set(values) == set(mine)
    network = guest.lab.run(SOURCE, "virsh net-list --name").split()[0]
    script = "set -eu\n" + "".join(f"{key}={value}\n" for key, value in {**mine, "NETWORK": network}.items())
    script += "\n".join(commands())
    guest.lab.module(SOURCE, "ansible.builtin.copy", {"content": script, "dest": f"/root/{NAME}.sh"})
    try:
        guest.lab.run(SOURCE, f"bash /root/{NAME}.sh")
        guest.wait(lambda: guest.state(SOURCE) == "running", "the VM to run")
        time.sleep(1)
        guest.lab.run(SOURCE, f"virsh destroy {NAME}")
        assert guest.content(SOURCE, f"/root/{NAME}/vda.qcow2") == same
    finally:
        guest.lab.run(SOURCE, f"virsh destroy {NAME}; virsh undefine {NAME} --nvram; rm -f {POOL}/{NAME}-vda.qcow2", check=False)


def test_the_playbooks_move_a_bundle(lab: Lab, guest):
    told = lab.playbook("playbooks/export_vm.yml", extra={"vm": NAME, "at": SOURCE, "path": PATH})
    assert told["rc"] == 0, told
    guest.drop(SOURCE)
    told = lab.playbook("playbooks/import_vm.yml", extra={"path": PATH, "source": SOURCE, "target": TARGET, "state": "running"})
    assert told["rc"] == 0, told
    assert guest.state(TARGET) == "running"
    guest.wait_for_writes(TARGET, 3)


class BundledDatabase(Bundled, Database):
    """A Debian guest with an agent and a database under load."""


@pytest.mark.slow
def test_a_database_is_frozen_for_the_moment_and_nothing_committed_is_lost(lab, tmp_path):
    guest = BundledDatabase(lab, NAME)
    guest.remove()
    try:
        guest.deploy_database(tmp_path)
        committed = guest.acknowledged(SOURCE)
        manifest = good(guest.export())["bundle"]["manifest"]
        assert manifest["consistency"] == {"method": "agent-frozen", "detail": ""}
        guest.wait_for_writes(SOURCE, 5)
        guest.drop(SOURCE)
        good(guest.bring(SOURCE, state="running"))
        guest.wait_for_writes(SOURCE, 5)
        found = guest.findings(SOURCE)
        assert found["last"] >= committed > 0 and len(set(found["sums"])) == 1, found
        assert (found["checksums"], found["checksum_failures"], found["amcheck"]) == ("on", 0, True), found["told"]
    finally:
        guest.remove()
