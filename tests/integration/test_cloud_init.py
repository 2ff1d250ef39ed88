# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A full Debian guest under UEFI is set up by cloud-init, reached through the inventory at one site, and after a migration at the other."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from .guest import POOL, SOURCE, TARGET, Guest
from .lab import ROOT, Lab, environment

pytestmark = pytest.mark.slow

IMAGE = "t-cloud-debian.qcow2"
IMAGE_PATH = f"/var/lib/libvirt/images/{IMAGE}"
KEY = ROOT / "build" / "guest" / "id_ed25519"
SECRET = "not-to-be-told-5a1f"


def made_by_roles(lab: Lab) -> tuple[str, str]:
    """The image's path and the public key, as the demo makes them."""
    kind = {"demo_guest_kind": "debian"}
    tasks = [
        {"name": "image", "ansible.builtin.include_role": {"name": "virt8ra.federation.demo_guest"}, "vars": kind},
        {
            "name": "key",
            "ansible.builtin.include_role": {"name": "virt8ra.federation.demo", "tasks_from": "access"},
            "vars": {"demo_key": str(KEY)},
        },
        {"name": "tell", "ansible.builtin.debug": {"msg": "{{ [demo_guest_image, demo_public_key] | to_json }}"}},
    ]
    result = lab.tasks("localhost", tasks)[-1]
    assert "msg" in result and not result.get("failed"), result
    image, key = result["msg"] if isinstance(result["msg"], list) else json.loads(result["msg"])
    return str(ROOT / image), key


def host_key(folder) -> dict[str, str]:
    path = folder / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return {"ed25519_private": path.read_text(), "ed25519_public": path.with_suffix(".pub").read_text().strip()}


class CloudGuest(Guest):
    """The Debian guest, with what it is given for its first boot."""

    def __init__(self, lab: Lab, name: str, folder) -> None:
        super().__init__(lab, name)
        self.image, self.public_key = made_by_roles(lab)
        self.host_key = host_key(folder)
        self.motd = "first"

    @property
    def cloud_init(self) -> dict:
        user = {"name": "ops", "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash", "ssh_authorized_keys": [self.public_key]}
        return {
            "user_data": {
                "users": [user],
                "chpasswd": {"expire": False, "users": [{"name": "ops", "password": SECRET, "type": "text"}]},
                "write_files": [{"path": "/etc/motd", "content": f"{self.motd}\n", "permissions": "0644"}],
                "runcmd": [["touch", "/var/lib/set-up"]],
            },
            "ssh_host_keys": self.host_key,
        }

    def options(self, **more) -> dict:
        return {
            "name": self.name,
            "state": "running",
            "cpus": 1,
            "memory": "768MiB",
            "firmware": "uefi",
            "disks": [{"name": "vda", "size": "4GiB", "storage": "ssd", "image": f"images/{IMAGE}"}],
            "nics": [{"network": "public"}],
            "console_log": True,
            "cloud_init": self.cloud_init,
            "site": "{{ federation_site }}",
            "hypervisor": "{{ inventory_hostname }}",
            **more,
        }

    def vm(self, host: str = SOURCE, *, check: bool = False, diff: bool = False, **more) -> dict:
        return self.lab.module(host, "virt8ra.federation.vm", self.options(**more), check=check, diff=diff)

    def waited(self, host: str, **more) -> dict:
        arguments = {"name": self.name, "timeout": 600, **more}
        result = self.lab.module(host, "virt8ra.federation.vm_guest_wait", arguments)
        assert not result.get("failed"), result.get("msg")
        return result

    def told_over_ssh(self, command: str) -> str:
        """What a play on the guest itself sees; Ansible finds it by the inventory's ansible_host."""
        result = self.lab.module(self.name, "ansible.builtin.shell", {"cmd": command})
        assert not result.get("failed") and not result.get("unreachable"), result
        return result["stdout"]

    def remove(self) -> None:
        super().remove()
        for host in (SOURCE, TARGET):
            self.lab.run(host, f"rm -f {IMAGE_PATH}; virsh pool-refresh images >/dev/null", check=False)


@pytest.fixture(scope="class")
def guest(lab: Lab, tmp_path_factory):
    guest = CloudGuest(lab, "t-cloud", tmp_path_factory.mktemp("cloud"))
    guest.remove()
    try:
        copied = lab.module(SOURCE, "ansible.builtin.copy", {"src": guest.image, "dest": IMAGE_PATH, "mode": "0644"})
        assert not copied.get("failed"), copied
        made = guest.vm()
        assert not made.get("failed"), made.get("msg")
        assert SECRET not in json.dumps(made) and "PRIVATE KEY" not in json.dumps(made)
        guest.waited(SOURCE)
        yield guest
    finally:
        guest.remove()


class TestCloudInit:
    """One guest, in the order of its life."""

    def test_it_is_set_up_and_says_so(self, guest):
        told = guest.waited(SOURCE)["guest"]
        assert (told["hostname"], told["system"]["id"]) == (guest.name, "debian")
        assert told["cloud_init"]["done"] and told["cloud_init"]["errors"] == []
        assert told["addresses"][0].startswith("10.213.101.")

    def test_a_play_runs_on_it_at_the_first_site(self, guest):
        assert guest.told_over_ssh("ls /sys/firmware/efi /var/lib/set-up && id -un && cat /etc/motd").split()[-2:] == [
            "ops",
            "first",
        ]
        assert guest.told_over_ssh("sudo cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub") == guest.host_key["ed25519_public"]

    def test_the_disc_is_for_root_and_qemu_alone(self, guest):
        assert guest.lab.run(SOURCE, f"stat -c %a {POOL}/{guest.name}-cloud-init.iso").strip() == "600"
        xml = guest.lab.run(SOURCE, f"virsh dumpxml --security-info {guest.name}")
        assert SECRET not in xml and guest.motd not in xml

    def test_a_second_run_changes_nothing(self, guest):
        stamp = guest.lab.run(SOURCE, f"stat -c %y {POOL}/{guest.name}-cloud-init.iso")
        again = guest.vm()
        assert again["changed"] is False and again["restart_fields"] == []
        assert guest.vm(cloud_init=None)["changed"] is False
        assert guest.lab.run(SOURCE, f"stat -c %y {POOL}/{guest.name}-cloud-init.iso") == stamp

    def test_nothing_of_it_is_shown_at_any_verbosity(self, guest, tmp_path):
        play = [
            {
                "name": "t",
                "hosts": SOURCE,
                "gather_facts": False,
                "tasks": [{"name": "t", "virt8ra.federation.vm": guest.options()}],
            }
        ]
        path = tmp_path / "play.yml"
        path.write_text(json.dumps(play), encoding="utf-8")
        argv = ["ansible-playbook", "-i", str(guest.lab.inventory), str(path), "-vvv", "--diff"]
        env = environment(PATH=f"{ROOT}/build/venv/bin:{os.environ['PATH']}")
        done = subprocess.run(argv, cwd=ROOT, env=env, text=True, capture_output=True, check=True, stdin=subprocess.DEVNULL)
        shown = done.stdout + done.stderr
        assert f'"name": "{guest.name}"' in shown, "the rest of the result is shown as it is"
        assert SECRET not in shown and "BEGIN OPENSSH" not in shown and "set-up" not in shown
        assert SECRET not in guest.lab.run(SOURCE, "journalctl --no-pager -q | cat")

    def test_a_change_replaces_the_disc_while_it_runs(self, guest):
        guest.motd = "second"
        foretold = guest.vm(check=True, diff=True)
        assert foretold["changed"] and foretold["actions"] == [f"change cloud_init of the VM {guest.name}"]
        sides = [json.loads(foretold["diff"][side])["cloud_init"] for side in ("before", "after")]
        assert sides[0] != sides[1] and all(len(side) == 32 for side in sides)
        assert "second" not in json.dumps(foretold["diff"])
        changed = guest.vm()
        assert changed["changed"] and changed["restart_fields"] == [] and changed["status"]["cloud_init"] == sides[1]
        assert guest.vm()["changed"] is False
        disc = guest.told_over_ssh("sudo mount -o ro /dev/sr0 /mnt && sudo cat /mnt/user-data /mnt/meta-data; sudo umount /mnt")
        assert "second" in disc and SECRET in disc
        assert changed["status"]["vm"]["uuid"] in disc, "the instance is the same still"

    def test_bad_data_are_refused_before_anything_is_touched(self, guest):
        wrong = guest.cloud_init
        wrong["user_data"]["runcmd"] = SECRET
        refused = guest.vm(cloud_init=wrong)
        assert refused["failed"]
        assert refused["msg"] == "cloud_init.user_data.runcmd: is not a list; write a list (items that start with a dash)"
        assert guest.vm()["changed"] is False

    def test_a_play_runs_on_it_at_the_second_site_after_a_live_migration(self, guest):
        boot = guest.told_over_ssh("cat /proc/sys/kernel/random/boot_id")
        moved = guest.migrate(state="completed")
        assert not moved.get("failed"), moved.get("msg")
        arrived = guest.waited(TARGET, renew_addresses=True)
        assert arrived["guest"]["addresses"][0].startswith("10.213.102."), arrived
        assert guest.waited(TARGET, renew_addresses=True)["changed"] is False
        assert guest.told_over_ssh("cat /proc/sys/kernel/random/boot_id") == boot, "it never stopped"
        assert "second" in guest.told_over_ssh("sudo mount -o ro /dev/sr0 /mnt && sudo cat /mnt/user-data; sudo umount /mnt")
        assert guest.vm(TARGET)["changed"] is False, "its data are the same there"
        assert guest.lab.run(TARGET, f"stat -c %a {POOL}/{guest.name}-cloud-init.iso").strip() == "600"

    def test_the_release_leaves_no_disc_behind(self, guest):
        released = guest.migrate(state="released")
        assert not released.get("failed"), released.get("msg")
        assert guest.volumes(SOURCE) == []

    def test_it_goes_with_the_vm(self, guest):
        gone = guest.vm(TARGET, state="absent", remove_disks=True, force=True, shutdown_timeout=0)
        assert not gone.get("failed") and guest.volumes(TARGET) == []
