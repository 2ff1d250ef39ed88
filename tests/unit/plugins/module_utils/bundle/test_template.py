# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The domain of a bundle has nothing of a host, whoever wrote it; and the VM that it becomes is what was asked for."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.registry import Entry
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.elsewhere import check_entry, check_peers
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.manifest import Manifest
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.request import ExportRequest, ImportRequest
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.target import target_vm
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.template import Parts, portable_domain
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError, UnreachableError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Owner
from made_bundle import SITE, VM, domain_xml, make

PARTS = Parts(
    disks={"vda": ("raw", "/pool/a"), "vdb": ("qcow2", "/dev/vg/b")}, media={}, networks=[("lan", "52:54:00:00:00:01")], nvram=""
)


def with_devices(*devices):
    root = ET.fromstring(domain_xml())
    for device in devices:
        root.find("devices").append(ET.fromstring(device))
    return ET.tostring(root, encoding="unicode")


def test_parts_are_put_in():
    root = portable_domain(domain_xml(), PARTS)
    disks = {disk.find("target").get("dev"): disk for disk in root.iterfind("devices/disk")}
    assert disks["vda"].find("source").attrib == {"file": "/pool/a"}
    assert (disks["vdb"].get("type"), disks["vdb"].find("source").attrib) == ("block", {"dev": "/dev/vg/b"})
    assert [source.get("network") for source in root.iterfind("devices/interface/source")] == ["lan"]
    assert root.find("devices/channel/target").get("name") == "org.qemu.guest_agent.0"
    assert root.find("metadata") is None, "the owner is another host's"


HARM = [
    "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0' slot='1' function='0'/></source></hostdev>",
    "<filesystem type='mount'><source dir='/'/><target dir='root'/></filesystem>",
    "<disk type='file' device='disk'><source file='/etc/shadow'/><target dev='vdc' bus='virtio'/></disk>",
    "<disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='sda' bus='sata'/></disk>",
    "<serial type='file'><source path='/etc/shadow'/><target port='1'/></serial>",
    "<serial type='pty'><log file='/etc/shadow'/><target port='1'/></serial>",
    "<channel type='unix'><source path='/etc/shadow'/><target type='virtio' name='other'/></channel>",
    "<input type='evdev'><source dev='/etc/shadow'/></input>",
    "<rng model='virtio'><backend model='random'>/etc/shadow</backend></rng>",
    "<emulator>/etc/shadow</emulator>",
    "<tpm model='tpm-tis'><backend type='passthrough'><device path='/etc/shadow'/></backend></tpm>",
    "<graphics type='vnc' passwd='/etc/shadow'/>",
    "<shmem name='/etc/shadow'/>",
]


@pytest.mark.parametrize("device", HARM, ids=lambda device: device[1:30])
def test_no_device_leads_to_the_host(device):
    root = portable_domain(with_devices(device), PARTS)
    text = ET.tostring(root, encoding="unicode")
    assert "/etc/shadow" not in text
    assert not root.findall("devices/hostdev") and not root.findall("devices/filesystem")


@pytest.mark.parametrize(
    "element",
    [
        "<os><type machine='pc-q35-7.2'>hvm</type><loader>/etc/shadow</loader><nvram template='/etc/shadow'/><kernel>/etc/shadow</kernel></os>",
        "<sysinfo type='fwcfg'><entry name='opt/x' file='/etc/shadow'/></sysinfo>",
        "<commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'><arg value='/etc/shadow'/></commandline>",
        "<seclabel type='static'><label>/etc/shadow</label></seclabel>",
    ],
    ids=lambda element: element[1:12],
)
def test_nothing_else_leads_to_the_host(element):
    root = ET.fromstring(domain_xml())
    made = ET.fromstring(element)
    for old in root.findall(made.tag):
        root.remove(old)
    root.append(made)
    assert "/etc/shadow" not in ET.tostring(portable_domain(ET.tostring(root, encoding="unicode"), PARTS), encoding="unicode")


def test_firmware_keeps_its_variables_and_its_kind():
    xml = domain_xml(dataclasses.replace(VM, firmware="uefi"))
    xml = xml.replace("<boot dev", "<loader secure='yes' type='pflash'>/x.fd</loader><boot dev")
    os_element = portable_domain(xml, dataclasses.replace(PARTS, nvram="/nvram/web.fd")).find("os")
    assert os_element.get("firmware") == "efi" and os_element.findtext("nvram") == "/nvram/web.fd"
    assert os_element.find("firmware/feature").attrib == {"enabled": "yes", "name": "secure-boot"}


@pytest.mark.parametrize(
    ("xml", "sentence"),
    [
        ("<domain", r"the file domain.xml is not XML \(.*\); export the VM again"),
        ("<network/>", "the file domain.xml describes no domain; export the VM again"),
        ("<domain><devices/></domain>", "the file domain.xml lacks vda, vdb, 52:54:00:00:00:01, which the manifest has; export"),
        (with_devices("<interface type='user'/>"), "the file domain.xml has more network interfaces than the manifest; export"),
    ],
)
def test_a_domain_that_is_not_the_manifests(xml, sentence):
    with pytest.raises(InputError, match=sentence):
        portable_domain(xml, PARTS)


# The VM at the target


@pytest.fixture
def manifest(tmp_path):
    return make(tmp_path / "bundle")


def test_names_are_mapped(manifest):
    request = ImportRequest("/b", name="web-2", storage={"ssd": "hdd"}, networks={"public": "dmz"}, formats={"vda": "raw"})
    vm = target_vm(manifest, request, SITE, "kvm2")
    assert (vm.name, vm.uuid) == ("web-2", VM.uuid)
    assert [(disk.storage, disk.format) for disk in vm.disks] == [("hdd", "raw"), ("hdd", "qcow2")]
    assert [(nic.network, nic.mac) for nic in vm.nics] == [("dmz", "52:54:00:00:00:01")]


def test_a_new_identity_is_the_same_at_every_try_and_elsewhere_another(manifest):
    request = ImportRequest("/b", identity="new")
    one, again = (target_vm(manifest, request, SITE, "kvm2") for _time in range(2))
    other = target_vm(manifest, request, SITE, "kvm3")
    assert one == again and len({one.uuid, other.uuid, VM.uuid}) == 3
    assert len({one.nics[0].mac, other.nics[0].mac, VM.nics[0].mac}) == 3
    assert int(one.nics[0].mac[:2], 16) & 3 == 2, "locally administered, and of one host"


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            ImportRequest("/b", storage={"fast": "hdd"}),
            "storage='fast': names no storage of the VM in the bundle; leave it out, or use one of: ssd",
        ),
        (
            ImportRequest("/b", networks={"lan": "x"}),
            "networks='lan': names no network of the VM in the bundle; leave it out, or use one of: public",
        ),
        (
            ImportRequest("/b", formats={"vdz": "raw"}),
            "formats='vdz': names no disk of the VM in the bundle; leave it out, or use one of: vda, vdb",
        ),
        (ImportRequest("/b", name="a b"), "name='a b': is not a usable name"),
    ],
    ids=lambda value: "",
)
def test_options_that_mean_nothing(manifest, request_, sentence):
    with pytest.raises(InputError) as error:
        target_vm(manifest, request_, SITE, "kvm2")
    assert str(error.value).startswith(sentence)


def test_a_country_where_the_vm_may_not_be(manifest):
    bound = dataclasses.replace(manifest, vm=dataclasses.replace(VM, allowed_countries=("DE",)))
    with pytest.raises(
        InputError, match="site='rioja': is in ES, and the VM may be in DE only; import it at a site in one of these"
    ):
        target_vm(bound, ImportRequest("/b"), SITE, "kvm2")


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (ExportRequest("web-1", "web-1"), "path='web-1': is not an absolute path; write it from / on"),
        (ExportRequest("web-1", "/tmp/../x"), "path='/tmp/../x': is not an absolute path"),
        (ExportRequest("web-1", "/tmp/.x"), "path='/tmp/.x': is a hidden name; give a name that begins with no dot"),
        (ExportRequest("web-1", "/nowhere/x"), "path='/nowhere/x': the folder /nowhere is not there; make it first"),
        (
            ExportRequest("web-1", "/tmp/x", format="raw", compress=True),
            "compress=True: does not go with format raw; use format qcow2",
        ),
        (ImportRequest("x"), "path='x': is not an absolute path"),
        (ImportRequest("/x", connections=0), "connections=0: is less than one; use 1 or more"),
        (ImportRequest("/x", formats={"vda": "vmdk"}), "formats.vda='vmdk': is not a format of disks; use one of qcow2, raw"),
    ],
    ids=lambda value: "",
)
def test_requests_that_cannot_be_meant(request_, sentence):
    with pytest.raises(InputError) as error:
        request_.check()
    assert str(error.value).startswith(sentence)


# Never two copies


def test_another_owner_is_refused():
    with pytest.raises(InputError, match=r"would make a second copy: the registry of kvm2 says that kvm1 \(epoch 3\) owns the VM"):
        check_entry(Entry(VM.uuid, Owner("kvm1", 3), ()), "kvm2", here="kvm2")
    check_entry(Entry(VM.uuid, Owner("kvm2", 3), ()), "kvm2", here="kvm2")
    check_entry(None, "kvm2", here="kvm2")


def test_a_peer_that_does_not_answer_is_told(manifest):
    def unreachable(uri):
        raise UnreachableError(f"{uri} does not answer")

    told = check_peers(manifest, {"kvm1": "qemu+tls://kvm1/system"}, unreachable)
    assert told == ["kvm1 could not be asked whether the VM is there; do not let it start there again"]
    assert "kvm1, where the bundle was made, was not asked" in check_peers(manifest, {}, unreachable)[0]
    unowned: Manifest = dataclasses.replace(manifest, owner=None)
    assert check_peers(unowned, {}, unreachable) == []
