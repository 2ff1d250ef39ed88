# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The portable schema: what goes out comes in again, and what is wrong is named."""

from __future__ import annotations

import json

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Nic, Site, Vm

MINIMAL = {"name": "guest", "cpus": 1, "memory": "256MiB"}
DISK = {"name": "vda", "size": "1GiB", "storage": "ssd"}
SITE = {
    "name": "es-madrid",
    "provider": "Arsys",
    "country": "ES",
    "networks": {"public": "br0", "internet": "br0", "private": "br1"},
    "storage": {"ssd": "vms", "images": "images"},
    "hypervisors": [{"name": "es-madrid-1", "address": "2001:db8::1"}],
}


def refusal(data, read=Vm.from_dict):
    with pytest.raises(InputError) as caught:
        read(data)
    assert caught.value.remedy
    return caught.value


def test_a_vm_comes_back_from_json_as_it_went():
    vm = Vm.from_dict(
        {
            **MINIMAL,
            "uuid": "5f1d4d5e-4d3f-4c7a-9a53-3f3f0d2f6a01",
            "description": "{{ lookup('pipe', 'id') }}",
            "disks": [
                {**DISK, "image": "images/debian"},
                {"name": "sda", "size": 512, "storage": "ssd", "bus": "scsi", "format": "raw"},
            ],
            "nics": [{"network": "public", "mac": "52:54:00:AA:bb:01"}, {"network": "private"}],
            "allowed_countries": ["ES", "DE"],
        }
    )
    assert vm.nics[0].mac == "52:54:00:aa:bb:01"
    assert Vm.from_dict(json.loads(json.dumps(vm.to_dict()))) == vm


def test_what_is_not_given_takes_the_defaults():
    vm = Vm.from_dict(MINIMAL)
    assert (vm.memory, vm.cpu_model, vm.firmware, vm.machine, vm.uuid) == (2**28, "Nehalem", "bios", "", "")
    assert vm.disks == vm.nics == vm.allowed_countries == ()


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"name": "{{ x }}"}, "name"),
        ({"cpus": 0}, "cpus"),
        ({"cpus": "2"}, "cpus"),
        ({"memory": "1MiB"}, "memory"),
        ({"memory": 4194305}, "memory"),
        ({"cpu_model": "host-passthrough"}, "cpu_model"),
        ({"machine": "q35"}, "machine"),
        ({"uuid": "abc"}, "uuid"),
        ({"firmware": "coreboot"}, "firmware"),
        ({"allowed_countries": ["es"]}, "allowed_countries"),
        ({"color": "red"}, "color"),
        ({"disks": [DISK, DISK]}, "disks"),
        ({"disks": [{**DISK, "size": 1000}]}, "disks[0].size"),
        ({"disks": [{**DISK, "name": "hda"}]}, "disks[0].name"),
        ({"disks": [{**DISK, "name": "sda"}]}, "disks[0].name"),
        ({"disks": [{**DISK, "image": "a/b/c"}]}, "disks[0].image"),
        ({"disks": [{**DISK, "image": "debian:"}]}, "disks[0].image"),
        ({"disks": [{**DISK, "image": "images/"}]}, "disks[0].image"),
        ({"disks": [{**DISK, "clone": "thin"}]}, "disks[0].clone"),
        ({"disks": [{**DISK, "image": "debian", "clone": "thin", "format": "raw"}]}, "disks[0].clone"),
        ({"disks": [{**DISK, "image": "debian", "clone": "linked"}]}, "disks[0].clone"),
        ({"disks": [{**DISK, "bus": "ide"}]}, "disks[0].bus"),
        ({"nics": [{"mac": "52:54:00:00:00:01"}]}, "nics[0].network"),
        ({"nics": [{"network": "public", "mac": "52:54:00"}]}, "nics[0].mac"),
        ({"nics": [{"network": "public", "mac": "53:54:00:00:00:01"}]}, "nics[0].mac"),
        ({"nics": [{"network": "a", "mac": "52:54:00:00:00:01"}, {"network": "b", "mac": "52:54:00:00:00:01"}]}, "nics"),
    ],
)
def test_a_wrong_vm_is_refused_by_option(change, option):
    assert refusal({**MINIMAL, **change}).option == option


@pytest.mark.parametrize("key", ["name", "cpus", "memory"])
def test_what_a_vm_cannot_be_without_is_required(key):
    assert refusal({name: value for name, value in MINIMAL.items() if name != key}).option == key


def test_disks_and_nics_stand_on_their_own():
    assert Disk.from_dict(DISK) == Disk(name="vda", size=2**30, storage="ssd")
    assert Nic.from_dict({"network": "public"}) == Nic(network="public")


def test_a_site_comes_back_as_it_went():
    site = Site.from_dict(SITE)
    assert site.hypervisors[0].uri == "qemu+tls://[2001:db8::1]/system"
    assert Site.from_dict(site.to_dict()) == site


def test_logical_and_local_names_map_both_ways():
    site = Site.from_dict(SITE)
    assert site.local_storage("ssd", "disks[0].storage") == "vms"
    assert site.logical_storage("vms") == "ssd"
    assert site.logical_storage("elsewhere") == ""
    assert site.logical_network("br0") == "internet"
    assert site.logical_network("br0", "public") == "public"
    assert site.logical_network("br1", "public") == "private"


def test_a_name_that_a_site_does_not_map_is_refused_with_those_that_it_does():
    error = refusal("gold", lambda name: Site.from_dict(SITE).local_storage(name, "disks[0].storage"))
    assert (error.option, error.value) == ("disks[0].storage", "gold")
    assert "images, ssd" in str(error)


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"country": "XX"}, "site.country"),
        ({"latitude": 100}, "site.latitude"),
        ({"backend": "vmware"}, "site.backend"),
        ({"networks": ["public"]}, "site.networks"),
        ({"hypervisors": [{"address": "10.0.0.1"}]}, "site.hypervisors[0].name"),
    ],
)
def test_a_wrong_site_is_refused_by_option(change, option):
    assert refusal({**SITE, **change}, Site.from_dict).option == option
