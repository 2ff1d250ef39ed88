# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person wrote over what is there."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.desired_vm import desired_vm, differing, written
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Nic, Vm

PUBLIC = Nic("public", "52:54:00:00:00:01")
PRIVATE = Nic("private", "52:54:00:00:00:02", "e1000e")
ROOT = Disk("vda", 2**30, "ssd", "raw", image="images/debian")
DATA = Disk("vdb", 2**20, "ssd")
CURRENT = Vm(name="guest", cpus=2, memory=2**28, machine="pc-q35-7.2", disks=(ROOT, DATA), nics=(PUBLIC, PRIVATE))


def test_nulls_are_not_written():
    params = {"name": "a", "cpus": None, "disks": [{"name": "vda", "size": None}], "nics": [], "uri": "x", "autostart": False}
    assert written(params) == {"name": "a", "disks": [{"name": "vda"}], "nics": [], "autostart": False}


def test_nothing_written_changes_nothing():
    assert desired_vm({}, CURRENT) == CURRENT
    assert desired_vm({"disks": [{"name": "vda"}, {"name": "vdb"}]}, CURRENT) == CURRENT
    assert desired_vm({"nics": [{"network": "public"}, {"network": "private"}]}, CURRENT) == CURRENT


def test_the_order_in_which_devices_are_written_means_nothing():
    assert desired_vm({"disks": [{"name": "vdb"}, {"name": "vda"}]}, CURRENT) == CURRENT
    assert desired_vm({"nics": [{"network": "private"}, {"mac": PUBLIC.mac.upper(), "network": "public"}]}, CURRENT) == CURRENT


def test_only_what_is_written_is_checked():
    odd = dataclasses.replace(CURRENT, name="{{ 7 * 7 }}", memory=0, machine="pc", cpu_model="host-passthrough")
    assert desired_vm({"description": "new"}, odd) == dataclasses.replace(odd, description="new")


def test_the_image_of_a_disk_whose_origin_nobody_knows_is_no_change():
    adopted = dataclasses.replace(CURRENT, disks=(DATA,))
    assert desired_vm({"disks": [{"name": "vdb", "image": "images/debian"}]}, adopted) == adopted


def test_disks_grow_come_and_go():
    wanted = desired_vm({"disks": [{"name": "vdc", "size": 512, "storage": "hdd"}, {"name": "vda", "size": "2GiB"}]}, CURRENT)
    assert wanted.disks == (dataclasses.replace(ROOT, size=2**31), Disk("vdc", 512, "hdd"))
    assert differing(CURRENT, wanted) == ["disks"]


def test_a_second_nic_on_the_same_network_is_new():
    wanted = desired_vm({"nics": [{"network": "public"}, {"network": "public", "model": "rtl8139"}]}, CURRENT)
    assert wanted.nics == (PUBLIC, Nic("public", "", "rtl8139"))


def test_a_nic_with_an_address_is_chosen_before_one_by_network():
    twins = dataclasses.replace(CURRENT, nics=(PUBLIC, Nic("public", "52:54:00:00:00:03")))
    wanted = desired_vm({"nics": [{"network": "public", "model": "e1000e"}, {"network": "public", "mac": PUBLIC.mac}]}, twins)
    assert wanted.nics == (PUBLIC, Nic("public", "52:54:00:00:00:03", "e1000e"))


def test_a_known_address_on_another_network_is_a_move():
    assert desired_vm({"nics": [{"network": "private", "mac": PUBLIC.mac}]}, CURRENT).nics == (Nic("private", PUBLIC.mac),)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"disks": [{"name": "vdc", "storage": "ssd"}]}, "disks[0].size"),
        ({"disks": [{"name": "vda"}, {"name": "vdc", "size": 512}]}, "disks[1].storage"),
        ({"memory": "lots"}, "memory"),
        ({"nics": [{"network": "public", "mac": "zz"}]}, "nics[0].mac"),
    ],
)
def test_what_is_wrong_is_named_by_the_place_where_it_was_written(given, option):
    with pytest.raises(InputError) as caught:
        desired_vm(given, CURRENT)
    assert caught.value.option == option


def test_a_new_vm_is_read_whole():
    assert desired_vm({"name": "new", "cpus": 1, "memory": "64MiB"}, None) == Vm("new", 1, 2**26)


def test_how_a_disk_was_cloned_is_past_once_it_is_there():
    vm = Vm("web", 1, 2**30, disks=(Disk("vda", 2**30, "ssd", image="debian:12", clone="full"),))
    assert desired_vm({"disks": [{"name": "vda", "image": "debian:12", "clone": "thin"}]}, vm) == vm
