# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured of a hypervisor and its VMs, over libvirt's test driver and a host of recorded answers."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence import storage, transport, vms
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.facts import Area, gather
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.gathering import hypervisor_evidence
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.hypervisor import vulnerabilities
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, NotFoundError

libvirt = pytest.importorskip("libvirt")

CPU = "/sys/devices/system/cpu/vulnerabilities"
SHAPED = """<domain><os><type arch="x86_64" machine="pc-q35-7.2">hvm</type></os><cpu mode="host-passthrough"/>
<seclabel type="dynamic" model="apparmor" relabel="yes"><label>libvirt-1</label></seclabel>
<devices><hostdev mode="subsystem" type="pci"/>
<disk type="file" device="disk"><source file="/vms/a.qcow2"/><target dev="vda"/></disk>
<disk type="file" device="disk"><source file="/safe/b.qcow2"><encryption format="luks"/></source><target dev="vdb"/></disk>
<disk type="file" device="cdrom"><source file="/x.iso"/><target dev="sda"/></disk></devices></domain>"""


class FakeHost:
    """Answers of commands by their words, files by path, folders by path; all else is not there."""

    def __init__(self, commands=(), files=(), folders=(), accepts=False):
        self.commands, self.files, self.folders, self.taken = dict(commands), dict(files), dict(folders), accepts

    def _known(self, table, key):
        if key not in table:
            raise NotFoundError(f"{key} is not there")
        return table[key]

    def run(self, command, **_more):
        return self._known(self.commands, " ".join(command))

    run_json = run

    def text(self, path):
        return self._known(self.files, path)

    def data(self, path):
        return self._known(self.files, path).encode()

    def names(self, path):
        return self._known(self.folders, path)

    def accepts(self, _address, _port):
        return self.taken

    def handshake(self, address, port, authority, own=None):
        raise BackendError(f"no TLS handshake with {address}:{port}")


def test_a_hypervisor_gives_itself_and_its_vms():
    conn = libvirt.open("test:///default")
    try:
        host = FakeHost(files={f"{CPU}/mds": "Vulnerable: no microcode\n"}, folders={CPU: ["mds"]})
        hypervisor, vm = hypervisor_evidence(conn, "kvm1", "rioja", host)
    finally:
        conn.close()
    assert (hypervisor["type"], hypervisor["name"], hypervisor["site"]) == ("hypervisor", "kvm1", "rioja")
    assert hypervisor["facts"]["cpu_vulnerabilities"]["data"]["vulnerable"] == ["mds"]
    assert hypervisor["facts"]["migration_tls"]["error"] == "/etc/libvirt/qemu.conf is not there"
    assert (vm["type"], vm["name"]) == ("vm", "test")
    assert vm["facts"]["confinement"]["data"]["confined"] is False
    for one in (hypervisor, vm):
        assert all(fact["how"] and ("data" in fact) != ("error" in fact) for fact in one["facts"].values())


def test_what_cannot_be_had_keeps_nothing_else_away():
    def broken():
        raise BackendError("it is broken")

    assert gather([Area("a", "by a", broken), Area("b", "by b", lambda: 1)]) == {
        "a": {"how": "by a", "error": "it is broken"},
        "b": {"how": "by b", "data": 1},
    }


def test_a_vm_tells_its_shape_its_label_and_its_disks():
    root = ET.fromstring(SHAPED)
    assert vms.shape(root)["passthrough"] == ["pci subsystem"]
    assert vms.confinement(root, True)["confined"] is True
    with pytest.raises(BackendError, match="does not run"):
        vms.confinement(root, False)
    found = vms.disks(root, {}, {"/vms": False, "/": True})["disks"]
    assert [(disk["target"], disk["encrypted"], disk["by"]) for disk in found] == [("vda", False, ""), ("vdb", True, "qemu")]
    assert vms.disks(root, {}, {})["disks"][0]["encrypted"] is None


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ("", {"default": True, "migration": True, "nbd": True}),
        ("default_tls_x509_verify = 0\n", {"default": False, "migration": False, "nbd": False}),
        ("#default_tls_x509_verify = 0\nnbd_tls_x509_verify=0 # no\n", {"default": True, "migration": True, "nbd": False}),
    ],
)
def test_migration_verifies_as_libvirt_falls_back(conf, expected):
    host = FakeHost(files={transport.QEMU_CONF: conf}, folders={"/etc/pki/qemu": ["server-cert.pem"], "/etc/pki/libvirt-nbd": []})
    read = transport.migration_tls(host)
    assert read["verify"] == expected
    assert read["certificates"] == {"migration": True, "nbd": False}


@pytest.mark.parametrize(("kinds", "encrypted"), [(["lvm", "crypt", "part"], True), (["lvm", "part"], False)])
def test_a_pool_is_encrypted_if_each_device_below_is(kinds, encrypted):
    device = None
    for kind in reversed(kinds):
        device = {"type": kind, **({"children": [device]} if device else {})}
    host = FakeHost(
        {
            "findmnt --json --target /vms --output SOURCE,FSTYPE": {"filesystems": [{"source": "/dev/mapper/v[/sub]"}]},
            "lsblk --json --inverse --output NAME,TYPE /dev/mapper/v": {"blockdevices": [device]},
        }
    )
    pool = {"name": "vms", "active": True, "xml": "<pool type='dir'><target><path>/vms</path></target></pool>"}
    (read,) = storage.encryption(host, [pool])["pools"]
    assert (read["device"], read["encrypted"]) == ("/dev/mapper/v", encrypted)


def test_a_kernel_that_tells_nothing_is_no_good_news():
    with pytest.raises(BackendError):
        vulnerabilities(FakeHost(folders={CPU: []}))
