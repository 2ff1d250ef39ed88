# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pages: hostile texts stay texts, nothing is loaded, unknown is never good, and the same report gives the same bytes."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.glance import glance
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.page import html, verdict
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.scopes import scope_words
from ansible_collections.virt8ra.federation.plugins.module_utils.page.map import Map, Mark, pairs, place_of
from sample_findings import HOSTILE, LINKS, SITES, finding, report, sample

EVERY = {
    "federation": HOSTILE["markup"],
    "generated": "2026-11-25T12:00:00Z",
    "sites": SITES,
    "latencies": LINKS,
    "hypervisors": [
        {
            "name": HOSTILE["quotes"],
            "site": "bit-ede",
            "reachable": True,
            "capacity": {"cpus": 64, "cpus_used": 16, "memory": 2**38, "memory_used": 2**36},
            "pools": [{"capacity": 2**40, "free": 2**39}],
        },
        {"name": "kvm2", "site": "ionos-berlin", "reachable": False},
    ],
    "vms": [
        {"name": HOSTILE["control"], "site": "bit-ede", "state": "running", "cpus": 2, "memory": 2**30, "addresses": ["192.0.2.7"]}
    ],
    "clusters": [{"name": "edge", "site": "bit-ede", "version": "v1.36", "nodes": [{"name": "a", "ready": True}, {"name": "b"}]}],
    "migrations": [{"name": "web", "kind": "vm", "source": "a", "target": "b", "mode": "live", "phase": HOSTILE["turned"]}],
}


class Reader(HTMLParser):
    """Elements that are open, attributes that load or run something, and the text."""

    VOID = ("meta", "input", "br")

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.loads, self.text = [], set(), [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loads += [name for name, _value in attrs if name in ("src", "href", "style") or name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_parts_that_could_not_be_measured_are_shown_with_the_evidence():
    whole = sample()
    fact = {"how": "test", "data": {"servers": []}, "missing": [f"server a: {HOSTILE['markup']}"]}
    whole["findings"][0]["evidence"] = {"registries": fact}
    assert f"missing: server a: {HOSTILE['markup']}" in Reader(html(whole)).text


@pytest.mark.parametrize(
    "page", [html(sample()), html(report([])), glance(EVERY), glance({})], ids=["sample", "empty", "glance", "nothing"]
)
def test_it_is_whole_and_loads_and_runs_nothing(page):
    read = Reader(page)
    assert read.open == [] and read.loads == []
    assert not read.tags & {"script", "img", "link", "iframe", "object", "form"}
    assert re.search(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'", page)


@pytest.mark.parametrize("page", [html(sample()), glance(EVERY)], ids=["sample", "glance"])
def test_hostile_texts_stay_texts(page):
    text = Reader(page).text
    assert HOSTILE["markup"] in text and HOSTILE["quotes"] in text
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)


def test_the_same_report_gives_the_same_bytes():
    assert html(sample()) == html(copy.deepcopy(sample()))
    assert glance(EVERY) == glance(copy.deepcopy(EVERY))


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ({"fail": 2, "pass": 3, "waived": 1, "error": 1}, "x: 2 of 6 findings fail, 1 more is waived; 1 could not be judged"),
        ({"pass": 3}, "x: all 3 findings pass"),
        ({"pass": 3, "waived": 2}, "x: no open fail, 2 more are waived"),
        ({"pass": 3, "not_assessed": 1}, "x: all 3 findings pass; 1 could not be judged"),
        ({"not_assessed": 4}, "x: nothing could be judged"),
    ],
)
def test_the_verdict(kinds, told):
    assert verdict("x", kinds) == told


@pytest.mark.parametrize(("result", "state"), [("pass", "good"), ("fail", "bad"), ("not_assessed", "warn"), ("error", "warn")])
def test_a_site_has_the_colour_of_its_worst_finding(result, state):
    control = ("LOC-01", "t", "low", "measured", "CSF", "1", "r")
    given = report([finding(control, "ionos-berlin", "kvm1", result, "x"), finding(control, "ionos-berlin", "kvm2", "pass", "x")])
    assert f'<g class="site {state}"><title>ionos-berlin, IONOS: ' in html(given)
    assert '<g class="site none"><title>bit-ede, BIT: no finding' in html(given)


def test_links_are_drawn_once_each_with_the_less_of_both_directions():
    names = [site["name"] for site in SITES]
    found = pairs(LINKS, names)
    assert ("arsys-logrono", "ionos-berlin", 31.42) in found and len(found) == 8
    assert "31.4 ms" in html(sample()) and "nowhere" not in html(sample())


def test_sites_are_where_they_are_and_labels_do_not_cover_each_other():
    places = {site["name"]: place_of(site) for site in SITES}
    drawn = Map(places)
    west, east = drawn.points["arsys-logrono"], drawn.points["oktawave-warsaw"]
    assert west[0] < east[0] and west[1] > east[1], "west is left, and south is down"
    drawn.svg([Mark(name, "somewhere, XX", "good") for name in places], [], "map")
    boxes = drawn._taken
    assert len(boxes) == 16
    assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for a in boxes[8:] for b in boxes if a is not b)


def test_a_site_without_usable_coordinates_is_named_instead():
    given = {
        **sample(),
        "sites": [
            *SITES,
            {"name": "moon", "latitude": 91.0, "longitude": 3.0},
            {"name": "far", "latitude": -33.9, "longitude": 151.2},
        ],
    }
    assert "Not on the map, as their coordinates are not known: moon" in html(given)
    assert "far" in html(given)


def test_a_glance_tells_what_is_not_known_as_not_known():
    page = glance(EVERY)
    assert "✗ not reachable" in page and page.count("not known") >= 3
    assert "16 of 64, 48 free" in page and "64.0 GiB of 256.0 GiB" in page and "1 of 2 ready" in page


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({}, "everything"),
        ({"site": ["a", "b"], "type": [], "name": ["kvm*"]}, "site a or b; name kvm*"),
        ({"site": "a"}, "site a"),
        ("a", "a"),
        (None, "everything"),
    ],
)
def test_a_scope_in_words(scope, words):
    assert scope_words(scope) == words
