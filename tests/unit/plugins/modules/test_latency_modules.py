# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules site_latency and latency_file, from their options to their results."""

from __future__ import annotations

import io
import json
import socket
from datetime import datetime, timedelta, timezone

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.virt8ra.federation.plugins.module_utils import latency
from ansible_collections.virt8ra.federation.plugins.modules import latency_file, site_latency

SITE = {"name": "es", "provider": "Arsys", "country": "ES"}
NOW = datetime.now(timezone.utc)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a module with these options; its result."""

    def run(module, params, *, diff=False, check=False):
        arguments = {"ANSIBLE_MODULE_ARGS": {**params, "_ansible_diff": diff, "_ansible_check_mode": check}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        monkeypatch.setattr("sys.stdin", io.StringIO())
        with pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run


def measured(source="es-1", target="de-1", age=0):
    stamp = latency.stamp(NOW - timedelta(seconds=age))
    return {
        **{"source": source, "source_site": "es", "target": target, "target_site": "de", "min_ms": 24.0, "median_ms": 25.0},
        **{"samples": 5, "failed": 0, "measured_at": stamp},
    }


def test_what_answers_is_measured_and_what_does_not_is_told(run):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        targets = [
            {"name": "de-1", "address": "127.0.0.1", "port": listener.getsockname()[1], "site": "de"},
            {"name": "vienna", "address": "127.0.0.1", "port": closed.getsockname()[1]},
            {"name": "es-1", "address": "127.0.0.1"},
        ]
        result = run(site_latency, {"site": SITE, "hypervisor": "es-1", "targets": targets, "samples": 3, "interval": 0})
    assert result["changed"] is False
    (one,) = result["latencies"]
    assert set(one) == set(measured())
    assert (one["source"], one["source_site"], one["target"], one["target_site"]) == ("es-1", "es", "de-1", "de")
    assert (one["samples"], one["failed"]) == (3, 0)
    assert 0 < one["min_ms"] <= one["median_ms"]
    assert latency.parse_stamp(one["measured_at"], "x") >= NOW.replace(microsecond=0)
    assert result["unanswered"] == [{"target": "vienna", "target_site": "", "failed": 2, "reason": "Connection refused"}]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"samples": 0}, "samples=0: is not a whole number in range; use 1 to 100"),
        ({"timeout": 2}, "timeout=2.0: is not a number in range; use 0.001 to 1"),
        ({"interval": -1}, "interval=-1.0: is not a number in range; use 0 to 60"),
        ({"targets": [{"name": "a b"}]}, "targets[0].name='a b': is not a usable name"),
    ],
)
def test_options_out_of_range_are_refused(run, options, sentence):
    result = run(site_latency, {"site": SITE, "hypervisor": "es-1", "targets": [], **options})
    assert result["msg"].startswith(sentence)


def test_the_file_is_written_merged_and_left_as_it_is(run, tmp_path):
    path = tmp_path / "build" / "latency.json"
    first = run(latency_file, {"path": str(path), "latencies": [measured()]}, diff=True)
    assert first["changed"] is True
    assert first["latencies"] == [measured()]
    assert first["diff"]["before"] == ""
    assert "es-1 to de-1" in first["diff"]["after"]
    text = path.read_text(encoding="utf-8")
    again = run(latency_file, {"path": str(path), "latencies": [measured()]}, diff=True)
    assert (again["changed"], path.read_text(encoding="utf-8")) == (False, text)
    assert again["diff"] == {"before": "", "after": ""}
    more = run(latency_file, {"path": str(path), "latencies": [measured("de-1", "es-1", age=90000)]})
    assert more["latencies"] == [measured("de-1", "es-1", age=90000), measured()]
    assert [entry["source"] for entry in more["stale"]] == ["de-1"]
    assert run(latency_file, {"path": str(path)}).items() >= {"changed": False, "latencies": more["latencies"]}.items()
    assert sorted(one.name for one in path.parent.iterdir()) == ["latency.json"], "something was left behind"


def test_check_mode_writes_nothing(run, tmp_path):
    path = tmp_path / "latency.json"
    assert run(latency_file, {"path": str(path), "latencies": [measured()]}, check=True)["changed"] is True
    assert not path.exists()


def test_a_file_that_is_not_there_is_not_made_by_reading(run, tmp_path):
    result = run(latency_file, {"path": str(tmp_path / "latency.json")})
    assert (result["changed"], result["latencies"]) == (False, [])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_spoiled_is_refused_and_left(run, tmp_path):
    path = tmp_path / "latency.json"
    path.write_text("{", encoding="utf-8")
    result = run(latency_file, {"path": str(path), "latencies": [measured()]})
    assert result["msg"].startswith("path: is no JSON")
    assert path.read_text(encoding="utf-8") == "{"


def test_ages_and_measurements_that_cannot_be_are_refused(run, tmp_path):
    path = str(tmp_path / "latency.json")
    assert run(latency_file, {"path": path, "max_age": 0})["msg"].startswith("max_age=0: is not a whole number in range")
    wrong = {**measured(), "min_ms": -1}
    assert run(latency_file, {"path": path, "latencies": [wrong]})["msg"].startswith("latencies[0].min_ms=-1")


@pytest.mark.parametrize("module", [site_latency, latency_file])
def test_the_documentation_has_the_defaults(module, monkeypatch):
    specs = []
    monkeypatch.setattr(module, "run_module", lambda spec, _work: specs.append(spec))
    module.main()
    told = yaml.safe_load(module.DOCUMENTATION)["options"]
    for name, option in specs[0].items():
        if name in told:
            assert told[name].get("default") == option.get("default"), name


def test_what_is_returned_is_documented():
    told = yaml.safe_load(site_latency.RETURN)["latencies"]["contains"]
    assert set(told) == set(measured())
