# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a hypervisor has for placement: devices, NUMA cells, and what VMs that are off are promised."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from types import SimpleNamespace

import libvirt
import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import host_devices, site_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.host_capabilities import (
    Accelerator,
    DomainCapabilities,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Owner

GPU = """
<device><name>pci_0000_3b_00_0</name><driver><name>{driver}</name></driver><capability type='pci'><class>0x030200</class>
<domain>0</domain><bus>59</bus><slot>0</slot><function>0</function>
<product id='0x1eb8'>TU104GL [Tesla T4]</product><vendor id='0x10de'>NVIDIA Corporation</vendor>{more}</capability></device>
"""
GROUP = "<iommuGroup number='12'><address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/></iommuGroup>"
NIC = f"""
<device><name>pci_0000_01_10_1</name><driver><name>ixgbevf</name></driver><capability type='pci'><class>0x020000</class>
<domain>0</domain><bus>1</bus><slot>16</slot><function>1</function><product id='0x10ed'/><vendor id='0x8086'>Intel</vendor>
{GROUP}</capability></device>
"""
BRIDGE = f"""
<device><name>pci_0000_00_01_0</name><capability type='pci'><class>0x060400</class><domain>0</domain><bus>0</bus><slot>1</slot>
<function>0</function><product id='0x1'/><vendor id='0x2'/>{GROUP}</capability></device>
"""
MDEV_TYPES = """
<capability type='mdev_types'><type id='nvidia-222'><name>GRID T4-1B</name><deviceAPI>vfio-pci</deviceAPI>
<availableInstances>14</availableInstances></type></capability>
"""
UUIDS = ("4b20d080-1b54-4048-85b3-a6a62d165c01", "4b20d080-1b54-4048-85b3-a6a62d165c02")
MDEVS = [
    f"<device><parent>pci_0000_3b_00_0</parent><capability type='mdev'><type id='nvidia-222'/><uuid>{uuid}</uuid></capability></device>"
    for uuid in UUIDS
]
TAKES_GPU = "<domain><devices><hostdev type='pci'><source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/></source>\
</hostdev></devices></domain>"
TAKES_NIC = TAKES_GPU.replace("hostdev", "interface").replace("0x3b", "0x01").replace("0x00'", "0x10'").replace("0x0'", "0x1'")
TAKES_MDEV = (
    f"<domain><devices><hostdev type='mdev'><source><address uuid='{UUIDS[1].upper()}'/></source></hostdev></devices></domain>"
)
TAKES_USB = "<domain><devices><hostdev type='usb'><source><address bus='1' device='4'/></source></hostdev></devices></domain>"


class Conn:
    """A virConnect as far as host devices go."""

    def __init__(self, pci=(), mdevs=(), error=None):
        self._devices = {
            libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV: pci,
            libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV: mdevs,
        }
        self._error = error

    def listAllDevices(self, flags):
        if self._error is not None:
            raise self._error
        return [SimpleNamespace(XMLDesc=lambda _flags, xml=xml: xml) for xml in self._devices[flags]]


def fault(code):
    error = libvirt.libvirtError("refused")
    error.err = (code, 0, "refused", 0, "", None, None, 0, 0)
    return error


def read(conn, *vms):
    return host_devices.read(conn, [ET.fromstring(vm) for vm in vms])


def gpu(driver="vfio-pci", more=GROUP):
    return GPU.format(driver=driver, more=more)


def test_a_gpu_is_described_as_lspci_does():
    (device,) = read(Conn([gpu()]))
    assert device == {
        "kind": "gpu",
        "vendor": "10de",
        "product": "1eb8",
        "name": "NVIDIA Corporation TU104GL [Tesla T4]",
        "address": "0000:3b:00.0",
        "driver": "vfio-pci",
        "type": "",
        "count": 1,
        "free": 1,
    }


def test_what_the_host_uses_is_not_free():
    devices = read(Conn([NIC, gpu(driver="nvidia")]))
    assert [(device["kind"], device["address"], device["free"]) for device in devices] == [
        ("pci", "0000:01:10.1", 0),
        ("gpu", "0000:3b:00.0", 0),
    ]


def test_bridges_and_what_no_iommu_keeps_apart_cannot_be_given():
    assert read(Conn([BRIDGE, gpu(more="")])) == []


@pytest.mark.parametrize(("vm", "free"), [(TAKES_GPU, 0), (TAKES_NIC, 1), (TAKES_USB, 1)])
def test_what_a_vm_has_is_not_free(vm, free):
    (device,) = read(Conn([gpu()]), vm)
    assert (device["count"], device["free"]) == (1, free)


def test_an_interface_takes_a_function_too():
    nic = NIC.replace("ixgbevf", "vfio-pci")
    assert [device["free"] for device in read(Conn([nic]))] == [1]
    assert [device["free"] for device in read(Conn([nic]), TAKES_NIC)] == [0]


def test_slices_that_are_made_count_and_are_free_until_a_vm_has_them():
    conn = Conn([gpu(driver="nvidia", more=MDEV_TYPES)], MDEVS)
    (idle,), (taken,) = read(conn), read(conn, TAKES_MDEV)
    assert (idle["kind"], idle["type"], idle["name"], idle["address"]) == ("mdev", "nvidia-222", "GRID T4-1B", "0000:3b:00.0")
    assert (idle["count"], idle["free"]) == (16, 16)
    assert (taken["count"], taken["free"]) == (16, 15)


def test_a_libvirt_without_host_devices_has_none():
    assert read(Conn(error=fault(libvirt.VIR_ERR_NO_SUPPORT))) == []
    with pytest.raises(BackendError, match="listing the host's devices failed"):
        read(Conn(error=fault(libvirt.VIR_ERR_INTERNAL_ERROR)))


def vm(*, owner="es-1", active=False, cpus=2, memory=4096):
    config = f"<domain><vcpu>{cpus}</vcpu><memory unit='KiB'>{memory}</memory></domain>"
    return SimpleNamespace(active=active, owner=Owner(owner, 1) if owner else None, config=ET.fromstring(config))


def test_vms_that_are_off_are_promised_something_and_copies_that_stayed_are_not():
    vms = [vm(), vm(cpus=1, memory=1024), vm(active=True), vm(owner="de-1"), vm(owner="")]
    assert site_facts._stopped(vms, "es-1") == {"cpus_stopped": 5, "memory_stopped": 9216 * 1024, "vms_kept": 1}
    assert site_facts._stopped(vms, "") == {"cpus_stopped": 7, "memory_stopped": 13312 * 1024, "vms_kept": 0}


def test_numa_cells():
    host = ET.fromstring(libvirt.open("test:///default").getCapabilities())
    assert site_facts._numa(host)[0] == {"id": 0, "cpus": 8, "memory": 2 * 2**30}


def test_a_processor_without_a_name_has_no_features_and_true_models():
    class Unnamed:
        def getDomainCapabilities(self, *_arguments):
            return (
                "<domainCapabilities><machine>pc-q35-7.2</machine><cpu><mode name='host-model' supported='no'/><mode name='custom'>"
                "<model usable='yes'>Nehalem</model><model usable='no'>EPYC</model></mode></cpu></domainCapabilities>"
            )

    capabilities = DomainCapabilities(Unnamed(), Accelerator("tcg"))
    cpu = site_facts._cpu(ET.fromstring("<capabilities/>"), Accelerator("tcg"), capabilities)
    assert (cpu["baseline"], cpu["features"], cpu["models"]) == ({"model": "", "features": []}, [], ["Nehalem"])
    assert capabilities.host_cpu("es-1").to_dict() == {
        "hypervisor": "es-1",
        "accelerator": "tcg",
        "description": "",
        "models": ["Nehalem"],
        "known_models": ["EPYC", "Nehalem"],
    }
