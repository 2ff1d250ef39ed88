# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Round trips between the lab hosts, and the file that they are kept in."""

from __future__ import annotations

import itertools
import json

import pytest

from .lab import ADDRESSES, faulty

HERE, THERE = "lab-es-1", "lab-de-1"
MODULE = "virt8ra.federation.site_latency"
OPTIONS = {"site": "{{ federation_site }}", "hypervisor": "{{ inventory_hostname }}", "samples": 3}
KEYS = {
    *("source", "source_site", "target", "target_site"),
    *("min_ms", "median_ms", "samples", "failed", "measured_at"),
}


@pytest.fixture
def dropped(lab):
    """A port of THERE whose packets are dropped, as a firewall does it."""
    port, rule = 41999, "INPUT -p tcp --dport 41999 -j DROP"
    lab.run(THERE, f"iptables -I {rule}")
    yield port
    lab.run(THERE, f"iptables -D {rule}")


def test_another_hypervisor_is_measured_and_points_that_do_not_answer_are_told(lab, dropped):
    targets = [
        {"name": THERE, "address": ADDRESSES[THERE], "site": "lab-de"},
        {"name": "closed", "address": ADDRESSES[THERE], "port": 41998},
        {"name": "dropped", "address": ADDRESSES[THERE], "port": dropped},
        {"name": HERE, "address": ADDRESSES[HERE], "site": "lab-es"},
    ]
    before = lab.run(THERE, "virsh list --all --name")
    result = lab.module(HERE, MODULE, {**OPTIONS, "targets": targets})
    assert not result.get("failed"), result.get("msg")
    assert result["changed"] is False
    (one,) = result["latencies"]
    assert set(one) == KEYS
    assert (one["source"], one["source_site"], one["target"], one["target_site"]) == (HERE, "lab-es", THERE, "lab-de")
    assert (one["samples"], one["failed"]) == (3, 0)
    assert 0 < one["min_ms"] <= one["median_ms"] < 1000
    told = {entry["target"]: entry["reason"] for entry in result["unanswered"]}
    assert told == {"closed": "Connection refused", "dropped": "no answer within 1 s"}
    assert lab.run(THERE, "virsh list --all --name") == before, "libvirt answers as before"


def test_the_playbook_keeps_all_pairs_and_merges(lab, tmp_path):
    path = tmp_path / "latency.json"
    old = {"source": HERE, "source_site": "lab-es", "target": "office", "target_site": "", "min_ms": 9.0, "median_ms": 9.5}
    old |= {"samples": 5, "failed": 0, "measured_at": "2020-01-01T00:00:00Z"}
    path.write_text(json.dumps({"schema": 1, "latencies": [old], "stale": []}), encoding="utf-8")
    point = {"name": "user", "address": ADDRESSES[THERE], "port": 22}
    extra = ["-e", f"latency_path={path}", "-e", json.dumps({"points": [point], "samples": 2})]
    kept = []
    for _again in range(2):
        shown = lab.shown("playbooks/measure_latency.yml", *extra)
        assert not faulty(shown), shown[-3000:]
        assert f"{HERE} to office, measured at 2020-01-01T00:00:00Z" in shown
        kept.append(json.loads(path.read_text(encoding="utf-8")))
    pairs = [*itertools.permutations(ADDRESSES, 2), *((host, "user") for host in ADDRESSES), (HERE, "office")]
    for content in kept:
        assert [(one["source"], one["target"]) for one in content["latencies"]] == sorted(pairs)
        assert [(one["source"], one["target"]) for one in content["stale"]] == [(HERE, "office")]
        assert old in content["latencies"]
        assert {one["target_site"] for one in content["latencies"] if one["target"] == "user"} == {""}


def test_check_mode_of_the_playbook_writes_nothing(lab, tmp_path):
    path = tmp_path / "latency.json"
    told = lab.playbook("playbooks/measure_latency.yml", check=True, extra={"latency_path": str(path), "samples": 1})
    assert told["rc"] == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"samples": 0}, "samples=0: is not a whole number in range; use 1 to 100"),
        ({"points": [{"name": "user", "port": 99999}]}, "port=99999: is not a whole number in range; use 1 to 65535"),
        ({"points": [{"name": THERE}]}, "is there twice; give every entry its own name"),
    ],
)
def test_what_is_written_wrongly_is_refused_and_nothing_is_kept(lab, tmp_path, wrong, sentence):
    path = tmp_path / "latency.json"
    shown = lab.shown("playbooks/measure_latency.yml", "-e", json.dumps({"latency_path": str(path), **wrong}))
    assert sentence in " ".join(shown.split())
    assert not path.exists()
