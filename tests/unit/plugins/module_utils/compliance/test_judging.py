# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every result has its reason; what is not known is never a pass; a waiver never makes one."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.controls import Control
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.judging import Case, judge
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.subjects import Subject, read_subjects
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.waivers import shown
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site
from ansible_collections.virt8ra.federation.plugins.module_utils.waivers import Waiver

TODAY = "2026-11-25"
SITE = {"name": "rioja", "provider": "Arsys", "country": "ES", "hypervisors": [{"name": "kvm1"}]}
STANZA = {
    "id": "KEY-01",
    "title": "Disks are encrypted",
    "applies_to": ["hypervisor"],
    "needs": ["disks"],
    "passes": "length(facts.disks[?!luks]) == `0`",
    "offending": "facts.disks[?!luks].name",
    "reason": "Disks are readable.",
    "remedy": "Encrypt them.",
}
ATTESTED = {
    **STANZA,
    "applies_to": ["site"],
    "needs": [],
    "how": "attested",
    "attested": "entity",
    "passes": "attestation.value == 'EU'",
}
ATTESTED.pop("offending")


def judged(stanza, facts=None, fault="", site=None, waivers=(), kind="hypervisor"):
    control = Control.from_dict(stanza)
    case = Case(
        "lab",
        (Site.from_dict({**SITE, **(site or {})}),),
        (control,),
        tuple(Waiver.from_dict(one) for one in waivers),
        TODAY,
        frozenset({"KEY-01"}),
    )
    return judge(case, [Subject(kind, "kvm1", "rioja", facts or {}, fault)])


def disks(*found):
    return {"disks": {"how": "virStoragePoolListAllVolumes", "data": [{"name": name, "luks": luks} for name, luks in found]}}


@pytest.mark.parametrize(
    ("change", "facts", "fault", "result", "reason"),
    [
        ({}, disks(("a", True)), "", "pass", "Disks are encrypted."),
        ({}, disks(("a", True), ("b", False)), "", "fail", "Disks are readable: b."),
        ({}, {}, "", "not_assessed", "Disks was not measured."),
        (
            {},
            {"disks": {"how": "x", "error": "libvirt refused"}},
            "",
            "not_assessed",
            "Disks could not be measured: libvirt refused.",
        ),
        ({}, {}, "kvm1 did not answer", "not_assessed", "Kvm1 did not answer."),
        ({"when": "facts.disks[?luks]"}, disks(("a", True)), "", "pass", "Disks are encrypted."),
        ({"when": "facts.none"}, disks(("a", True)), "", "not_applicable", "It does not apply to what was found here."),
        ({"passes": "facts.none"}, disks(), "", "not_assessed", "The expression gave nothing."),
        ({"passes": "'yes'"}, disks(), "", "error", "The expression gave yes, which is neither true nor false."),
        ({"passes": "length(`1`) == `1`"}, disks(), "", "error", None),
        ({"tells": "join('', ['all of ', to_string(length(facts.disks))])"}, disks(("a", True)), "", "pass", "All of 1."),
    ],
)
def test_results(change, facts, fault, result, reason):
    (finding,) = judged({**STANZA, **change}, facts, fault)
    assert finding.result == result
    assert reason is None or finding.reason == reason
    assert "\n" not in finding.reason


RAN = {"running": {"how": "x", "data": True}}
IDLE = {"running": {"how": "x", "data": False}}


@pytest.mark.parametrize(
    ("change", "facts", "fault", "result"),
    [
        # It does not apply, and no evidence of what it needs is missed.
        ({"when": "facts.running"}, IDLE, "", "not_applicable"),
        ({"when": "facts.running"}, {**IDLE, "disks": {"how": "x", "error": "refused"}}, "", "not_applicable"),
        ({"when": "site.country == 'DE'"}, {}, "kvm1 did not answer", "not_applicable"),
        ({"when": "subject.type == 'vm'"}, {}, "", "not_applicable"),
        # It applies, or that is not known.
        ({"when": "facts.running"}, RAN, "", "not_assessed"),
        ({"when": "facts.running"}, disks(("a", True)), "", "not_assessed"),
        ({"when": "facts.running"}, {"running": {"how": "x", "error": "refused"}}, "", "not_assessed"),
        ({"when": "facts.running"}, IDLE, "kvm1 did not answer", "not_assessed"),
        ({"when": "facts.running && facts.disks"}, IDLE, "", "not_assessed"),
        ({"when": "length(keys(facts)) > `5`"}, IDLE, "", "not_assessed"),
        ({"when": "site.country == 'ES'"}, {}, "kvm1 did not answer", "not_assessed"),
        # What it reads and does not need may be missing.
        ({"needs": ["disks"], "when": "facts.running == null || facts.running"}, disks(("a", True)), "", "pass"),
        ({"needs": ["disks"], "when": "facts.running == null || facts.running"}, IDLE, "", "not_applicable"),
        ({"needs": ["disks"], "when": "facts.running == null || facts.running"}, {}, "", "not_assessed"),
        ({"when": "length(facts.running) == `1`"}, RAN, "", "error"),
    ],
)
def test_whether_it_applies_is_asked_first(change, facts, fault, result):
    (finding,) = judged({**STANZA, "needs": ["running", "disks"], **change}, facts, fault)
    assert finding.result == result, finding.reason


@pytest.mark.parametrize(
    ("when", "expires", "result"),
    [
        ("site.country == 'DE'", "2026-11-24", "not_applicable"),
        ("site.country == 'DE'", "", "not_applicable"),
        ("attestation.value == 'EU'", "2026-12-24", "not_applicable"),
        ("attestation.value == 'EU'", "2026-11-24", "fail"),
        ("attestation.value == 'EU'", "", "not_assessed"),
    ],
)
def test_an_attestation_that_is_not_there_decides_nothing(when, expires, result):
    attestations = [{"claim": "entity", "value": "US", "expires": expires}] if expires else []
    (finding,) = judged({**ATTESTED, "when": when}, site={"attestations": attestations}, kind="site")
    assert finding.result == result


@pytest.mark.parametrize(("luks", "result"), [(True, "not_assessed"), (False, "fail")])
def test_what_is_known_in_part_can_fail_and_not_pass(luks, result):
    facts = disks(("a", luks))
    facts["disks"]["missing"] = ["pool b did not answer"]
    (finding,) = judged(STANZA, facts)
    assert finding.result == result
    if result == "not_assessed":
        assert finding.reason == "Disks could not be measured everywhere: pool b did not answer."


def test_the_evidence_stays_with_the_finding():
    facts = disks(("a", False))
    (finding,) = judged(STANZA, facts)
    assert finding.to_dict()["evidence"] == facts
    assert finding.to_dict()["offending"] == ["a"]


@pytest.mark.parametrize(
    ("attestation", "result"),
    [
        ({"value": "EU", "expires": "2026-11-25"}, "pass"),
        ({"value": "US", "expires": "2026-12-31"}, "fail"),
        ({"value": "EU", "expires": "2026-11-24"}, "fail"),
        ({"value": "EU", "issued": "2026-12-01", "expires": "2027-12-31"}, "not_assessed"),
        (None, "not_assessed"),
    ],
)
def test_attested(attestation, result):
    attestations = [{"claim": "entity", **attestation}] if attestation else []
    (finding,) = judged(ATTESTED, site={"attestations": attestations}, kind="site")
    assert finding.result == result


def test_an_attestation_without_expiry_is_refused():
    with pytest.raises(InputError) as error:
        judged(ATTESTED, site={"attestations": [{"claim": "entity", "value": "EU"}]}, kind="site")
    assert str(error.value) == (
        "attestations[0].expires of site rioja: is required, as KEY-01 uses it; add the last day on which entity holds"
    )


WAIVER = {"control": "KEY-01", "reason": "soon", "owner": "ops", "expires": "2026-11-25"}


def test_a_waived_fail_stays_a_fail():
    (finding,) = judged(STANZA, disks(("b", False)), waivers=[{**WAIVER, "scope": {"site": "ri*", "name": ["kvm1"]}}])
    assert (finding.result, finding.waived) == ("fail", True)
    assert finding.waiver["owner"] == "ops"


def test_a_waiver_of_others_covers_nothing():
    (finding,) = judged(STANZA, disks(("b", False)), waivers=[{**WAIVER, "scope": {"type": "vm"}}])
    assert (finding.waiver, finding.waived) == (None, False)


def test_an_expired_waiver_is_named():
    (finding,) = judged(STANZA, disks(("b", False)), waivers=[{**WAIVER, "expires": "2026-11-24"}])
    assert not finding.waived
    assert finding.reason == "Disks are readable: b; the waiver of ops expired on 2026-11-24."


def test_waivers_of_unknown_controls_are_refused():
    with pytest.raises(InputError, match=r"waivers\[0\]\.control='KEY-99': is no known control; use one of KEY-01"):
        judged(STANZA, waivers=[{**WAIVER, "control": "KEY-99"}])


def test_due_waivers_come_first():
    waivers = [Waiver.from_dict({**WAIVER, "expires": day}) for day in ("2027-06-01", "2026-12-01", "2026-11-01")]
    assert [(one["due"], one["expired"]) for one in shown(waivers, TODAY)] == [(False, True), (True, False), (False, False)]


def test_controls_are_judged_on_their_days():
    assert not judged({**STANZA, "valid_from": "2026-11-26"}, disks())
    assert judged({**STANZA, "valid_from": "2026-11-25", "valid_to": "2026-11-25"}, disks())


def test_declared_subjects_without_evidence_are_there():
    sites = (Site.from_dict(SITE),)
    subjects, newest = read_subjects([], sites)
    assert [(one.type, one.fault) for one in subjects] == [("hypervisor", "no evidence of it was gathered"), ("site", "")]
    assert newest == ""


def test_evidence_of_two_calls_is_joined():
    label = {"type": "hypervisor", "name": "kvm1", "site": "rioja"}
    calls = [
        {"collected": "2026-11-25T12:00:00Z", "subjects": [{**label, "facts": disks()}]},
        {"collected": "2026-11-25T11:00:00Z", "subjects": [{**label, "error": "it did not answer"}]},
    ]
    (host, _site), newest = read_subjects(calls, (Site.from_dict(SITE),))
    assert (host.facts, host.fault, newest) == (disks(), "", "2026-11-25T12:00:00Z")


EDGE = {"type": "cluster", "name": "edge", "site": "rioja"}


def server(name, **data):
    return {"how": "x", "data": {"servers": [{"server": name, **data}]}}


def unread(name, **more):
    return {"how": "x", "error": f"server {name}: away", "missing": [f"server {name}: away"], **more}


def joined(*calls):
    """The facts of the cluster, as each order of the same calls gives them; ``calls``: time and subject."""
    documents = [{"collected": time, "subjects": [{**EDGE, **subject}]} for time, subject in calls]
    found = [read_subjects(order, (Site.from_dict(SITE),))[0][0] for order in itertools.permutations(documents)]
    assert all(one == found[0] for one in found)
    return found[0]


def test_servers_of_one_cluster_are_put_together():
    cluster = joined(
        ("2026-11-25T12:00:00Z", {"facts": {"registries": server("b", hosts=["x"]), "version": {"how": "x", "data": 1}}}),
        ("2026-11-25T12:00:01Z", {"facts": {"registries": server("a", hosts=[])}}),
        ("2026-11-25T12:00:02Z", {"facts": {"registries": unread("c")}}),
    )
    assert cluster.facts["registries"] == {
        "how": "x",
        "data": {"servers": [{"server": "a", "hosts": []}, {"server": "b", "hosts": ["x"]}]},
        "missing": ["server c: away"],
    }
    assert cluster.facts["version"] == {"how": "x", "data": 1}


def test_of_one_server_the_newer_evidence_holds():
    cluster = joined(
        ("2026-11-25T12:00:00Z", {"facts": {"registries": server("a", hosts=["old"]), "version": {"how": "x", "data": "old"}}}),
        ("2026-11-25T12:00:01Z", {"facts": {"registries": server("a", hosts=["new"]), "version": {"how": "x", "data": "new"}}}),
    )
    assert cluster.facts == {"registries": server("a", hosts=["new"]), "version": {"how": "x", "data": "new"}}


def test_what_one_server_tells_of_all_is_not_missed_at_another():
    away = {"how": "x", "error": "server b: away"}
    cluster = joined(
        ("2026-11-25T12:00:00Z", {"facts": {"snapshots": server("a", newest=None)}}),
        ("2026-11-25T12:00:01Z", {"error": "server b: away", "facts": {"snapshots": away}}),
    )
    assert (cluster.facts, cluster.fault) == ({"snapshots": server("a", newest=None)}, "")


def test_why_the_api_told_nothing_is_told_where_a_server_told_something():
    cluster = joined(
        ("", {"error": "the API did not answer"}),
        ("2026-11-25T12:00:00Z", {"facts": {"registries": server("a")}}),
        ("2026-11-25T12:00:01Z", {"error": "server b: away", "facts": {"registries": unread("b")}}),
    )
    assert (cluster.fault, cluster.silence) == ("", "the API did not answer")
    control = Control.from_dict({**STANZA, "applies_to": ["cluster"]})
    case = Case("lab", (Site.from_dict(SITE),), (control,), (), TODAY, frozenset({"KEY-01"}))
    assert judge(case, [cluster])[0].reason == "Disks was not measured: the API did not answer."


def test_no_server_that_could_be_read():
    cluster = joined(
        ("2026-11-25T12:00:00Z", {"error": "server a: away", "facts": {"registries": unread("a")}}),
        ("2026-11-25T12:00:01Z", {"error": "server b: away", "facts": {"registries": unread("b")}}),
    )
    assert cluster.facts["registries"] == unread("b", missing=["server a: away", "server b: away"])
    assert cluster.fault == "server b: away"


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ({"site": "elsewhere"}, "is no site of the federation"),
        ({"type": "host"}, "is not one of the choices"),
        ({"facts": {"disks": {"how": "x"}}}, "is no fact"),
        ({"facts": {"disks": {"how": "x", "data": 1, "missing": "pool b"}}}, "is no fact"),
    ],
)
def test_evidence_that_is_none_is_refused(subject, told):
    label = {"type": "hypervisor", "name": "kvm1", "site": "rioja", **subject}
    with pytest.raises(InputError, match=told):
        read_subjects([{"collected": "", "subjects": [label]}], (Site.from_dict(SITE),))
