# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controls are read whole or refused in one sentence; expressions have their functions."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.controls import Control, read_controls, read_documents
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.expression import Expression
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.findings import Finding, Report
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import ComplianceError, InputError

TODAY = "2026-11-25"
STANZA = {
    "id": "LOC-01",
    "title": "Every host in an allowed country",
    "clauses": [{"framework": "CSF", "clause": "3.4", "source": "calculator of June 2026"}],
    "applies_to": ["hypervisor"],
    "passes": "contains(parameters.allowed, site.country)",
    "parameters": {"allowed": ["ES"]},
    "reason": "It is outside.",
    "remedy": "Move it.",
}


def test_a_stanza_is_read():
    control = Control.from_dict(STANZA)
    assert (control.how, control.severity, control.needs) == ("measured", "medium", ())
    assert control.passes.search({"parameters": control.parameters, "site": {"country": "ES"}}, TODAY) is True


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"passes": "a[?"}, "control.passes='a[?': is no JMESPath expression"),
        ({"passes": "nothing(a)"}, "control.passes='nothing(a)': calls nothing(), which nobody knows"),
        ({"when": "a[?days_since(b, c) > `1`]"}, "gives days_since() 2 arguments; give it 1"),
        (
            {"clauses": [{"framework": "ISO", "clause": "1", "source": "x"}]},
            "control.clauses[0].framework='ISO': is no known framework",
        ),
        ({"clauses": [{"framework": "CSF", "clause": "1"}]}, "control.clauses[0].source: is required but not given"),
        ({"valid_from": "2026-13-01"}, "control.valid_from='2026-13-01': is not a date; write it as 2026-12-31"),
        ({"valid_from": "2026-02-01", "valid_to": "2026-01-01"}, "control.valid_to='2026-01-01': is before valid_from"),
        ({"applies_to": ["host"]}, "control.applies_to='host': is no type of subject"),
        ({"applies_to": []}, "control.applies_to: names no type of subject"),
        ({"id": "loc 1"}, "control.id='loc 1': is no id of a control"),
        ({"how": "attested"}, "control.attested: needs the claim that is attested"),
        ({"attested": "claim"}, "control.attested='claim': is no key of a control that is measured"),
        ({"severity": "huge"}, "control.severity='huge': is not one of the choices"),
        ({"pases": "x"}, "control.pases: is not a known key; did you mean passes?"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, told):
    with pytest.raises(InputError) as error:
        Control.from_dict({**STANZA, **change})
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_ids_are_unique_over_all_files():
    with pytest.raises(InputError, match=r"b\.controls\[0\]\.id='LOC-01': is there twice, first at a\.controls\[0\]"):
        read_controls([("a", {"controls": [STANZA]}), ("b", {"controls": [STANZA]})])


def test_a_file_may_name_a_framework():
    stanza = {**STANZA, "clauses": [{"framework": "ACME", "clause": "1", "source": "intranet"}]}
    (control,) = read_controls([("a", {"frameworks": {"ACME": "House rules"}, "controls": [stanza]})])
    assert control.clauses[0].framework == "ACME"


def test_folders_are_read(tmp_path):
    (tmp_path / "one.yml").write_text("controls: []\nvalid: 2026-01-01\n", encoding="utf-8")
    assert read_documents([str(tmp_path)], "controls") == [(str(tmp_path / "one.yml"), {"controls": [], "valid": "2026-01-01"})]
    (tmp_path / "two.yml").write_text("controls: [\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"two\.yml': is no YAML"):
        read_documents([str(tmp_path)], "controls")
    with pytest.raises(InputError, match="is no folder"):
        read_documents([str(tmp_path / "none")], "controls")
    with pytest.raises(InputError, match="have no control in them"):
        read_controls([])


def test_parameters_are_changed_in_kind():
    control = Control.from_dict(STANZA)
    assert control.with_parameters({"allowed": ["DE"]}, "profile").parameters == {"allowed": ["DE"]}
    with pytest.raises(InputError, match="is no parameter of LOC-01; use allowed"):
        control.with_parameters({"alowed": ["DE"]}, "profile")
    with pytest.raises(InputError, match="is not a list"):
        control.with_parameters({"allowed": "DE"}, "profile")


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("days_since('2026-11-20')", 5),
        ("days_since('2026-11-24T12:00:00Z')", 0.5),
        ("days_since('2026-11-24T12:00:00.123456789+00:00') < `1`", True),
        ("days_until('2026-12-25')", 30),
        ("days_since(nothing)", None),
        ("in_networks('192.0.2.7', ['198.51.100.0/24', '192.0.2.0/24'])", True),
        ("in_networks('2001:db8::1', ['192.0.2.0/24'])", False),
        ("in_networks('::ffff:192.0.2.7', ['192.0.2.0/24'])", True),
        ("without(['a', 'b'], ['b'])", ["a"]),
        ("matches('ns.example.eu', '*.example.eu')", True),
        ("lower('ABC')", "abc"),
        ("version_at_least('v1.32.4+k3s1', '1.32.4')", True),
        ("version_at_least('1.9', '1.10')", False),
        ("each_with([{a: `1`}, {a: `3`}], {most: `2`})[?a > most].a", [3]),
        ("contains(eea(), 'NO')", True),
        ("contains(eea(), 'CH')", False),
    ],
)
def test_functions(text, gives):
    assert Expression.compile(text, "passes").search({"x": 1}, TODAY) == gives


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("facts.disks[?!luks].name && length(facts.version.nodes) > `0`", {"disks", "version"}),
        ('facts."two-words"[0][1].facts', {"two-words"}),
        ("facts.disks[].name | [0]", {"disks"}),
        ("site.country == 'ES'", set()),
        ("facts.*.name", None),
        ("facts.[disks, version]", None),
        ("keys(facts)", None),
        ("each_with(facts.disks, {all: facts})", None),
    ],
)
def test_what_an_expression_reads(text, keys):
    assert Expression.compile(text, "when").reads("facts") == keys


@pytest.mark.parametrize("text", ["days_since('soon')", "in_networks('host', [x])", "length(`1`)"])
def test_what_cannot_be_evaluated_is_one_sentence(text):
    with pytest.raises(ComplianceError) as error:
        Expression.compile(text, "passes").search({"x": "192.0.2.0/24"}, TODAY)
    assert "\n" not in str(error.value)


def finding(result="pass", name="kvm1"):
    subject = {"type": "hypervisor", "name": name, "site": "rioja"}
    return Finding("LOC-01", "Title", "high", "measured", (), subject, result, "Because.")


def test_a_report_counts_and_sorts():
    report = Report("2026-11-25T12:00:00Z", TODAY, {"name": "base"}, "lab", (), (), (finding("fail", "b"), finding("pass", "a")))
    data = report.to_dict()
    assert [one["subject"]["name"] for one in data["findings"]] == ["a", "b"]
    assert data["summary"] == {"pass": 1, "fail": 1, "not_applicable": 0, "not_assessed": 0, "error": 0, "waived": 0}
    assert data["schema"] == "virt8ra.federation/findings/1"


def test_an_empty_report_is_an_error():
    with pytest.raises(ComplianceError, match="there is no finding at all"):
        Report("", TODAY, {"name": "base"}, "lab", (), (), ()).to_dict()
