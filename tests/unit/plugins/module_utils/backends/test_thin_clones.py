# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks made from images of the library, whole or backing on them, against libvirt's own test driver."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import migration_facts, new_disks, volumes
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.connection import open_connection
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.new_disks import made_disks, plan_disks
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.image_records import Record, Records, image_lock
from ansible_collections.virt8ra.federation.plugins.module_utils.images import Image
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Site

SITE = Site(name="s", provider="p", country="ES", storage={"ssd": "t-vms", "images": "t-images", "lvm": "t-lvm"})
MIB = 2**20


class World:
    """Pools that libvirt keeps in memory, over folders that hold the images' files."""

    def __init__(self, folder):
        self.folder = folder
        self.conn = open_connection("test:///default")
        self.state = folder / "state"
        self.pools = [self.pool("t-vms"), self.pool("t-images"), self.pool("t-lvm", "logical")]
        self.pools.append(self.pool("virt8ra-owners", path=self.state / "owners"))
        self.records = Records(str(self.state), "t-images")

    def pool(self, name, kind="dir", path=None):
        source = "<source><name>vg</name></source>" if kind == "logical" else ""
        xml = f"<pool type='{kind}'><name>{name}</name>{source}<target><path>{path or self.folder / name}</path></target></pool>"
        return self.conn.storagePoolCreateXML(xml, 0)

    def image(self, version="12.8", size=MIB):
        image = Image.from_dict({"name": "debian", "version": version, "sha256": "0" * 64, "source": {"site": "s"}})
        path = self.folder / "t-images" / image.volume
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"image")
        volumes.create_volume(self.conn, "t-images", image.volume, size, "qcow2")
        self.records.write(Record.of(image, path, size, "now", "here"))
        return path

    def plan(self, *disks):
        return plan_disks(self.conn, SITE, "guest", [(f"disks[{index}]", disk) for index, disk in enumerate(disks)])

    def close(self):
        for pool in self.pools:
            for volume in pool.listAllVolumes():
                volume.delete()
            pool.destroy()
        self.conn.close()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def thin(image="debian:12.8", **changes):
    return Disk("vda", 2 * MIB, "ssd", image=image, clone="thin", **changes)


@pytest.mark.parametrize(("named", "version"), [("debian", "12.10"), ("debian:12.8", "12.8")])
def test_a_thin_disk_backs_on_the_image_that_was_named(world, named, version):
    paths = {version: str(world.image(version)) for version in ("12.8", "12.10")}
    with made_disks(world.conn, world.plan(thin(named))) as made:
        root = ET.fromstring(world.conn.storageVolLookupByPath(made["vda"]).XMLDesc())
    assert root.findtext("capacity") == str(2 * MIB)
    assert root.findtext("backingStore/path") == paths[version]
    assert root.find("backingStore/format").get("type") == "qcow2", "nobody has to guess it"


def test_a_full_disk_is_a_copy_of_the_image_that_was_named(world, monkeypatch):
    for version in ("12.8", "12.10"):
        world.image(version)
    copied = []
    monkeypatch.setattr(new_disks.volumes, "clone_image", lambda _conn, *what: copied.append(what) or "/p")
    with made_disks(world.conn, world.plan(Disk("vda", 2 * MIB, "ssd", image="debian"))) as made:
        assert made == {"vda": "/p"}
    assert copied == [("t-images", "debian-12.10.qcow2", "t-vms", "guest-vda.qcow2", 2 * MIB, "qcow2")]


@pytest.mark.parametrize(
    ("disk", "option", "words"),
    [
        (thin("debian:13"), "disks[0].image", "is not in the library of this hypervisor, which has debian:12.8; bring it with"),
        (thin("fedora"), "disks[0].image", "is not in the library of this hypervisor, which has debian:12.8;"),
        (thin("images/debian-12.8.qcow2"), "disks[0].clone", "backs on images of the library only;"),
        (
            Disk("vda", 2 * MIB, "lvm", "raw", image="debian", clone="thin"),
            "disks[0].clone",
            "cannot be on a pool of type logical;",
        ),
        (Disk("vda", MIB // 2, "ssd", image="debian"), "disks[0].size", "is smaller than the image debian;"),
    ],
)
def test_what_cannot_be_is_refused_by_option(world, disk, option, words):
    world.image()
    with pytest.raises(InputError) as caught:
        world.plan(disk)
    assert caught.value.option == option
    assert words in str(caught.value)


def test_an_image_that_was_written_since_is_refused(world):
    world.image().write_bytes(b"other than it was")
    with pytest.raises(InputError, match="was written since its digest was checked; bring it again"):
        world.plan(thin())


def test_an_image_that_went_meanwhile_leaves_no_disk_behind(world):
    path = world.image()
    planned = world.plan(Disk("vdb", MIB, "ssd"), thin())
    path.unlink()
    with pytest.raises(BackendError, match="was removed or changed meanwhile"), made_disks(world.conn, planned):
        pytest.fail("it cannot be made")
    assert world.conn.storagePoolLookupByName("t-vms").listVolumes() == []


def test_an_image_is_held_while_a_disk_is_made_that_backs_on_it(world, monkeypatch):
    world.image()
    create, held = volumes.create_volume, []

    def watched(*arguments):
        held.append(image_lock(str(world.state), "t-images", "debian-12.8.qcow2").is_held())
        return create(*arguments)

    monkeypatch.setattr(new_disks.volumes, "create_volume", watched)
    with made_disks(world.conn, world.plan(thin())):
        assert held == [True]
    assert not image_lock(str(world.state), "t-images", "debian-12.8.qcow2").is_held()


# What a migration is told of such a disk


class Domain:
    """What ``_disk`` asks of a domain."""

    def __init__(self, conn):
        self._conn = conn

    def connect(self):
        return self._conn

    def blockInfo(self, _name):
        return [4 * MIB, 1000, 1000]


def facts(world, path, below=""):
    xml = f"<disk type='file' device='disk'><driver type='qcow2'/><source file='{path}'/>{below}<target dev='vda'/></disk>"
    return migration_facts._disk(Domain(world.conn), ET.fromstring(xml))


def chain(*paths):
    inner = "<backingStore/>"
    for path in reversed(paths):
        inner = f"<backingStore type='file'><format type='qcow2'/><source file='{path}'/>{inner}</backingStore>"
    return inner


@pytest.fixture
def sizes(monkeypatch):
    """Bytes that volumes take up; what is not in it no pool knows."""
    known = {}
    monkeypatch.setattr(migration_facts.volumes, "allocation", lambda _conn, path: known.get(path))
    return known


def test_a_disk_that_stands_alone_counts_itself(world, sizes):
    found = facts(world, "/p/a", chain())
    assert (found.allocation, found.backing) == (1000, ())


def test_the_whole_chain_is_counted(world, sizes):
    sizes.update({"/p/b": 2000, "/p/c": 3000})
    found = facts(world, "/p/a", chain("/p/b", "/p/c"))
    assert (found.allocation, found.backing, found.capacity) == (6000, ("/p/b", "/p/c"), 4 * MIB)


def test_no_more_is_copied_than_the_disk_has(world, sizes):
    sizes["/p/b"] = 9 * MIB
    assert facts(world, "/p/a", chain("/p/b")).allocation == 4 * MIB
    assert facts(world, "/p/a", chain("/p/unknown")).allocation == 4 * MIB


def test_the_chain_of_a_vm_that_is_off_is_read_from_its_volumes(world, sizes):
    path = str(world.image())
    sizes[path] = 5000
    with made_disks(world.conn, world.plan(thin())) as made:
        found = facts(world, made["vda"])
    assert (found.backing, found.allocation) == ((path,), 6000)
