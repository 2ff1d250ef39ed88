# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM to domain XML and back, and domains that others made."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import domain_parts, metadata
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.domain_xml import build, read_vm
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Nic, Owner, Site, Vm
from ansible_collections.virt8ra.federation.plugins.module_utils.rules import PlacementRules

SITE = Site(
    name="es-madrid",
    provider="Arsys",
    country="ES",
    networks={"public": "br0", "internet": "br0"},
    storage={"ssd": "vms", "fast": "vms", "block": "vg0"},
)
POOLS = {"/var/lib/libvirt/vms": "vms", "/dev/vg0": "vg0"}
SOURCES = {"vda": "/var/lib/libvirt/vms/guest-vda.qcow2", "sda": "/dev/vg0/guest-sda.raw"}
SIZES = {SOURCES["vda"]: 2**30, SOURCES["sda"]: 2**20}
HOSTILE = "{{ lookup('pipe', 'id') }} <&'\" \u2028 é"
VM = Vm(
    name="guest",
    cpus=2,
    memory=2**28,
    uuid="5f1d4d5e-4d3f-4c7a-9a53-3f3f0d2f6a01",
    description=HOSTILE,
    machine="pc-q35-7.2",
    firmware="uefi",
    disks=(Disk("vda", 2**30, "ssd", image="debian:12", clone="thin"), Disk("sda", 2**20, "block", "raw", "scsi")),
    nics=(Nic("public", "52:54:00:00:00:01"), Nic("public", "52:54:00:00:00:02", "e1000e")),
    console_log=True,
    autostart=True,
    allowed_countries=("ES", "DE"),
    placement=PlacementRules(certifications=("ISO 27001",), weights={"price": 1.0}),
)


def built(vm=VM, **more):
    return ET.fromstring(build(vm, SITE, SOURCES, **more))


def read(text):
    return read_vm(ET.fromstring(text), SITE, POOLS, SIZES)


@pytest.mark.parametrize(("pools", "sizes"), [(POOLS, SIZES), ({}, {})])
def test_a_vm_comes_back_as_it_went(pools, sizes):
    assert read_vm(built(), SITE, pools, sizes) == VM


def test_the_domain_is_one_that_can_be_migrated():
    root = built(accelerator="tcg", cpu_features=[("disable", "pni")], most_cpus=4)
    assert root.get("type") == "qemu"
    assert root.find("cpu").attrib == {"mode": "custom", "match": "exact", "check": "partial"}
    assert root.findtext("cpu/model") == "Nehalem"
    assert root.find("cpu/feature").attrib == {"policy": "disable", "name": "pni"}
    assert (domain_parts.cpus(root), domain_parts.most_cpus(root)) == (2, 4)
    assert {driver.get("cache") for driver in root.iterfind("devices/disk/driver")} == {"none"}
    assert root.find("devices/graphics") is None
    assert [disk.get("type") for disk in root.iterfind("devices/disk")] == ["file", "block"]


def test_owner_and_spec_are_in_the_metadata():
    root = built(owner=Owner("es-madrid-1", 1))
    assert metadata.read(root, "owner") == {"hypervisor": "es-madrid-1", "epoch": 1}
    assert metadata.read(root, "vm") == VM.to_dict()


def test_no_network_is_guessed():
    with pytest.raises(InputError) as caught:
        built(dataclasses.replace(VM, nics=(Nic("dark"),)))
    assert caught.value.option == "nics[0].network"


def test_the_xml_is_the_truth_and_metadata_only_a_hint():
    root = built()
    root.find("currentMemory").text = "131072"
    root.find("vcpu").set("current", "1")
    root.find("devices/disk/source").set("file", "/elsewhere/guest.qcow2")
    root.find("devices/interface/source").set("network", "br9")
    vm = read_vm(root, SITE, POOLS, {})
    assert (vm.cpus, vm.memory) == (1, 2**27)
    assert vm.disks[0].storage == ""
    assert vm.nics[0].network == ""
    assert vm.nics[1].network == "public"


def test_a_logical_name_of_another_site_gives_way_to_one_of_this_site():
    elsewhere = dataclasses.replace(SITE, networks={"wan": "br0"}, storage={"nvme": "vms"})
    vm = read_vm(built(), elsewhere, POOLS, SIZES)
    assert [nic.network for nic in vm.nics] == ["wan", "wan"]
    assert [disk.storage for disk in vm.disks] == ["nvme", ""]


def test_without_pools_only_names_that_the_site_knows_are_believed():
    elsewhere = dataclasses.replace(SITE, storage={"ssd": "vms"})
    assert [disk.storage for disk in read_vm(built(), elsewhere, {}, {}).disks] == ["ssd", ""]


FOREIGN = """
<domain type='kvm' id='3'><name>{name}</name><uuid>u</uuid><memory unit='GiB'>2</memory><vcpu current='1'>4</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type><loader type='pflash'>/x</loader></os>
<cpu mode='host-passthrough'/>
<devices>
 <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/></disk>
 <disk type='volume' device='disk'><source pool='vms' volume='v'/><target dev='vda' bus='virtio'/></disk>
 <disk type='network' device='disk'><driver type='raw'/><source protocol='rbd' name='p/i'/><target dev='hda' bus='ide'/></disk>
 <interface type='bridge'><mac address='52:54:00:00:00:0A'/><source bridge='br0'/></interface>
 <serial type='pty'><target port='0'/></serial>
</devices></domain>
"""


def test_a_domain_of_somebody_else_is_read_as_far_as_it_goes():
    vm = read(FOREIGN.format(name="{{ lookup('pipe', 'id') }}"))
    assert vm.name == "{{ lookup('pipe', 'id') }}"
    assert (vm.cpus, vm.memory, vm.cpu_model, vm.machine, vm.firmware) == (1, 2**31, "host-passthrough", "pc-i440fx-7.2", "uefi")
    assert vm.disks == (Disk("vda", 0, "fast", "raw", "virtio"), Disk("hda", 0, "", "raw", "ide"))
    assert vm.nics == (Nic("", "52:54:00:00:00:0a", "rtl8139"),)
    assert vm.console_log is False


@pytest.mark.parametrize(
    "text",
    [
        "<domain/>",
        "<nonsense><a/></nonsense>",
        "<domain><vcpu>many</vcpu><memory unit='furlongs'>x</memory><devices><disk/><interface/></devices></domain>",
        "<domain><currentMemory unit=''>٣</currentMemory><cpu/><os/><devices/></domain>",
    ],
)
def test_odd_xml_never_raises(text):
    assert read(text).cpus == 1


@pytest.mark.parametrize(
    "payload",
    [
        {"disks": 5, "nics": "x", "allowed_countries": "ES", "autostart": "yes"},
        {"disks": [None, 3, {"name": "vda", "size": "big", "image": 7, "storage": ["x"]}], "nics": [None, {"mac": 3}]},
        {"allowed_countries": [1, None]},
        {"placement": 5},
        {"placement": {"certifications": 5}},
    ],
)
def test_odd_metadata_never_raises(payload):
    root = built()
    metadata.write(root, "vm", payload)
    vm = read_vm(root, SITE, {}, {})
    assert vm.name == "guest"
    assert vm.autostart is False
    assert all(isinstance(code, str) for code in vm.allowed_countries)
