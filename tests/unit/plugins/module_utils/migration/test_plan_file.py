# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans of many migrations: waves within their caps, the file there and back, and every kind of nonsense refused in one sentence."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.moves import Move
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.plan_file import Blocked, PlanFile
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.waves import Limits, excess, schedule
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
SITES = {"es-1": "es", "es-2": "es", "de-1": "de", "nl-1": "nl"}
GIB = 2**30


def moves_between(pairs):
    return [Move(f"vm-{n}", source, target, estimate={"seconds": n % 7}) for n, (source, target) in enumerate(pairs)]


ends = st.tuples(st.sampled_from(sorted(SITES)), st.sampled_from(sorted(SITES))).filter(lambda pair: pair[0] != pair[1])


@given(st.lists(ends, max_size=30), st.integers(1, 4), st.integers(1, 3), st.randoms())
def test_waves_keep_the_caps_lose_nobody_and_do_not_depend_on_the_order(pairs, per_site, per_link, random):
    moves, limits = moves_between(pairs), Limits(per_site, per_link)
    waves = schedule(moves, SITES, limits)
    assert Counter(move.vm for wave in waves for move in wave) == Counter(move.vm for move in moves)
    for wave in waves:
        at = Counter(site for move in wave for site in sorted({SITES[move.source], SITES[move.target]}))
        links = Counter(
            frozenset((SITES[move.source], SITES[move.target])) for move in wave if SITES[move.source] != SITES[move.target]
        )
        assert max(at.values()) <= per_site and max(links.values(), default=0) <= per_link
        assert not excess(wave, SITES, limits)
    random.shuffle(moves)
    assert schedule(moves, SITES, limits) == waves


def test_the_longest_go_first():
    moves = [Move("short", "es-1", "de-1", estimate={"seconds": 1}), Move("long", "es-1", "de-1", estimate={"seconds": 9})]
    waves = schedule(moves, SITES, Limits(4, 1))
    assert [[move.vm for move in wave] for wave in waves] == [["long"], ["short"]]


def plan(**more):
    moves = [{"vm": "web-1", "source": "es-1", "target": "de-1"}, {"vm": "web-2", "source": "es-1", "target": "de-1"}]
    return {"schema": 1, "limits": {"per_site": 4, "per_link": 2}, "waves": [{"moves": moves}], **more}


def one(**changes):
    return plan(waves=[{"moves": [{"vm": "web-1", "source": "es-1", "target": "de-1", **changes}]}])


def test_a_plan_goes_to_the_file_and_back():
    options = {"mode": "warm", "storage": {"ssd": "fast"}, "clear": ["media"], "downtime_budget": 30, "force_off": True}
    moves = [
        Move("web-1", "es-1", "de-1", options, {"seconds": 12.5, "bytes": 1}, "warm fits"),
        Move("web-2", "es-1", "nl-1", {"not_after": "2026-11-25T00:00:00+01:00"}),
    ]
    made = PlanFile.made(moves, [Blocked("web-3", "es-1", ("no room",))], SITES, Limits(1, 1))
    assert PlanFile.from_text(made.to_text(), SITES, NOW) == made
    assert len(made.waves) == 2 and yaml.safe_load(made.to_text()) == made.to_dict()


def test_what_a_person_may_edit():
    edited = PlanFile.from_dict(plan(), SITES, NOW).to_dict()
    first = edited["waves"][0]["moves"].pop()
    edited["waves"] += [{"moves": []}, {"moves": [{**first, "target": "nl-1", "mode": "cold"}]}]
    read = PlanFile.from_dict(edited, SITES, NOW)
    assert [[(move.vm, move.target, move.options.get("mode")) for move in wave] for wave in read.waves] == [
        [("web-1", "de-1", None)],
        [("web-2", "nl-1", "cold")],
    ]


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        ([], "is not a mapping"),
        ({}, "schema: is required"),
        (plan(schema=2), "schema=2: is newer than this collection"),
        (plan(limits={"per_link": 0}), "limits.per_link=0"),
        (plan(limits={"per_link": 1}), r"waves\[0\]: has 2 moves between de and es, more than limits.per_link=1"),
        (plan(limits={"per_site": 1}), r"waves\[0\]: has 2 moves at site de"),
        (plan(wave=[]), "wave: is not a known key; did you mean waves"),
        (plan(waves={}), "waves={}: is not a list"),
        (plan(waves=plan()["waves"] * 2), "'web-1': is there twice"),
        (one(target="es-1"), "is where VM web-1 is already"),
        (one(target="xx"), r"waves\[0\].moves\[0\].target='xx': is no hypervisor of the federation; use one of: de-1"),
        (one(source="xx"), r"waves\[0\].moves\[0\].source='xx'"),
        (one(vm=None), r"waves\[0\].moves\[0\].vm: is required"),
        (one(mode="hot"), r"moves\[0\].mode='hot': is not one of the choices; use one of live"),
        (one(downtime_budget=0), r"downtime_budget=0: is not a whole number in range"),
        (one(bandwidth="fast"), r"bandwidth='fast'"),
        (one(clear=["everything"]), r"clear='everything': cannot be cleared"),
        (one(storage=["ssd"]), "storage=.*is not a mapping of strings"),
        (
            one(not_after="2026-11-24T11:00:00+00:00"),
            r"waves\[0\].moves\[0\].not_after='2026-11-24T11:00:00\+00:00': is in the past",
        ),
        (one(not_before="tomorrow"), r"not_before='tomorrow': is not a moment"),
        (one(banwidth=5), "did you mean bandwidth"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(nonsense, words):
    with pytest.raises(InputError, match=words) as refusal:
        PlanFile.from_dict(nonsense, SITES, NOW)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema: [", "is no YAML"),
        ("schema: 1\nschema: 1\n", "line 1='schema': is there twice"),
        ("schema: 1\nwaves:\n- moves:\n  - vm: a\n    vm: b\n", "line 4='vm': is there twice"),
        ("", "is not a mapping"),
    ],
)
def test_text_that_is_no_plan_is_refused_in_one_sentence(text, words):
    with pytest.raises(InputError, match=words) as refusal:
        PlanFile.from_text(text, SITES, NOW)
    assert "\n" not in str(refusal.value)
