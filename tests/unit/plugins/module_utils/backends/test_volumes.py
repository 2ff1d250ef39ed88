# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools, volumes and new disks, against libvirt's own test driver, which keeps a hypervisor in memory."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import volumes
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.connection import open_connection
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.new_disks import made_disks, plan_disks
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import (
    BackendError,
    ExistsError,
    FederationError,
    InputError,
    NotFoundError,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Site

POOL, PATH = "default-pool", "/default-pool"
SITE = Site(name="s", provider="p", country="ES", storage={"ssd": POOL, "off": "idle-pool", "gone": "no-pool"})
IDLE = "<pool type='dir'><name>idle-pool</name><target><path>/idle-pool</path></target></pool>"


@pytest.fixture
def conn():
    connection = open_connection("test:///default")
    idle = connection.storagePoolDefineXML(IDLE, 0)
    yield connection
    # The driver's memory outlives the connection while anything still points into it.
    for volume in connection.storagePoolLookupByName(POOL).listAllVolumes():
        volume.delete()
    idle.undefine()
    connection.close()


def names(conn):
    return conn.storagePoolLookupByName(POOL).listVolumes()


def test_pools_are_known_by_their_path(conn):
    assert volumes.pool_paths(conn)[PATH] == POOL


def test_a_volume_has_the_exact_size_and_goes_again(conn):
    path = volumes.create_volume(conn, POOL, "a.qcow2", 12345 * 1024, "qcow2")
    assert path == f"{PATH}/a.qcow2"
    assert volumes.volume_sizes(conn, [path, "/no/such/path"]) == {path: 12345 * 1024}
    volumes.delete_volume(conn, path)
    volumes.delete_volume(conn, path)
    assert names(conn) == []


def test_a_volume_is_never_written_over(conn):
    volumes.create_volume(conn, POOL, "a.qcow2", 512, "qcow2")
    with pytest.raises(ExistsError, match="look whose volume that is"):
        volumes.create_volume(conn, POOL, "a.qcow2", 1024, "qcow2")
    assert volumes.volume_sizes(conn, [f"{PATH}/a.qcow2"]) == {f"{PATH}/a.qcow2": 512}


def test_an_image_is_copied(conn):
    volumes.create_volume(conn, POOL, "image", 1024, "raw")
    path = volumes.clone_image(conn, POOL, "image", POOL, "b.qcow2", 1024, "qcow2")
    assert volumes.volume_sizes(conn, [path]) == {path: 1024}
    with pytest.raises(BackendError, match="no volume missing"):
        volumes.clone_image(conn, POOL, "missing", POOL, "c.qcow2", 1024, "qcow2")


def test_pools_that_cannot_be_used_are_told_apart(conn):
    with pytest.raises(NotFoundError):
        volumes.free_bytes(conn, "no-pool")
    with pytest.raises(BackendError, match="not active"):
        volumes.free_bytes(conn, "idle-pool")
    assert volumes.free_bytes(conn, POOL) > 0


def test_a_pool_that_rounds_is_refused_and_its_volume_taken_back(conn, monkeypatch):
    """As LVM does, which only knows whole extents."""
    exact = volumes._volume_xml
    monkeypatch.setattr(volumes, "_volume_xml", lambda name, size, *more: exact(name, size + 512, *more))
    with pytest.raises(BackendError, match="instead of 1024"):
        volumes.create_volume(conn, POOL, "a.raw", 1024, "raw")
    assert names(conn) == []


def plan(conn, *disks):
    return plan_disks(conn, SITE, "guest", [(f"disks[{index}]", disk) for index, disk in enumerate(disks)])


def test_new_disks_are_planned_without_touching_anything(conn):
    (new,) = plan(conn, Disk("vda", 512, "ssd"))
    assert (new.pool, new.volume, new.image) == (POOL, "guest-vda.qcow2", None)
    assert names(conn) == []


@pytest.mark.parametrize(
    ("disk", "option", "words"),
    [
        (Disk("vda", 512, "tape"), "disks[0].storage", "not in the storage of site s"),
        (Disk("vda", 512, "gone"), "disks[0].storage", "no-pool"),
        (Disk("vda", 512, "off"), "disks[0].storage", "not active"),
        (Disk("vda", 2**60, "ssd"), "disks[0].size", "does not fit"),
        (Disk("vda", 512, "ssd", image="ssd/missing"), "disks[0].image", "no volume missing"),
        (Disk("vda", 512, "ssd", image="tape/x"), "disks[0].image", "not in the storage"),
        (Disk("vda", 512, "ssd", image="ssd/big"), "disks[0].size", "smaller than the image"),
        (Disk("vdb", 512, "ssd"), "disks[0].name", "has a volume guest-vdb.qcow2 already"),
    ],
)
def test_a_disk_that_cannot_be_is_refused_by_option(conn, disk, option, words):
    volumes.create_volume(conn, POOL, "big", 2**20, "raw")
    volumes.create_volume(conn, POOL, "guest-vdb.qcow2", 2**20, "qcow2")
    before = names(conn)
    with pytest.raises(InputError) as caught:
        plan(conn, disk)
    assert caught.value.option == option
    assert words in str(caught.value)
    assert caught.value.remedy
    assert names(conn) == before


def test_disks_that_fit_alone_but_not_together_are_refused(conn):
    half = volumes.free_bytes(conn, POOL) // 1024 * 512 + 512
    with pytest.raises(InputError) as caught:
        plan(conn, Disk("vda", half, "ssd"), Disk("vdb", half, "ssd"))
    assert caught.value.option == "disks[1].size"


def test_a_failure_takes_back_what_was_made_and_nothing_else(conn):
    volumes.create_volume(conn, POOL, "of-another", 512, "raw")
    new = plan(conn, Disk("vda", 512, "ssd"), Disk("vdb", 512, "ssd"))
    with pytest.raises(FederationError, match="later"), made_disks(conn, new) as paths:
        assert set(paths) == {"vda", "vdb"}
        raise FederationError("it broke later")
    assert names(conn) == ["of-another"]


def test_a_volume_that_came_meanwhile_survives_the_failure(conn):
    new = plan(conn, Disk("vda", 512, "ssd"), Disk("vdb", 512, "ssd"))
    volumes.create_volume(conn, POOL, "guest-vdb.qcow2", 1024, "qcow2")
    with pytest.raises(BackendError), made_disks(conn, new):
        pytest.fail("the second volume cannot be made")
    assert names(conn) == ["guest-vdb.qcow2"]
