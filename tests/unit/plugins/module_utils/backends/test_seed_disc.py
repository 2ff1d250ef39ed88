# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disc with a VM's cloud-init data: read back, the same at every time, and kept beside the first disk."""

from __future__ import annotations

import dataclasses
import io
import time
import xml.etree.ElementTree as ET

import pycdlib
import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends import nocloud
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import metadata, seed_disc, volumes
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.connection import open_connection
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.domain_xml import build, read_vm
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.seed_disc import SeedDisc
from ansible_collections.virt8ra.federation.plugins.module_utils.cloud_init.seed import CloudInit
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Site, Vm

POOL, PATH = "default-pool", "/default-pool/web-cloud-init.iso"
SITE = Site(name="s", provider="p", country="ES", storage={"ssd": POOL})
VM = Vm("web", 1, 2**28, uuid="5f1d4d5e-4d3f-4c7a-9a53-3f3f0d2f6a01", machine="pc-q35-7.2", disks=(Disk("vda", 2**20, "ssd"),))
SECRET = "hunter2-hunter2"
FILES = {"user-data": b"#cloud-config\n{}\n", "meta-data": b"instance-id: x\n", "network-config": b"version: 2\n" * 500}


def asked(**parts):
    return CloudInit.from_dict(parts or {"user_data": {"password": SECRET}})


def read_back(image):
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    found = {}
    for kind in ("rr_path", "joliet_path"):
        found[kind] = {}
        for entry in iso.list_children(**{kind: "/"}):
            if entry.is_file():
                content = io.BytesIO()
                name = entry.rock_ridge.name().decode() if kind == "rr_path" else entry.file_identifier().decode("utf-16_be")
                iso.get_file_from_iso_fp(content, **{kind: f"/{name}"})
                found[kind][name] = content.getvalue()
    label = iso.pvd.volume_identifier.decode().strip()
    iso.close()
    return label, found


def test_the_guest_finds_the_files_by_either_extension():
    label, found = read_back(nocloud.disc(FILES))
    assert label == "cidata"
    assert found == {"rr_path": FILES, "joliet_path": FILES}


def test_the_same_files_give_the_same_bytes_at_any_time_and_place(monkeypatch):
    first = nocloud.disc(FILES)
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 86400 * 400)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert nocloud.disc(dict(reversed(FILES.items()))) == first
    finally:
        monkeypatch.undo()
        time.tzset()
    assert nocloud.disc({**FILES, "meta-data": b"instance-id: y\n"}) != first


def test_the_clock_goes_on_afterwards():
    nocloud.disc(FILES)
    assert pycdlib.pycdlib.time is time if hasattr(pycdlib.pycdlib, "time") else pycdlib.dates.time is time


def test_a_hypervisor_without_the_library_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(nocloud, "pycdlib", None)
    with pytest.raises(BackendError, match=r"cloud_init: needs pycdlib .*; install python3-pycdlib"):
        nocloud.disc(FILES)


@pytest.fixture
def conn(monkeypatch):
    """libvirt's test driver, which makes volumes and cannot fill them."""
    connection = open_connection("test:///default")

    def upload(conn, pool, name, content):
        return volumes.create_volume(conn, pool, name, len(content), "raw")

    monkeypatch.setattr(volumes, "upload_volume", upload)
    yield connection
    for volume in connection.storagePoolLookupByName(POOL).listAllVolumes():
        volume.delete()
    connection.close()


def names(conn):
    return conn.storagePoolLookupByName(POOL).listVolumes()


def domain():
    return ET.fromstring(build(VM, SITE, {"vda": "/default-pool/web-vda.qcow2"}))


def given_disc(conn, what=None, root=None):
    """A domain that has been given a disc."""
    root = domain() if root is None else root
    disc = SeedDisc(conn, SITE, VM, what or asked(), root)
    with disc.made(VM.uuid):
        disc.edit(root)
    return root


def test_a_new_disc_has_a_drive_that_only_reads(conn):
    root = given_disc(conn)
    assert names(conn) == ["web-cloud-init.iso"]
    drive = seed_disc.drive_of(root)
    assert drive.get("device") == "cdrom" and drive.find("readonly") is not None
    assert drive.find("target").attrib == {"dev": "sdz", "bus": "scsi"}
    assert seed_disc.path_of(root) == PATH
    assert root.find("devices/controller[@type='scsi']") is not None
    assert read_vm(root, SITE, {}, {}) == dataclasses.replace(read_vm(domain(), SITE, {}, {})), "it is no disk of the spec"


def test_nothing_of_the_secrets_is_in_the_definition(conn):
    root = given_disc(conn)
    assert SECRET not in ET.tostring(root, encoding="unicode")
    assert metadata.read(root, "cloud_init") == {"device": "sdz", "digest": asked().digest("web")}


def test_a_second_run_changes_nothing(conn):
    root = given_disc(conn)
    assert not SeedDisc(conn, SITE, VM, asked(), root).changed
    assert not SeedDisc(conn, SITE, VM, None, root).changed, "what is not given stays"


def test_a_change_takes_the_place_of_the_old_disc(conn):
    root = given_disc(conn)
    disc = SeedDisc(conn, SITE, VM, asked(user_data={"password": "another"}), root)
    assert disc.changed and disc.before != disc.after
    given_disc(conn, asked(user_data={"password": "another"}), root)
    assert names(conn) == ["web-cloud-init.iso"]
    assert len(root.findall("devices/disk[@device='cdrom']")) == 1
    assert metadata.seed_digest(root) == disc.after


def test_a_disc_that_was_lost_is_made_again(conn):
    root = given_disc(conn)
    volumes.delete_volume(conn, PATH)
    assert SeedDisc(conn, SITE, VM, asked(), root).changed
    given_disc(conn, root=root)
    assert names(conn) == ["web-cloud-init.iso"]


def test_an_empty_mapping_takes_disc_and_drive_away(conn):
    root = given_disc(conn)
    given_disc(conn, CloudInit.from_dict({}), root)
    assert names(conn) == [] and seed_disc.drive_of(root) is None
    assert metadata.read(root, "cloud_init") is None
    assert not SeedDisc(conn, SITE, VM, CloudInit.from_dict({}), root).changed


def test_a_failure_takes_back_a_new_disc(conn):
    disc = SeedDisc(conn, SITE, VM, asked(), domain())
    with pytest.raises(RuntimeError), disc.made(VM.uuid):
        assert names(conn) == ["web-cloud-init.iso"]
        raise RuntimeError
    assert names(conn) == []


def test_a_failure_leaves_a_disc_that_replaced_another(conn):
    root = given_disc(conn)
    disc = SeedDisc(conn, SITE, VM, asked(user_data={"password": "another"}), root)
    with pytest.raises(RuntimeError), disc.made(VM.uuid):
        raise RuntimeError
    assert names(conn) == ["web-cloud-init.iso"]
    assert SeedDisc(conn, SITE, VM, asked(user_data={"password": "another"}), root).changed, "the next run finishes it"


def test_a_foreign_volume_is_not_written_over(conn):
    volumes.create_volume(conn, POOL, "web-cloud-init.iso", 512, "raw")
    with pytest.raises(InputError, match=r"has a volume web-cloud-init\.iso already; delete that volume"):
        SeedDisc(conn, SITE, VM, asked())


def test_a_vm_without_disks_has_no_place_for_it(conn):
    with pytest.raises(InputError, match=r"cloud_init: has no place: .*; give the VM a disk"):
        SeedDisc(conn, SITE, dataclasses.replace(VM, disks=()), asked())


def test_on_sata_it_takes_the_last_unit_that_is_free(conn):
    disks = (Disk("vda", 2**20, "ssd"), Disk("sdf", 2**20, "ssd", "raw", "sata"), Disk("sdz", 2**20, "ssd", "raw", "scsi"))
    vm = dataclasses.replace(VM, disks=disks)
    root = ET.fromstring(build(vm, SITE, {disk.name: f"/default-pool/{disk.name}" for disk in disks}))
    given_disc(conn, asked(user_data={"password": SECRET}, bus="sata"), root)
    drive = seed_disc.drive_of(root)
    assert drive.find("target").attrib == {"dev": "sdy", "bus": "sata"}
    assert drive.find("address").get("unit") == "4"


def test_a_new_disk_cannot_have_the_name_of_the_drive(conn):
    root = given_disc(conn)
    with pytest.raises(InputError) as caught:
        seed_disc.check_names(root, [("disks[1]", Disk("sdz", 512, "ssd", "raw", "scsi"))])
    assert caught.value.option == "disks[1].name"


def test_a_running_guest_without_the_drive_has_to_be_restarted(conn):
    running, config = domain(), given_disc(conn)
    assert seed_disc.waits(running, config)
    assert not seed_disc.waits(config, config) and not seed_disc.waits(running, running)


def test_a_release_erases_the_disc_and_no_other():
    root = domain()
    assert seed_disc.paths_in(ET.tostring(root, encoding="unicode")) == []
    metadata.write(root, "cloud_init", {"device": "sdz", "digest": "x"})
    for device, path in (("sda", "/isos/debian.iso"), ("sdz", PATH)):
        drive = ET.SubElement(root.find("devices"), "disk", type="file", device="cdrom")
        ET.SubElement(drive, "source", file=path)
        ET.SubElement(drive, "target", dev=device, bus="scsi")
    assert seed_disc.paths_in(ET.tostring(root, encoding="unicode")) == [PATH]
