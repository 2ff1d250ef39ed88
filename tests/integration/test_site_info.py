# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module site_info against both lab hosts."""

from __future__ import annotations

import pytest

from .lab import ADDRESSES, SITES


def read(lab, host, *, check=False, **options):
    result = lab.module(host, "virt8ra.federation.site_info", {"site": "{{ federation_site }}", **options}, check=check)
    assert not result.get("failed"), result.get("msg")
    assert result["changed"] is False
    return result


@pytest.mark.parametrize("host", ADDRESSES)
def test_what_a_hypervisor_has_is_what_its_own_tools_say(lab, host):
    result = read(lab, host)
    facts = result["facts"]
    assert result["site"] == SITES[host]
    assert facts["capacity"]["cpus"] == int(lab.run(host, "nproc --all"))
    assert facts["capacity"]["memory"] == 1024 * int(lab.run(host, "awk '/MemTotal/ {print $2}' /proc/meminfo"))
    assert facts["capacity"]["vms"] == len(lab.run(host, "virsh list --all --name").split())
    assert f"QEMU {facts['versions']['qemu']}" in lab.run(host, "virsh version")
    assert f"libvirt {facts['versions']['libvirt']}" in lab.run(host, "virsh version")
    assert "pc-q35-7.2" in facts["machine_types"]
    assert {"vms", "images"} <= {pool["name"] for pool in facts["pools"]}
    (vms,) = [pool for pool in facts["pools"] if pool["name"] == "vms"]
    assert (vms["storage"], vms["path"], vms["active"]) == (["ssd"], "/var/lib/libvirt/vms", True)
    assert abs(vms["free"] - int(lab.run(host, "df -B1 --output=avail /var/lib/libvirt/vms | tail -1"))) < 2**30
    (network,) = [network for network in facts["networks"] if network["name"] == "public"]
    assert (network["networks"], network["active"]) == (["public"], True)


def test_a_vm_can_have_the_models_that_are_named(lab):
    cpu = read(lab, "lab-es-1")["facts"]["cpu"]
    assert cpu["accelerator"] in ("kvm", "tcg")
    assert "Nehalem" in cpu["models"]
    assert cpu["baseline"]["model"]


def test_a_mapping_to_nothing_is_a_fault_of_health(lab):
    site = {"name": "x", "provider": "p", "country": "ES", "storage": {"gold": "nopool"}, "networks": {"dark": "nonet"}}
    facts = read(lab, "lab-es-1", site=site, check=True)["facts"]
    assert facts["healthy"] is False
    assert "gold is mapped to the storage pool nopool, which does not exist" in facts["faults"]
    assert "dark is mapped to the network nonet, which does not exist" in facts["faults"]


def test_a_site_that_is_written_wrongly_is_refused(lab):
    result = lab.module("lab-es-1", "virt8ra.federation.site_info", {"site": {"name": "x", "provider": "p", "country": "Spain"}})
    assert result["error"]["option"] == "site.country"


@pytest.mark.parametrize("host", ADDRESSES)
def test_what_placement_needs(lab, host):
    facts = read(lab, host, hypervisor=host)["facts"]
    assert (facts["host_cpu"]["hypervisor"], facts["host_cpu"]["accelerator"]) == (host, facts["cpu"]["accelerator"])
    assert set(facts["cpu"]["models"]) <= set(facts["host_cpu"]["known_models"])
    assert {"sse2", "nx"} <= set(facts["cpu"]["features"])
    assert facts["firmware"] == (["bios", "uefi"] if facts["cpu"]["uefi"] else ["bios"])
    assert sum(cell["cpus"] for cell in facts["numa"]) == facts["capacity"]["cpus"]
    for device in facts["devices"]:
        assert lab.run(host, f"readlink /sys/bus/pci/devices/{device['address']}/iommu_group").strip()
        assert 0 <= device["free"] <= device["count"]


def test_a_vm_that_is_off_is_promised_its_memory(lab):
    who = {"site": "{{ federation_site }}", "hypervisor": "lab-es-1", "name": "t-off"}
    before = read(lab, "lab-es-1", hypervisor="lab-es-1")["facts"]["capacity"]
    try:
        made = lab.module("lab-es-1", "virt8ra.federation.vm", {**who, "cpus": 2, "memory": "64MiB"})
        assert not made.get("failed"), made.get("msg")
        after = read(lab, "lab-es-1", hypervisor="lab-es-1")["facts"]["capacity"]
        assert after["cpus_stopped"] - before["cpus_stopped"] == 2
        assert after["memory_stopped"] - before["memory_stopped"] == 64 * 2**20
        assert after["vms_kept"] == before["vms_kept"]
        as_another = read(lab, "lab-es-1", hypervisor="lab-de-1")["facts"]["capacity"]
        assert as_another["vms_kept"] >= after["vms_kept"] + 1
    finally:
        lab.module("lab-es-1", "virt8ra.federation.vm", {**who, "state": "absent"})
