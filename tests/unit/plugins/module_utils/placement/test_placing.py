# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Placement by example: each rule by itself, what a refusal says, and what bad input is told."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from small_world import GIB, ask, facts, site, status, vm

ISO = {"claim": "ISO 27001", "value": "4711", "expires": "2027-01-01"}
RIOJA = site("rioja", ["kvm1", "kvm2"], latitude=42.46, longitude=-2.45, cpu_price=0.02, energy=10, attestations=[ISO])
BADEN = site("baden", ["kvm3"], "DE", "IONOS", latitude=49.01, longitude=8.40, cpu_price=0.03, energy=5)
SITES = [RIOJA, BADEN]
FACTS = {"kvm1": facts(), "kvm2": facts(), "kvm3": facts()}
OFFICE = {"point": "office", "latitude": 49.0, "longitude": 8.0}
MS = {"min_ms": 1, "samples": 5, "measured_at": "2026-11-25T10:00:00Z"}


def where(vms, **more):
    answer = ask(more.pop("sites", SITES), more.pop("known", FACTS), vms, **more)
    assert answer.found, answer.sentence()
    return answer.assignment()


def placed(**policy):
    return where([vm("web-1", placement=policy)])["web-1"]


def excluded(one, at, **more):
    """The rules by which a hypervisor is excluded, with their sentences."""
    answer = ask(more.pop("sites", SITES), more.pop("known", FACTS), [one, *more.pop("others", [])], **more)
    return {entry.rule: entry for entry in answer.exclusions()[one["name"]] if at in entry.hypervisors}


@pytest.mark.parametrize(
    ("spec", "rule", "sentence"),
    [
        ({"allowed_countries": ["ES"]}, "country", "VM web-1 may run in ES only, and site baden is in DE"),
        ({"placement": {"forbidden_countries": ["DE"]}}, "country", "VM web-1 may not run in DE, where site baden is"),
        (
            {"placement": {"allowed_providers": ["Arsys"]}},
            "provider",
            "VM web-1 may run at Arsys only, and the provider of site baden is IONOS",
        ),
        (
            {"placement": {"forbidden_providers": ["IONOS"]}},
            "provider",
            "VM web-1 may not run at IONOS, the provider of site baden",
        ),
        (
            {"placement": {"certifications": ["ISO 27001"]}},
            "certification",
            "VM web-1 needs ISO 27001, which site baden does not attest today",
        ),
        (
            {"placement": {"round_trips": [{"site": "rioja", "max_ms": 5}]}},
            "round_trip",
            "it is at least 11.1 ms by the distance from kvm3 to rioja, and VM web-1 allows 5 ms",
        ),
    ],
)
def test_a_site_is_excluded_by_a_rule_in_a_sentence(spec, rule, sentence):
    found = excluded(vm("web-1", **spec), "kvm3")
    assert {name: entry.sentence for name, entry in found.items()} == {rule: sentence}
    assert where([vm("web-1", **spec)])["web-1"] == "kvm1"


@pytest.mark.parametrize(
    ("spec", "more", "rule", "sentence", "excess"),
    [
        ({"cpus": 40}, {}, "cpus", "kvm3 has 32 vCPUs left of 32, and VM web-1 needs 40", 8),
        ({"cpus": 65}, {}, "cpus", "a VM at kvm3 can have 64 vCPUs at the most, and VM web-1 has 65", 1),
        ({"memory": 9}, {}, "memory", "kvm3 has 8.0 GiB of memory left of 8.0 GiB, and VM web-1 needs 9.0 GiB", GIB),
        (
            {"disk": 1001},
            {},
            "disk_space",
            "the pool vms of kvm3 has 1000.0 GiB left, and the disks of VM web-1 need 1001.0 GiB",
            GIB,
        ),
        ({"cpu_model": "Skylake-Server"}, {}, "cpu_model", "kvm3 cannot run the CPU model Skylake-Server of VM web-1", 1),
        ({"machine": "pc-q35-9.0"}, {}, "machine", "kvm3 has no machine type pc-q35-9.0, which VM web-1 has", 1),
        ({"firmware": "uefi"}, {}, "firmware", "kvm3 has no UEFI firmware, which VM web-1 boots by", 1),
        (
            {"placement": {"cpu_features": ["avx2", "amx", "sgx"]}},
            {},
            "cpu_features",
            "a guest at kvm3 cannot have the CPU features amx, sgx, which VM web-1 needs",
            2,
        ),
        (
            {"placement": {"devices": [{"kind": "gpu", "vendor": "NVIDIA", "count": 2}]}},
            {},
            "device",
            "kvm3 has not enough free devices for VM web-1, which needs 2 NVIDIA gpu",
            2,
        ),
        ({"nics": [{"network": "private"}]}, {}, "network", "site baden maps no network private, which VM web-1 uses", 1),
        ({}, {"networks": []}, None, "", 0),
        (
            {"nics": [{"network": "public"}]},
            {"networks": []},
            "network",
            "kvm3 has no active network public, which VM web-1 uses",
            1,
        ),
        ({"disk": 1}, {"pools": []}, "storage", "kvm3 has no active storage ssd, which VM web-1 uses", 1),
    ],
)
def test_a_hypervisor_is_excluded_by_what_it_lacks_and_by_how_much(spec, more, rule, sentence, excess):
    found = excluded(vm("web-1", **spec), "kvm3", known={"kvm1": facts(cpus=32, memory=64, disk=5000), "kvm3": facts(**more)})
    if rule is None:
        assert "network" not in found
    else:
        assert (found[rule].sentence, found[rule].excess) == (sentence, excess)


def test_a_hypervisor_whose_facts_could_not_be_read_is_not_chosen():
    assert where([vm("web-1")], known={"kvm3": facts()}) == {"web-1": "kvm3"}
    assert excluded(vm("web-1"), "kvm1", known={"kvm3": facts()})["unreachable"].sentence == (
        "kvm1 cannot be judged: its facts could not be read"
    )


def test_overcommit_is_the_sites():
    tight = [{**site("rioja", ["kvm1"]), "cpu_overcommit": 1, "memory_overcommit": 2}]
    assert where([vm("a", cpus=8, memory=16)], sites=tight, known={"kvm1": facts()})
    assert not ask(tight, {"kvm1": facts()}, [vm("a", cpus=9)]).found
    assert not ask(tight, {"kvm1": facts()}, [vm("a", memory=17)]).found


def test_what_vms_that_are_off_are_promised_is_not_free():
    promised = facts()
    promised["capacity"].update(cpus_stopped=0, memory_stopped=5 * GIB)
    assert not ask([BADEN], {"kvm3": promised}, [vm("a", memory=4)]).found
    assert ask([BADEN], {"kvm3": promised}, [vm("a", memory=3)]).found


def test_what_the_host_holds_itself_cannot_be_had():
    busy = facts()
    busy["capacity"]["memory_free"] = 2 * GIB
    assert not ask([BADEN], {"kvm3": busy}, [vm("a", memory=3)]).found


def test_devices_are_given_once():
    cards = [
        {
            "kind": "gpu",
            "vendor": "10de",
            "product": "1eb8",
            "name": "NVIDIA Corporation TU104GL [Tesla T4]",
            "count": 1,
            "free": 1,
        },
        {"kind": "gpu", "vendor": "1002", "product": "73a3", "name": "AMD Navi 21", "count": 2, "free": 1},
    ]
    one, any_gpu = {"kind": "gpu", "vendor": "0x10DE"}, {"kind": "gpu"}
    known = {"kvm3": facts(devices=cards)}
    picky, easy = vm("picky", placement={"devices": [one]}), vm("easy", placement={"devices": [any_gpu]})
    assert where([easy, picky], sites=[BADEN], known=known), "the one that takes any must leave the other's"
    assert not ask([BADEN], known, [picky, easy, vm("third", placement={"devices": [any_gpu]})]).found
    assert not ask([BADEN], known, [vm("a", placement={"devices": [{"kind": "gpu", "product": "A100"}]})]).found


def test_groups_are_kept_apart_at_each_level():
    apart = [vm(f"web-{n}", placement={"anti_affinity": [{"group": "web", "level": "site"}]}) for n in (1, 2)]
    found = where(apart)
    assert len(set(found.values()) & {"kvm1", "kvm2"}) == 1
    third = vm("web-3", placement={"anti_affinity": [{"group": "web"}]})
    answer = ask(SITES, FACTS, [*apart, third])
    assert not answer.found
    assert "of the group web is at hypervisor kvm1, and VM web-3 is to be apart" in answer.sentence(), (
        "the rule of the others holds for the third as well"
    )


def test_who_goes_to_a_group_goes_where_it_is():
    db = vm("db", placement={"groups": ["db"]}, allowed_countries=["DE"])
    web = vm("a-web", placement={"affinity": [{"group": "db", "level": "site"}]})
    assert where([web, db]) == {"a-web": "kvm3", "db": "kvm3"}
    assert excluded(web, "kvm1", others=[db])["affinity"].sentence == (
        "no VM of the group db is at site rioja, where VM a-web needs one"
    )
    assert where([web], present={"kvm3": [status(db)]}) == {"a-web": "kvm3"}
    assert not ask(SITES, FACTS, [web]).found


def test_what_is_kept_together_goes_where_all_of_it_has_room():
    known = {"kvm1": facts(memory=8), "kvm2": facts(memory=3), "kvm3": facts(memory=10)}
    group = [vm(f"shop-{n}", memory=3, placement={"keep_together": [{"group": "shop"}]}) for n in (1, 2, 3)]
    assert set(where(group, known=known).values()) == {"kvm3"}


def test_a_measurement_counts_and_the_distance_only_without_one():
    near = {"round_trips": [{**OFFICE, "max_ms": 4}]}
    assert placed(**near) == "kvm3"
    slow = [
        {"source": "kvm3", "target": "office", "median_ms": 9, **MS},
        {"source": "rioja", "target": "office", "median_ms": 3.5, **MS},
    ]
    assert where([vm("web-1", placement=near)], latencies=slow)["web-1"] in ("kvm1", "kvm2")
    answer = ask(SITES, FACTS, [vm("web-1", placement=near)])
    assert answer.rankings()["web-1"][0].unmeasured == (
        "the round trip to office is not measured; it is at least 0.3 ms by the distance",
    )
    failed = [{**slow[0], "samples": 0}]
    assert where([vm("web-1", placement=near)], latencies=failed)["web-1"] == "kvm3"
    newer = {"source": "office", "target": "kvm3", "median_ms": 2, **MS, "measured_at": "2026-11-25T11:00:00Z"}
    assert where([vm("web-1", placement=near)], latencies=[newer, *slow[:1]])["web-1"] == "kvm3", "the newest, in either direction"


def test_nothing_known_is_no_leave():
    sites = [{**place, "latitude": None, "longitude": None} for place in SITES]
    found = excluded(vm("a", placement={"round_trips": [{"point": "office", "max_ms": 50}]}), "kvm1", sites=sites)
    assert "is neither measured nor bounded by coordinates" in found["round_trip"].sentence


def test_a_round_trip_to_another_vm_holds_for_both():
    measured = [{"source": "kvm1", "target": "kvm3", "median_ms": 20, **MS}]
    db = vm("db", allowed_countries=["DE"])
    web = vm("web", placement={"round_trips": [{"vm": "db", "max_ms": 15}]})
    assert where([web, db], latencies=measured) == {"db": "kvm3", "web": "kvm3"}
    there = {"kvm1": [status(web)]}
    answer = ask(SITES, FACTS, [db], present=there, latencies=measured)
    assert answer.sentence().count("it is 20.0 ms from kvm3 to VM web, and VM db allows 15 ms") == 1


@pytest.mark.parametrize(
    ("weights", "place"),
    [
        ({"spread": 1}, "kvm2"),
        ({"pack": 1}, "kvm1"),
        ({"price": 1}, "kvm1"),
        ({"energy": 1}, "kvm3"),
        ({"distance": 1}, "kvm3"),
        ({"round_trip": 1}, "kvm3"),
        ({"energy": 1, "price": 9}, "kvm1"),
        ({}, "kvm2"),
    ],
)
def test_a_wish_decides_between_places_that_are_allowed(weights, place):
    known = {"kvm1": facts(memory_used=4), "kvm2": facts(), "kvm3": facts(memory_used=2)}
    policy = {"weights": weights, "round_trips": [OFFICE]}
    assert where([vm("a", placement=policy)], known=known) == {"a": place}


def test_providers_are_diverse_when_that_is_wished():
    many = [vm(f"v{n}", placement={"weights": {"provider_diversity": 1}}) for n in range(4)]
    at = list(where(many).values())
    assert at.count("kvm3") == 2


def test_a_vm_that_is_there_stays_where_its_rules_allow_it():
    there = vm("a", memory=6)
    full = {**FACTS, "kvm3": facts(memory_used=6)}
    assert where([there], known=full, present={"kvm3": [status(there)]}) == {"a": "kvm3"}
    may_not = {**there, "allowed_countries": ["ES"]}
    assert where([may_not], known=full, present={"kvm3": [status(there)]})["a"] in ("kvm1", "kvm2")


def test_the_copy_that_a_migration_left_is_not_the_vm():
    there = vm("a")
    copy = status(there, state="stopped", owner={"hypervisor": "kvm3", "epoch": 2})
    assert where([there], present={"kvm1": [copy], "kvm3": [status(there)]}) == {"a": "kvm3"}


def test_vms_of_somebody_else_are_there_too():
    odd = {
        "name": "odd name",
        "cpus": 1,
        "memory": 1,
        "cpu_model": "host-passthrough",
        "placement": {"anti_affinity": [{"group": "web"}]},
    }
    web = vm("web", placement={"groups": ["web"], "weights": {"price": 1}})
    assert where([web], present={"kvm1": [status(odd)], "kvm2": [status({**odd, "name": "x"})]}) == {"web": "kvm3"}


def test_one_makes_way_for_another():
    """The first has two places and prefers the only one of the second."""
    known = {"kvm1": facts(memory=5), "kvm2": facts(memory=1), "kvm3": facts(memory=4)}
    easy = vm("easy", memory=4, placement={"weights": {"price": 1}})
    large = vm("large", memory=5)
    assert where([easy, large], known=known) == {"easy": "kvm3", "large": "kvm1"}


def test_a_spare_is_kept_for_the_loss_of_a_site():
    vms = [vm(f"v{n}", memory=3, placement={"weights": {"price": 1}}) for n in range(2)]
    assert set(where(vms).values()) <= {"kvm1", "kvm2"}
    assert where(vms, spare=True)
    answer = ask(SITES, FACTS, [vm(f"v{n}", memory=3) for n in range(5)], spare=True)
    assert not answer.found
    assert "if site rioja were lost, " in answer.sentence()
    only = ask(SITES, FACTS, [vm("es", allowed_countries=["ES"])], spare=True)
    assert only.sentence() == "if site rioja were lost, es would find no other place"


def test_what_is_there_must_survive_too_but_not_what_is_off_or_somebody_elses():
    there = vm("there", memory=6, allowed_countries=["DE"])
    for state, managed, found in (("running", True, False), ("stopped", True, True), ("running", False, True)):
        present = {"kvm3": [status(there, state=state, managed=managed)]}
        assert ask(SITES, FACTS, [vm("a")], present=present, spare=True).found is found


@pytest.mark.parametrize(
    ("spec", "used", "hypervisor", "change", "mended"),
    [
        (
            {"allowed_countries": ["FR"]},
            (0, 0, 0),
            "kvm1",
            "add ES to the allowed_countries of VM web-1",
            {"allowed_countries": ["FR", "ES"]},
        ),
        ({"memory": 9}, (1, 0, 2), "kvm2", "free 1024 MiB of memory at kvm2, or give VM web-1 that much less", {"memory": 8}),
        (
            {"placement": {"round_trips": [{"site": "rioja", "max_ms": 8}]}, "allowed_countries": ["DE"]},
            (0, 0, 0),
            "kvm3",
            "allow VM web-1 11.2 ms to rioja",
            {"placement": {"round_trips": [{"site": "rioja", "max_ms": 11.2}]}, "allowed_countries": ["DE"]},
        ),
    ],
)
def test_the_least_change_is_told_and_is_enough(spec, used, hypervisor, change, mended):
    known = {name: facts(memory_used=memory) for name, memory in zip(sorted(FACTS), used)}
    answer = ask(SITES, known, [vm("web-1", **spec)])
    assert [one.to_dict() for one in answer.changes()] == [{"vm": "web-1", "hypervisor": hypervisor, "changes": [change]}]
    assert where([vm("web-1", **mended)], known=known)["web-1"] == hypervisor


def test_a_policy_that_cannot_be_read_excludes_everything():
    answer = ask(SITES, FACTS, [vm("a", placement={"unreadable": "moons: is not a known key"})])
    assert answer.changes()[0].changes == ("give VM a a new placement policy",)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"vms": [vm("a"), vm("a")]}, "vms[].name='a': is there twice; give every entry its own name"),
        ({"sites": [RIOJA, RIOJA]}, "sites[].name='rioja': is there twice"),
        ({"known": {"kvm9": facts()}}, "facts='kvm9': is not a hypervisor of any site; use those of the sites: kvm1, kvm2, kvm3"),
        ({"known": {"kvm1": {}}}, "facts.kvm1.capacity: is required but not given"),
        ({"known": {"kvm1": {"capacity": {"cpus": 1}}}}, "facts.kvm1.capacity.memory: is required but not given"),
        ({"present": {"kvm9": []}}, "present='kvm9': is not a hypervisor of any site"),
        ({"present": {"kvm1": {}}}, "present.kvm1={}: is not a list; write a list of what vm_info returns"),
        ({"latencies": [{"source": "a"}]}, "latencies[0].target: is required but not given"),
        ({"latencies": [{"source": "a", "target": "b", "median_ms": -1}]}, "latencies[0].median_ms=-1: is not a number in range"),
        (
            {"vms": [vm("a", placement={"certifications": ["BSI C5"]})]},
            "vms[0].placement.certifications='BSI C5': is attested by no site today; use one of: ISO 27001",
        ),
        (
            {"vms": [vm("a", placement={"certifications": ["BSI C5"]})], "sites": [BADEN], "known": {}},
            "is attested by no site today; no site attests any; add attestations to the federation file",
        ),
        (
            {"vms": [vm("a", placement={"round_trips": [{"site": "mars", "max_ms": 1}]})]},
            "vms[0].placement.round_trips[0].site='mars': is not a site of the federation; use one of: baden, rioja",
        ),
        (
            {"vms": [vm("a", placement={"round_trips": [{"vm": "db", "max_ms": 1}]})]},
            "vms[0].placement.round_trips[0].vm='db': is neither to be placed nor there; use one of: a",
        ),
    ],
)
def test_bad_input_is_told_in_one_sentence(more, sentence):
    more = {"sites": SITES, "known": FACTS, "vms": [vm("a")], **more}
    with pytest.raises(InputError) as caught:
        ask(more.pop("sites"), more.pop("known"), more.pop("vms"), **more)
    assert sentence in str(caught.value)
    assert caught.value.remedy


def test_an_expired_certification_does_not_count():
    expired = {**RIOJA, "attestations": [{**ISO, "expires": "2026-11-24"}]}
    with pytest.raises(InputError, match="is attested by no site today"):
        ask([expired, BADEN], FACTS, [vm("a", placement={"certifications": ["ISO 27001"]})])


def test_a_chosen_hypervisor_is_checked_and_broken_only_with_leave():
    web = vm("web", allowed_countries=["ES"])
    apart = [vm(f"db-{n}", placement={"anti_affinity": [{"group": "db"}]}) for n in (1, 2)]
    assert where([web], at={"web": "kvm2"}) == {"web": "kvm2"}
    refused = ask(SITES, FACTS, [web], at={"web": "kvm3"})
    assert (refused.found, refused.sentence()) == (False, "VM web may run in ES only, and site baden is in DE")
    assert "override" in refused.remedy()
    left = ask(SITES, FACTS, [web, *apart], at={"web": "kvm3", "db-1": "kvm3"}, override=True)
    assert (left.found, left.assignment()["web"], left.assignment()["db-1"]) == (True, "kvm3", "kvm3")
    assert left.assignment()["db-2"] != "kvm3", "the others keep their rules"
    assert list(left.broken) == ["web"]


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        ({"b": "kvm1"}, "at.b='b': is not a VM to be placed; use one of: a"),
        ({"a": "kvm9"}, "at.a='kvm9': is not a hypervisor of any site; use one of: kvm1, kvm2, kvm3"),
    ],
)
def test_a_choice_that_cannot_be_meant(at, sentence):
    with pytest.raises(InputError) as caught:
        ask(SITES, FACTS, [vm("a")], at=at)
    assert str(caught.value) == sentence
