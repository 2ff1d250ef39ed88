# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import xml.etree.ElementTree as ET

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import metadata
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.destination import destination_xml, moved_spec
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Vm

SOURCE = """
<domain type='kvm'><name>{{ odd }} &lt;name&gt;</name><uuid>u</uuid>
<metadata><other:thing xmlns:other="urn:other">kept</other:thing></metadata>
<devices>
<disk type='file' device='disk'><driver type='qcow2'/><source file='/old/a' index='2'/><backingStore type='file'><source file='/base'/></backingStore>
<target dev='vda'/></disk>
<disk type='file' device='disk'><source file='/old/b'/><target dev='vdb'/></disk>
<disk type='file' device='cdrom'><target dev='sda'/></disk>
<interface type='network'><mac address='52:54:00:00:00:01'/><source network='old' portid='x' bridge='virbr0'/><target dev='vnet3'/></interface>
</devices></domain>"""


def moved():
    text = destination_xml(
        SOURCE,
        disks={"vda": "/new/a", "vdb": "/dev/vg/b"},
        networks=["new"],
        owner={"hypervisor": "de-1", "epoch": 2},
        journal={"phase": "copying"},
        vm={"name": "x"},
    )
    return ET.fromstring(text)


def test_disks_point_at_the_target_and_backing_chains_are_gone():
    disks = moved().findall("devices/disk")
    assert disks[0].find("source").attrib == {"file": "/new/a"}
    assert disks[0].find("backingStore") is None
    assert disks[1].get("type") == "block"
    assert disks[1].find("source").attrib == {"dev": "/dev/vg/b"}
    assert disks[2].find("source") is None


def test_nothing_of_a_deep_chain_is_left():
    deep = SOURCE.replace(
        "<source file='/base'/>", "<source file='/base'/><backingStore type='file'><source file='/lower'/></backingStore>"
    )
    text = destination_xml(deep, disks={"vda": "/new/a"}, networks=[], owner={}, journal={}, vm={})
    assert "backingStore" not in text and "/base" not in text and "/lower" not in text


def test_a_thin_clone_is_whole_at_the_target():
    disks = (Disk("vda", 512, "ssd", image="debian:12.8", clone="thin"),)
    spec = moved_spec(Vm("x", 1, 2**30, disks=disks), {"vda": {"storage": "fast", "format": "qcow2"}})
    assert spec["disks"][0] == Disk("vda", 512, "fast", image="debian:12.8").to_dict()


def test_the_interface_keeps_its_mac_and_loses_what_was_the_source_hosts():
    interface = moved().find("devices/interface")
    assert interface.find("source").attrib == {"network": "new"}
    assert interface.find("mac").get("address") == "52:54:00:00:00:01"
    assert interface.find("target") is None


def test_owner_and_journal_are_written_and_foreign_metadata_stays():
    root = moved()
    assert metadata.read(root, "owner") == {"hypervisor": "de-1", "epoch": 2}
    assert metadata.read(root, "migration") == {"phase": "copying"}
    assert root.find("metadata/{urn:other}thing").text == "kept"
    assert root.findtext("name") == "{{ odd }} <name>"
