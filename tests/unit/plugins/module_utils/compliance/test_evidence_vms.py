# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM's domain XML shows, as libvirt 9 writes it, and what is below its disks."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.host.block_devices import BlockDevices
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.bulk import definitions
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.connection import open_connection
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.vms import vm_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, NotFoundError

RUNNING = """<domain type='kvm' id='3'><name>web</name><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
<cpu mode='host-passthrough' check='none' migratable='on'/><devices>
<disk type='file' device='disk'><source file='/vms/web.qcow2'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='disk'><source file='/open/data.qcow2'><encryption format='luks'/></source><target dev='vdb'/></disk>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/></source></hostdev>
</devices>
<seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-1</label><imagelabel>libvirt-1</imagelabel></seclabel>
<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+994</label><imagelabel>+64055:+994</imagelabel></seclabel></domain>"""


def facts(xml, encrypted=lambda folder: folder == "/vms"):
    return vm_facts(ET.fromstring(xml), encrypted)


def test_a_confined_vm():
    assert facts(RUNNING)["security_label"]["data"]["confined"] is True


@pytest.mark.parametrize(
    "change", [("apparmor", "dac"), ("<label>libvirt-1</label>", ""), ("'dynamic' model='apparmor'", "'none' model='apparmor'")]
)
def test_owners_of_files_and_missing_labels_confine_nothing(change):
    assert facts(RUNNING.replace(*change))["security_label"]["data"]["confined"] is False


def test_the_shape():
    data = facts(RUNNING)["machine"]["data"]
    assert (data["type"], data["cpu_mode"]) == ("pc-q35-7.2", "host-passthrough")
    assert data["passthrough"] == ["pci bus=0x3b domain=0x0000 function=0x0 slot=0x00"]


def test_disks_are_encrypted_by_themselves_or_below():
    assert [(one["target"], one["format"], one["below"], one["encrypted"]) for one in facts(RUNNING)["disks"]["data"]] == [
        ("vda", "", True, True),
        ("vdb", "luks", False, True),
    ]


def test_a_disk_on_the_network_is_no_guess():
    fact = facts(RUNNING.replace("<source file='/vms/web.qcow2'/>", "<source protocol='nbd' name='x'/>"))["disks"]
    assert "data" not in fact
    assert "vda is neither a file nor a device" in fact["error"]


def test_a_folder_that_cannot_be_told_is_an_error():
    def unknown(folder):
        raise BackendError(f"{folder} is on overlay, which is no block device")

    assert (
        facts(RUNNING, unknown)["disks"]["error"]
        == "the disk vda is not encrypted itself, and /vms is on overlay, which is no block device"
    )


class Devices:
    """A host whose folders are on one device; ``below`` has what is below each, None for a partition. ``asked`` counts findmnt."""

    def __init__(self, source, below):
        self.source, self.below, self.asked = source, below, 0

    def run(self, *_command):
        self.asked += 1
        return self.source + "\n"

    def real(self, path):
        return path.replace("mapper/vg-vms", "dm-0")

    def names(self, folder):
        device, _slash, part = folder.removeprefix("/sys/class/block/").partition("/")
        if device not in self.below or (part and self.below[device] is None):
            raise NotFoundError(f"there is no {folder}")
        mapped = ["dm"] if device.startswith("dm-") else []
        holders = [] if self.below[device] is None else ["slaves"]
        return self.below[device] if part else ["dev", "size", *mapped, *holders]

    def read(self, path):
        return {"/sys/class/block/dm-1/dm/uuid": "CRYPT-LUKS2-7f3a-secret\n"}.get(path, "LVM-b812\n")


@pytest.mark.parametrize(
    ("below", "encrypted"),
    [
        ({"dm-0": ["vda2"], "vda2": None}, False),
        ({"dm-0": ["dm-1"], "dm-1": ["vda2"], "vda2": None}, True),
        ({"dm-0": ["dm-1", "vdb"], "dm-1": ["vda2"], "vda2": None, "vdb": []}, False),
        ({"dm-0": ["md0"], "md0": ["dm-1", "dm-1"], "dm-1": ["vda2"], "vda2": None}, True),
        ({"dm-0": []}, False),
    ],
)
def test_all_ways_down_must_be_encrypted(below, encrypted):
    host = Devices("/dev/mapper/vg-vms[/@vms]", below)
    devices = BlockDevices(host)
    assert [devices.encrypted("/vms"), devices.encrypted("/vms")] == [encrypted, encrypted]
    assert host.asked == 1


def test_a_device_that_the_kernel_does_not_have():
    with pytest.raises(BackendError, match="the kernel has no device gone"):
        BlockDevices(Devices("/dev/gone", {})).encrypted("/vms")


def test_a_folder_without_a_device():
    with pytest.raises(BackendError, match="/vms is on overlay, which is no block device"):
        BlockDevices(Devices("overlay", {})).encrypted("/vms")


def test_all_vms_of_libvirts_own_driver():
    connection = open_connection("test:///default")
    try:
        roots = definitions(connection, 10)
    finally:
        connection.close()
    assert [(root.findtext("name"), root.get("id")) for root in roots] == [("test", "1")]
    assert vm_facts(roots[0], lambda _folder: False)["security_label"]["data"]["confined"] is False
