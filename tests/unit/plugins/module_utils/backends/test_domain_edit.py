# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changing a definition leaves alone what is not named."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import domain_edit, domain_parts
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.domain_xml import build, read_vm
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Nic, Site, Vm

SITE = Site(name="s", provider="p", country="ES", networks={"public": "br0", "private": "br1"}, storage={"ssd": "vms"})
PUBLIC, PRIVATE = Nic("public", "52:54:00:00:00:01"), Nic("private", "52:54:00:00:00:02")
VM = Vm(name="guest", cpus=2, memory=2**28, machine="pc-q35-7.2", disks=(Disk("vda", 2**20, "ssd"),), nics=(PUBLIC,))


def domain():
    return ET.fromstring(build(VM, SITE, {"vda": "/vms/guest-vda.qcow2"}, most_cpus=4))


def test_vcpus_keep_a_ceiling_that_is_there():
    root = domain()
    ET.SubElement(root, "vcpus")
    domain_edit.set_cpus(root, 3, 3)
    assert (domain_parts.cpus(root), domain_parts.most_cpus(root)) == (3, 4)
    assert root.find("vcpus") is None
    domain_edit.set_cpus(root, 6, 6)
    assert (domain_parts.cpus(root), domain_parts.most_cpus(root)) == (6, 6)


def test_memory_moves_its_ceiling_too():
    root = domain()
    domain_edit.set_memory(root, 2**27)
    assert domain_parts.memory(root) == domain_parts.most_memory(root) == 2**27


def test_a_cpu_model_takes_the_place_of_another_and_keeps_the_topology():
    root = domain()
    cpu = root.find("cpu")
    ET.SubElement(cpu, "topology", sockets="1", cores="4", threads="1")
    ET.SubElement(cpu, "feature", policy="require", name="old")
    domain_edit.set_cpu_model(root, "Westmere", [("require", "new")])
    assert root.findtext("cpu/model") == "Westmere"
    assert [feature.get("name") for feature in cpu.findall("feature")] == ["new"]
    assert cpu.find("topology") is not None


def test_console_log_comes_and_goes_at_the_serial_port_and_its_double():
    root = domain()
    console = ET.SubElement(root.find("devices"), "console", type="pty")
    ET.SubElement(console, "target", type="serial", port="0")
    domain_edit.set_console_log(root, "guest")
    assert [log.get("file") for log in root.iter("log")] == ["/var/log/libvirt/qemu/guest-console.log"] * 2
    domain_edit.set_console_log(root, None)
    assert list(root.iter("log")) == []


def test_disks_come_with_the_controller_that_they_need_and_go():
    root = domain()
    domain_edit.set_disks(root, [Disk("sda", 512, "ssd", "raw", "scsi")], {"sda": "/dev/vg/guest-sda.raw"})
    assert domain_parts.disk_sources(root) == {"sda": "/dev/vg/guest-sda.raw"}
    assert root.find("devices/controller[@type='scsi']").get("model") == "virtio-scsi"


def test_nics_are_known_by_their_address():
    root = domain()
    ET.SubElement(root.find("devices/interface"), "address", type="pci", bus="0x01")
    domain_edit.set_nics(root, [Nic("private", PUBLIC.mac, "e1000e"), PRIVATE], SITE)
    assert read_vm(root, SITE, {}, {}).nics == (Nic("private", PUBLIC.mac, "e1000e"), PRIVATE)
    assert root.find("devices/interface/address") is not None
    domain_edit.set_nics(root, [PRIVATE], SITE)
    assert read_vm(root, SITE, {}, {}).nics == (PRIVATE,)


def test_machine_and_description():
    root = domain()
    domain_edit.set_machine(root, "pc-q35-8.0")
    domain_edit.set_description(root, "{{ text }}")
    vm = read_vm(root, SITE, {}, {})
    assert (vm.machine, vm.description) == ("pc-q35-8.0", "{{ text }}")
    domain_edit.set_description(root, "")
    assert read_vm(root, SITE, {}, {}).description == ""
