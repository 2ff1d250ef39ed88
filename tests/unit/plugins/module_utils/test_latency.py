# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Round trips: what samples come to, which measurement counts, and what distance allows."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils import latency
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.latency import Latency, LatencyFile, Target
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site

NOW = datetime(2026, 11, 25, 10, 0, 0, tzinfo=timezone.utc)
DAY = 86400
MADRID = Site("madrid", "Arsys", "ES", latitude=40.4168, longitude=-3.7038)
BERLIN = Site("berlin", "IONOS", "DE", latitude=52.52, longitude=13.405)
NOWHERE = Site("nowhere", "BIT", "PT")


def one(source="es-1", target="de-1", *, median=25.0, age=0, **more):
    entry = {
        "source": source,
        "source_site": "es",
        "target": target,
        "target_site": "de",
        "min_ms": 24.0,
        "median_ms": median,
        "samples": 5,
        "failed": 0,
        "measured_at": latency.stamp(NOW - timedelta(seconds=age)),
    }
    return {**entry, **more}


def read(*entries):
    return latency.read_latencies(entries, "latencies")


def sentence(call):
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def test_samples_come_to_their_least_and_their_median():
    target = Target("de-1", "192.0.2.1", site="de")
    told = latency.summary("es-1", "es", target, [31.00049, 24.5, 900.0], 2, NOW).to_dict()
    assert told == one(min_ms=24.5, median=31.0, samples=3, failed=2)


def test_a_file_has_exactly_these_keys_and_is_read_as_it_was_written():
    known = LatencyFile().merged(read(one(), one(target="fr-1", age=2 * DAY)), DAY, NOW)
    written = json.loads(known.to_text())
    assert written["latencies"] == [one(), one(target="fr-1", age=2 * DAY)]
    assert written["stale"] == [{"source": "es-1", "target": "fr-1", "measured_at": "2026-11-23T10:00:00Z"}]
    assert LatencyFile.from_text(known.to_text()) == known


def test_an_empty_file_knows_nothing():
    assert LatencyFile.from_text("\n") == LatencyFile()


def test_the_latest_measurement_of_a_pair_counts_in_any_order():
    entries = [one(median=30, age=60), one(median=26, age=10), one(median=40, age=90), one("de-1", "es-1", age=5)]
    for order in itertools.permutations(entries):
        told = [entry.to_dict() for entry in latency.merged(read(*order[:2]), read(*order[2:]), NOW)]
        assert told == [one("de-1", "es-1", age=5), one(median=26, age=10)]


def test_what_a_clock_ahead_has_stamped_gives_way_and_is_stale():
    ahead = read(one(median=99, age=-DAY))
    assert latency.stale(ahead, DAY, NOW) == list(ahead)
    assert [entry.median_ms for entry in latency.merged(ahead, read(one(age=60)), NOW)] == [25.0]
    slightly = read(one(age=-120))
    assert latency.stale(slightly, DAY, NOW) == []


def test_stale_is_what_is_older_than_that():
    entries = read(one(age=100), one(target="fr-1", age=101))
    assert [entry.target for entry in latency.stale(entries, 100, NOW)] == ["fr-1"]


def test_the_same_again_changes_nothing():
    known = LatencyFile().merged(read(one(), one("de-1", "es-1")), DAY, NOW)
    assert known.merged(read(one()), DAY, NOW) == known
    later = known.merged([], DAY, NOW + timedelta(seconds=DAY + 1))
    assert later.latencies == known.latencies
    assert later.stale == known.latencies


def test_distance_is_the_great_circle_and_a_lower_bound():
    distance = latency.distance_km(MADRID, BERLIN)
    assert distance == pytest.approx(1869, abs=5)
    assert latency.least_ms(MADRID, BERLIN) == pytest.approx(distance / 100)
    assert latency.least_ms(BERLIN, MADRID) == pytest.approx(distance / 100)
    assert latency.least_ms(MADRID, MADRID) == 0
    assert latency.least_ms(MADRID, NOWHERE) is None
    assert latency.least_ms(NOWHERE, MADRID) is None


def test_the_other_side_of_the_world_and_the_date_line():
    north, south = Site("n", "p", "ES", latitude=90, longitude=0), Site("s", "p", "ES", latitude=-90, longitude=77)
    assert latency.distance_km(north, south) == pytest.approx(20015, abs=5)
    west, east = Site("w", "p", "FJ", latitude=0, longitude=179.5), Site("e", "p", "FJ", latitude=0, longitude=-179.5)
    assert latency.distance_km(west, east) == pytest.approx(111, abs=1)


def test_a_target_is_not_measured_from_itself():
    targets = latency.read_targets([{"name": "es-1"}, {"name": "vienna", "address": "192.0.2.9", "port": 443}], "es-1")
    assert targets == (Target("vienna", "192.0.2.9", 443, ""),)


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ([{"name": "de-1"}, {"name": "de-1"}], "targets='de-1': is there twice; give every entry its own name"),
        ([{"address": "192.0.2.1"}], "targets[0].name: is required but not given; add the key name"),
        ([{"name": "de-1", "port": 70000}], "targets[0].port=70000: is not a whole number in range; use 1 to 65535"),
        ([{"name": "de-1", "prot": 1}], "targets[0].prot: is not a known key; did you mean port?"),
    ],
)
def test_targets_that_are_written_wrongly_are_refused(targets, told):
    assert sentence(lambda: latency.read_targets(targets, "es-1")) == told


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"measured_at": "yesterday"}, "latencies[0].measured_at='yesterday': is no time stamp; write it in UTC, as in"),
        ({"measured_at": None}, "latencies[0].measured_at: is required but not given"),
        ({"min_ms": -1}, "latencies[0].min_ms=-1: is not a number in range"),
        ({"min_ms": None}, "latencies[0].min_ms: is required but not given"),
        ({"min_ms": float("nan")}, "latencies[0].min_ms=nan: is not a number in range"),
        ({"median_ms": 3}, "latencies[0].median_ms=3.0: is less than min_ms; measure it again"),
        ({"samples": 0}, "latencies[0].samples=0: is not a whole number in range"),
        ({"medain_ms": 3}, "latencies[0].medain_ms: is not a known key; did you mean median_ms?"),
    ],
)
def test_measurements_that_are_written_wrongly_are_refused(wrong, told):
    assert sentence(lambda: read(one(**wrong))).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "path: is no JSON (Expecting"),
        ("[]", "the document=[]: is not a mapping"),
        ('{"schema": 2}', "schema=2: is newer than this collection; update virt8ra.federation"),
        ('{"latencies": []}', "schema: is required but not given"),
        (json.dumps({"schema": 1, "latencies": [one(), one()]}), "latencies='es-1 to de-1': is there twice"),
        (json.dumps({"schema": 1, "latencies": [], "stale": [1]}), "stale=[1]: is not a list of mappings"),
    ],
)
def test_files_that_are_none_are_refused(text, told):
    assert sentence(lambda: LatencyFile.from_text(text)).startswith(told)


def test_the_keys_are_the_contract_of_placement():
    assert list(Latency.from_dict(one()).to_dict()) == [
        *("source", "source_site", "target", "target_site"),
        *("min_ms", "median_ms", "samples", "failed", "measured_at"),
    ]
