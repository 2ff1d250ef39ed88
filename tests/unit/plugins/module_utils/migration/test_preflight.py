# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.facts import DiskFacts, SourceFacts, TargetFacts
from ansible_collections.virt8ra.federation.plugins.module_utils.migration import preflight
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.placement_rules import with_leave
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Hypervisor, Nic, Owner, Site, Vm, VmStatus
from ansible_collections.virt8ra.federation.plugins.module_utils.rules import PlacementRules

GIB = 2**30


def site(name, country, hypervisor, **more):
    return Site(
        name=name,
        provider=name,
        country=country,
        storage={"ssd": f"{name}-pool"},
        networks={"public": f"{name}-net"},
        hypervisors=(Hypervisor(hypervisor, hypervisor, "qemu:///system", name),),
        **more,
    )


VM = Vm(
    name="web-1",
    cpus=1,
    memory=GIB,
    machine="pc-q35-7.2",
    disks=(Disk("vda", GIB, "ssd"),),
    nics=(Nic("public", "52:54:00:00:00:01"),),
    allowed_countries=("ES", "DE"),
)
SOURCE = SourceFacts(
    vm=VM,
    state="running",
    busy=False,
    epoch=3,
    owner="es-1",
    virt_type="kvm",
    cpu_mode="custom",
    networks=("es-net",),
    disks=(DiskFacts("vda", "/pool/web-1-vda.qcow2", "qcow2", GIB, GIB // 2),),
)
TARGET = TargetFacts(
    free_memory=2 * GIB, pools={"de-pool": 2 * GIB}, pool_paths={"de-pool": "/vms"}, networks=frozenset({"de-net"})
)
REQUEST = preflight.Request("es-1", "de-1", site("es", "ES", "es-1"), site("de", "DE", "de-1"))


def checks(source=SOURCE, target=TARGET, request=REQUEST):
    return [blocker.check for blocker in preflight.plan(request, source, target).blockers]


def test_a_vm_that_fits_has_a_plan_without_blockers():
    plan = preflight.plan(REQUEST, SOURCE, TARGET)
    assert plan.blockers == ()
    assert plan.warnings == ()
    assert plan.disks == {
        "vda": {
            "storage": "ssd",
            "pool": "de-pool",
            "path": "/vms/web-1-vda.qcow2",
            "volume": "web-1-vda.qcow2",
            "capacity": GIB,
            "format": "qcow2",
            "source_format": "qcow2",
            "source_path": "/pool/web-1-vda.qcow2",
        }
    }
    assert plan.networks == ("de-net",)
    assert (plan.estimate["disk_bytes"], plan.estimate["memory_bytes"], plan.estimate["bytes"]) == (GIB // 2, GIB, GIB + GIB // 2)
    assert plan.estimate["seconds"] is None, "nothing was measured"
    assert len(plan.steps) == 4


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"state": "stopped"}, "state"),
        ({"persistent": False}, "transient"),
        ({"busy": True}, "job"),
        ({"owner": "elsewhere"}, "owner"),
        ({"snapshots": 1}, "snapshots"),
        ({"checkpoints": ("nightly-1",)}, "checkpoints"),
        ({"backup": "a backup"}, "job"),
        ({"unmovable": ("a TPM",)}, "devices"),
        ({"cpu_mode": "host-passthrough"}, "cpu"),
        ({"vm": replace(VM, allowed_countries=("ES",))}, "country"),
        ({"vm": replace(VM, memory=3 * GIB)}, "memory"),
        ({"vm": replace(VM, disks=(Disk("vda", GIB, ""),))}, "storage"),
        ({"vm": replace(VM, disks=(Disk("vda", GIB, "tape"),))}, "storage"),
        ({"vm": replace(VM, nics=(Nic("", "52:54:00:00:00:01"),))}, "network"),
        ({"vm": replace(VM, nics=(Nic("dmz", "52:54:00:00:00:01"),))}, "network"),
    ],
)
def test_the_source_can_block(change, check):
    assert checks(source=replace(SOURCE, **change)) == [check]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"name_taken": True}, "name"),
        ({"copy_state": "stopped"}, "copy"),
        ({"free_memory": GIB - 1}, "memory"),
        ({"pools": {}}, "storage"),
        ({"pools": {"de-pool": GIB - 1}}, "storage"),
        ({"volumes": frozenset({"de-pool/web-1-vda.qcow2"})}, "volume"),
        ({"networks": frozenset()}, "network"),
        ({"macs": frozenset({"52:54:00:00:00:01"})}, "mac"),
        ({"cpu": "features are missing there"}, "cpu"),
        ({"machine": "not supported"}, "machine"),
    ],
)
def test_the_target_can_block(change, check):
    assert checks(target=replace(TARGET, **change)) == [check]


def test_all_blockers_are_told_at_once_and_each_names_a_remedy():
    source = replace(SOURCE, state="paused", snapshots=1)
    plan = preflight.plan(REQUEST, source, replace(TARGET, free_memory=0))
    assert [blocker.check for blocker in plan.blockers] == ["state", "memory", "snapshots"]
    assert all(";" in blocker.message for blocker in plan.blockers)


def test_a_disk_that_backs_on_another_file_comes_over_whole():
    disks = (DiskFacts("vda", "/pool/web-1-vda.qcow2", "qcow2", GIB, GIB // 2, backing=("/images/debian-12.qcow2",)),)
    made = preflight.plan(REQUEST, replace(SOURCE, disks=disks), TARGET)
    assert made.blockers == ()
    assert made.steps[0].endswith("whole, without /images/debian-12.qcow2 below it")


def test_disks_of_one_pool_must_fit_together():
    two = replace(VM, disks=(Disk("vda", GIB, "ssd"), Disk("vdb", GIB, "ssd")))
    disks = (*SOURCE.disks, DiskFacts("vdb", "/pool/web-1-vdb.qcow2", "qcow2", GIB, 0))
    assert checks(source=replace(SOURCE, vm=two, disks=disks), target=replace(TARGET, pools={"de-pool": 2 * GIB - 1})) == [
        "storage"
    ]


def test_names_change_on_the_way_when_asked():
    target_site = replace(REQUEST.target_site, storage={"hdd": "slow"}, networks={"dmz": "edge"})
    request = replace(REQUEST, target_site=target_site, storage={"ssd": "hdd"}, networks={"public": "dmz"})
    target = replace(TARGET, pools={"slow": GIB}, networks=frozenset({"edge"}))
    plan = preflight.plan(request, SOURCE, target)
    assert (plan.blockers, plan.disks["vda"]["pool"], plan.disks["vda"]["storage"], plan.networks) == ((), "slow", "hdd", ("edge",))


def mode_checks(mode, *, source=SOURCE, target=TARGET, **request):
    plan = preflight.plan(replace(REQUEST, mode=mode, **request), source, target)
    return [blocker.check for blocker in plan.blockers]


MARKED = replace(SOURCE, disks=tuple(replace(disk, bitmaps=True) for disk in SOURCE.disks))


@pytest.mark.parametrize(
    ("mode", "source", "expected"),
    [
        ("warm", MARKED, []),
        ("warm", SOURCE, ["bitmaps"]),
        ("warm", replace(MARKED, state="stopped"), ["state"]),
        ("cold", SOURCE, []),
        ("cold", replace(SOURCE, state="stopped"), []),
        ("cold", replace(SOURCE, state="paused"), ["state"]),
        ("cold", replace(SOURCE, cpu_mode="host-passthrough"), []),
        ("live", MARKED, []),
    ],
)
def test_a_mode_asks_for_what_it_needs(mode, source, expected):
    assert mode_checks(mode, source=source) == expected


def test_what_may_be_cleared_does_not_block():
    source = replace(SOURCE, snapshots=1, checkpoints=("nightly-1",))
    assert mode_checks("cold", source=source) == ["snapshots", "checkpoints"]
    assert mode_checks("cold", source=source, clear=("snapshots", "checkpoints")) == []


def test_a_pool_of_block_devices_takes_raw_and_drops_the_suffix():
    target = replace(TARGET, pool_types={"de-pool": "logical"}, pool_paths={"de-pool": "/dev/vg"})
    disk = preflight.plan(replace(REQUEST, mode="cold"), SOURCE, target).disks["vda"]
    assert (disk["format"], disk["path"]) == ("raw", "/dev/vg/web-1-vda")
    assert mode_checks("cold", target=target, formats={"vda": "qcow2"}) == ["format"]
    assert mode_checks("cold", formats={"vdz": "raw"}) == ["format"]
    changed = preflight.plan(replace(REQUEST, mode="cold", formats={"vda": "raw"}), SOURCE, TARGET).disks["vda"]
    assert (changed["volume"], changed["format"], changed["source_format"]) == ("web-1-vda.raw", "raw", "qcow2")


POLICY = PlacementRules.from_dict(
    {"forbidden_providers": ["de"], "anti_affinity": [{"group": "web", "level": "site"}]}, "placement"
)
APART = replace(POLICY, forbidden_providers=())


def neighbour(name):
    vm = Vm(name=name, cpus=1, memory=GIB, placement=PlacementRules.from_dict({"groups": ["web"]}, "placement"))
    return VmStatus("running", vm, Owner("de-1", 1), managed=True).to_dict()


def test_a_target_that_breaks_the_policy_is_refused_and_the_remedy_is_told():
    (blocker,) = preflight.plan(REQUEST, replace(SOURCE, vm=replace(VM, placement=POLICY)), TARGET).blockers
    assert blocker.check == "provider"
    assert "may not run at de, the provider of site de; choose another target" in blocker.message
    assert "or say why not with override_reason" in blocker.message


def test_leave_to_break_it_is_a_warning_and_is_kept():
    request = replace(REQUEST, override_reason="the site burns")
    plan = preflight.plan(request, replace(SOURCE, vm=replace(VM, placement=POLICY)), TARGET)
    assert plan.blockers == () and plan.override == "the site burns"
    assert any("overridden: the site burns" in warning for warning in plan.warnings)
    assert preflight.plan(request, SOURCE, TARGET).override == "", "nothing was to be overridden"


def test_it_is_kept_apart_from_others_of_its_group_wherever_they_go():
    source = replace(SOURCE, vm=replace(VM, placement=APART))
    target = replace(TARGET, company={"de-1": [neighbour("web-2")], "es-1": []})
    assert checks(source, target) == ["anti_affinity"]
    assert checks(source, target, replace(REQUEST, moving={"web-2": "es-1"})) == []
    arriving = replace(TARGET, company={"de-1": [], "es-1": [{**neighbour("web-2"), "owner": None}]})
    assert checks(source, arriving) == []
    assert checks(source, arriving, replace(REQUEST, moving={"web-2": "de-1"})) == ["anti_affinity"]


def test_leave_travels_to_where_it_was_given_and_no_further():
    there = with_leave(replace(VM, placement=POLICY), "de-1", "the site burns")
    assert there.rules.override.reason == "the site burns"
    assert with_leave(there, "de-1", "") == there
    assert with_leave(there, "es-1", "").placement == POLICY
    assert with_leave(VM, "de-1", "") == VM


def test_discs_go_beside_the_disks_and_that_of_cloud_init_keeps_its_name():
    media = {"sda": "/isos/debian.iso", "sdz": "/pool/web-1-cloud-init.iso", "sdb": "/pool/web-2-cloud-init.iso"}
    plan = preflight.plan(REQUEST, replace(SOURCE, media=media), TARGET)
    assert plan.media == {"sda": "/vms/web-1-sda.iso", "sdz": "/vms/web-1-cloud-init.iso", "sdb": "/vms/web-1-sdb.iso"}
