# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle as vm_export writes it, of a VM that is nowhere: only libvirt's answers and the disks' contents are made up."""

from __future__ import annotations

import contextlib
import dataclasses
import random

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.facts import DiskFacts, SourceFacts
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.domain_xml import build
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.contents import Contents
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.manifest import OFF, Consistency
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.request import ExportRequest
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.writing import writer
from ansible_collections.virt8ra.federation.plugins.module_utils.extents import merged
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Nic, Owner, Site, Vm

SITE = Site("rioja", "Arsys", "ES", networks={"public": "br0"}, storage={"ssd": "vms", "hdd": "slow"})
VM = Vm(
    name="web-1",
    cpus=1,
    memory=2**27,
    uuid="8f0c5f43-70f3-4d0c-9d2b-0d7f9fd6f0a1",
    machine="pc-q35-7.2",
    disks=(Disk("vda", 3 * 2**20, "ssd"), Disk("vdb", 2**20 + 512, "ssd")),
    nics=(Nic("public", "52:54:00:00:00:01"),),
)
ID = "0d9c4d3e-3c39-4a7a-8f6b-9a8b9b1d7c11"


class Content:
    """A disk: random bytes at some places, zeroes elsewhere."""

    def __init__(self, size, ranges, seed=0):
        self.size = size
        self._ranges = merged(ranges)
        self.bytes = bytearray(size)
        for offset, length in self._ranges:
            self.bytes[offset : offset + length] = random.Random(seed).randbytes(length)

    def data(self):
        return self._ranges

    def parts(self, offset, view):
        view[:] = self.bytes[offset : offset + len(view)]
        yield view


DISKS = {
    "vda": Content(3 * 2**20, [(0, 512), (2**20 + 100, 70000), (3 * 2**20 - 512, 512)]),
    "vdb": Content(2**20 + 512, [(2**20, 512)], 1),
}


class End:
    """Of libvirt only what an export reads of an end."""

    hypervisor = "kvm1"
    connection = type("Connection", (), {"getLibVersion": lambda self: 9000000, "getVersion": lambda self: 7002000})()

    def __init__(self, xml):
        self._xml = xml

    def xml(self, *, persistent):
        return self._xml

    def autostart(self):
        return True


class Disks:
    """A DiskSource whose disks are Contents."""

    consistency = Consistency(OFF)

    @contextlib.contextmanager
    def reader(self, disk):
        yield DISKS[disk.name]


def domain_xml(vm=VM):
    return build(vm, SITE, {disk.name: f"/vms/{vm.name}-{disk.name}.qcow2" for disk in vm.disks}, owner=Owner("kvm1", 3))


def facts(**more):
    disks = tuple(DiskFacts(disk.name, f"/vms/{disk.name}", "qcow2", disk.size, disk.size) for disk in VM.disks)
    told = SourceFacts(VM, "stopped", False, 3, "kvm1", "kvm", "custom", ("br0",), disks)
    return dataclasses.replace(told, **more)


def make(path, form="folder", format="qcow2", known=None):
    """The manifest of the bundle at the path."""
    out = writer(str(path), form)
    out.begin()
    request = ExportRequest(VM.name, str(path), form, format)
    contents = Contents(out, known or facts(), request, lambda _phase, _figures: None)
    manifest = contents.write(Disks(), ID, SITE, End(domain_xml()))
    out.publish()
    return manifest
