# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ten guests under rules at three sites of two providers in two countries: one is filled up, one is lost, a rule is broken on purpose."""

from __future__ import annotations

from typing import Any

import pytest

from .guest import IMAGE, SOURCE, TARGET, Guest, built_image
from .lab import ADDRESSES, SITES, Lab

pytestmark = pytest.mark.slow

DEPLOY, MIGRATE = "playbooks/deploy.yml", "playbooks/migrate_vm.yml"
LOST = "lab-es-2"
GIB = 2**30


def spec(number: int, **more: Any) -> dict[str, Any]:
    return {
        "name": f"t-three-{number}",
        "cpus": 1,
        "memory": "128MiB",
        "disks": [{"name": "vda", "size": "64MiB", "storage": "ssd", "image": f"images/{IMAGE}"}],
        **more,
    }


def grouped(rule: str, group: str, level: str = "site") -> dict[str, Any]:
    return {"placement": {rule: [{"group": group, "level": level}]}}


BATCH = [
    *(spec(number, **grouped("anti_affinity", "web")) for number in (0, 1, 2)),
    *(spec(number, allowed_countries=["DE"]) for number in (3, 4)),
    *(spec(number, **grouped("keep_together", "database", "hypervisor")) for number in (5, 6)),
    spec(7, placement={"forbidden_providers": ["IONOS"]}),
    spec(8, placement={"groups": ["cache"], "forbidden_countries": ["DE"]}),
    spec(9, **grouped("affinity", "cache")),
]
NAMES = [one["name"] for one in BATCH]


@pytest.fixture(scope="module")
def guests(lab: Lab):
    """The ten, by name, with their image at every site; nothing of them is left."""
    made = {name: Guest(lab, name) for name in (*NAMES, "t-three-big", "t-three-late")}
    image = built_image(lab)
    for host in ADDRESSES:
        copied = lab.module(
            host, "ansible.builtin.copy", {"src": image, "dest": f"/var/lib/libvirt/images/{IMAGE}", "mode": "0644"}
        )
        assert not copied.get("failed"), copied
    for guest in made.values():
        guest.remove()
    yield made
    for guest in made.values():
        guest.remove()


@pytest.fixture(scope="module")
def places(lab: Lab, guests: dict[str, Guest]) -> dict[str, str]:
    """Where the batch was deployed, as the hosts say."""
    result = lab.playbook(DEPLOY, extra={"specs": BATCH})
    assert result["rc"] == 0, said(result)
    return running(guests)


def said(result: dict[str, Any]) -> str:
    """The failures of a playbook."""
    failures = [
        str(answer.get("msg"))
        for play in result["plays"]
        for task in play["tasks"]
        for answer in task["hosts"].values()
        if answer.get("failed")
    ]
    return "\n".join(failures)


def running(guests: dict[str, Guest]) -> dict[str, str]:
    found = {name: [host for host in ADDRESSES if guests[name].state(host) == "running"] for name in NAMES}
    assert all(len(hosts) == 1 for hosts in found.values()), found
    return {name: hosts[0] for name, hosts in found.items()}


def test_ten_guests_are_placed_as_a_whole_and_no_rule_is_broken(lab, places):
    sites = {name: SITES[host] for name, host in places.items()}
    web, german, database = NAMES[:3], NAMES[3:5], NAMES[5:7]
    assert len({sites[name] for name in web}) == 3
    assert {places[name] for name in german} == {"lab-de-1"}
    assert len({places[name] for name in database}) == 1
    assert sites[NAMES[7]] in ("lab-es", "lab-es-south")
    assert sites[NAMES[8]] == sites[NAMES[9]]
    assert sites[NAMES[8]] in ("lab-es", "lab-es-south")


def test_a_second_run_changes_nothing_and_moves_nobody(lab, guests, places):
    again = lab.playbook(DEPLOY, extra={"specs": list(reversed(BATCH))})
    assert again["rc"] == 0, said(again)
    assert {host: again["stats"][host]["changed"] for host in ADDRESSES} == dict.fromkeys(ADDRESSES, 0)
    assert running(guests) == places


@pytest.mark.usefixtures("places")
def test_a_site_that_is_full_takes_no_more_and_says_by_how_much(lab, guests):
    seen = lab.module("lab-de-1", "virt8ra.federation.site_info", {"site": "{{ federation_site }}"})["facts"]["capacity"]
    big = {"name": "t-three-big", "cpus": 1, "memory": seen["memory_free"] // GIB * GIB - GIB, "allowed_countries": ["DE"]}
    filled = lab.playbook(DEPLOY, extra={"spec": big, "state": "present"})
    assert filled["rc"] == 0, said(filled)
    late = {"name": "t-three-late", "cpus": 1, "memory": 4 * GIB, "allowed_countries": ["DE"]}
    try:
        refused = lab.playbook(DEPLOY, extra={"spec": late, "state": "present"})
        assert refused["rc"] != 0
        assert "of memory left of" in said(refused) and "VM t-three-late needs 4.0 GiB" in said(refused)
        assert "at lab-de-1" in said(refused) or "lab-de-1 has" in said(refused)
        elsewhere = lab.playbook(
            DEPLOY, extra={"spec": {**late, "allowed_countries": ["DE", "ES"]}, "state": "present"}, check=True
        )
        assert elsewhere["rc"] == 0, said(elsewhere)
    finally:
        guests["t-three-big"].remove()


def test_a_batch_of_which_one_finds_no_place_makes_nobody(lab, guests):
    batch = [spec(10), spec(11, allowed_countries=["NL"])]
    refused = lab.playbook(DEPLOY, extra={"specs": batch})
    assert refused["rc"] != 0 and "VM t-three-11 may run in NL only" in said(refused)
    for host in ADDRESSES:
        assert not Guest(lab, "t-three-10").state(host)


@pytest.mark.usefixtures("places")
def test_a_site_that_is_lost_is_placed_around(lab):
    units = "libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd-tls.socket"
    lab.run(LOST, f"systemctl stop {units}")
    try:
        late = {"name": "t-three-late", "cpus": 1, "memory": "64MiB"}
        found = lab.playbook(DEPLOY, extra={"spec": late, "state": "present"}, check=True)
        assert found["rc"] == 0, said(found)
        assert found["stats"].get(LOST, {}).get("changed", 0) == 0
        webs = lab.playbook(DEPLOY, extra={"spec": {**late, **grouped("anti_affinity", "web")}, "state": "present"}, check=True)
        assert webs["rc"] != 0
        assert f"{LOST} cannot be judged: its facts could not be read" in said(webs)
    finally:
        lab.run(
            LOST, "systemctl start libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd-tls.socket libvirtd.service"
        )


def test_a_rule_is_broken_only_with_a_reason_which_is_journalled(lab, guests, places):
    name = NAMES[7]
    guest, source = guests[name], places[name]
    refused = guest.migrate(source, TARGET)
    assert "may not run at IONOS, the provider of site lab-de" in refused["msg"] and guest.state(source) == "running"
    moved = guest.migrate(source, TARGET, override_reason="the site burns")
    assert not moved.get("failed"), moved.get("msg")
    assert moved["migration"]["override"] == "the site burns"
    assert any("the site burns" in warning for warning in moved["report"]["warnings"])
    status = lab.module(TARGET, "virt8ra.federation.vm_info", {"name": name, "site": "{{ federation_site }}"})["vms"][0]
    assert status["vm"]["placement"]["override"] == {"hypervisor": TARGET, "reason": "the site burns"}
    assert not guest.migrate(source, TARGET, state="released").get("failed")
    back = lab.playbook(MIGRATE, extra={"vm": name})
    assert back["rc"] == 0, said(back)
    (home,) = [host for host in ADDRESSES if guest.state(host) == "running"]
    assert home in (SOURCE, LOST), "the best place that its rules allow"
    status = lab.module(home, "virt8ra.federation.vm_info", {"name": name, "site": "{{ federation_site }}"})["vms"][0]
    assert status["vm"]["placement"] == {"forbidden_providers": ["IONOS"]}
