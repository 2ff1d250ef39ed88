# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""junit.xml: valid, with the counts of the findings, and with hostile texts as texts."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.junit import junit
from sample_findings import HOSTILE, large, report, sample

SCHEMA = xmlschema.XMLSchema(str(Path(__file__).parent / "junit.xsd"))


@pytest.mark.parametrize("given", [sample(), large(5, 5), report([])], ids=["sample", "large", "empty"])
def test_it_is_valid(given):
    SCHEMA.validate(ElementTree.fromstring(junit(given).encode()))


def test_the_counts_are_those_of_the_findings():
    given, root = sample(), ElementTree.fromstring(junit(sample()).encode())
    counts = given["summary"]
    skipped = counts["not_assessed"] + counts["not_applicable"] + counts["waived"]
    told = {key: int(root.get(key)) for key in ("tests", "failures", "errors", "skipped")}
    fails = counts["fail"] - counts["waived"]
    assert told == {"tests": len(given["findings"]), "failures": fails, "errors": counts["error"], "skipped": skipped}
    assert told == {key: sum(int(suite.get(key)) for suite in root) for key in told}
    assert [suite.get("name") for suite in root] == ["ERA", "JUR", "KEY", "LOC", "POR", "SEC"]
    assert len(root.findall(".//failure")) == fails and len(root.findall(".//skipped")) == skipped


def test_a_waived_fail_is_no_passed_case_and_names_its_waiver():
    root = ElementTree.fromstring(junit(sample()).encode())
    messages = [one.get("message") for one in root.findall(".//skipped")]
    assert sum("is waived until 2026-12-20 by Ana: " + HOSTILE["markup"] in message for message in messages) == 1


def test_hostile_texts_stay_texts():
    root = ElementTree.fromstring(junit(sample()).encode())
    names = [case.get("name") for case in root.iter("testcase")]
    assert any(HOSTILE["markup"] in name for name in names) and any(
        "bell� null� escape�[31m tab� line�next" in name for name in names
    )
    assert {one.tag for one in root.iter()} == {"testsuites", "testsuite", "testcase", "failure", "error", "skipped"}


def test_the_same_report_gives_the_same_bytes():
    assert junit(sample()) == junit(sample())
