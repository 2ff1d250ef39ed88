# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults of a cluster's migration over real HTTP and TLS between two doubles: whatever dies, another run finishes it or takes it back.

A hook is the moment of each fault, so that nothing depends on time: it kills the module, or has an API server go away.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.applications import sample
from tests.doubles.kubernetes.client import Cluster

from .clusters import Pair, pair
from .lab import ROOT, environment

__all__ = ["pair"]

MODULE = "ansible_collections.virt8ra.federation.plugins.modules.{}"
# sh's parent is the module.
KILL = ["sh", "-c", "kill -9 $PPID"]
BEFORE_THE_END = ("before_sync", "after_sync", "before_cutover", "after_quiesce", "after_delta", "before_start", "after_start")
APPLICATION = ("web-", "database-")
# The database's time to stop is its own.
PATIENT = {"quiesce_timeout": 60, "ready_timeout": 60, "jobs": "suspend"}


def run_module(name: str, options: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a module in a process of its own; None when that was killed."""
    done = subprocess.run(
        [sys.executable, "-m", MODULE.format(name)],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": options}),
        cwd=ROOT,
        env=environment(PYTHONPATH=f"{ROOT / 'build' / 'collections'}:{ROOT}"),
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    if done.returncode < 0:
        return None
    start = done.stdout.find("{")
    assert start >= 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout[start:]))


def migrate(pair: Pair, state: str, **options: Any) -> dict[str, Any] | None:
    return run_module("cluster_migration", pair.options(state=state, **{**PATIENT, **options}))


def reached(pair: Pair, state: str, **options: Any) -> dict[str, Any]:
    result = migrate(pair, state, **options)
    assert result is not None
    assert not result.get("failed"), result.get("msg")
    return result


def failed(pair: Pair, state: str, **options: Any) -> str:
    result = migrate(pair, state, **options)
    assert result is not None and result.get("failed"), result
    return str(result["msg"])


def hook(when: str, command: list[str] | None = None) -> list[dict[str, Any]]:
    return [{"when": when, "command": command or KILL, "timeout": 60}]


SET_FAULT = """
import json, sys
from pathlib import Path
from tests.doubles.kubernetes.client import Cluster

double, fault = Cluster(Path(sys.argv[1]), {}), json.loads(sys.argv[2])
double.fault(fault)
while "down" in fault:
    try:
        double.requests()
    except OSError:
        break
"""


def fault(double: Cluster, what: dict[str, Any]) -> list[str]:
    """A command that sets a fault; one that takes the server away ends when it is away."""
    return [sys.executable, "-c", SET_FAULT, str(double.folder), json.dumps(what)]


class Witness:
    """Looks at both ends all the time: pods of the application that were seen to run at both at the same moment."""

    def __init__(self, source: Cluster, target: Cluster) -> None:
        self.both: list[tuple[set[str], set[str]]] = []
        self.looks = 0
        self._ends = (source, target)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._left.set()
        self._thread.join()

    def _writers(self, end: int) -> set[str]:
        return {str(one["pod"]) for one in self._ends[end].writers() if str(one["pod"]).startswith(APPLICATION)}

    def _look(self) -> None:
        while not self._left.wait(0.1):
            try:
                # What was there before and after the look at the target was there during it.
                before, there = self._writers(0), self._writers(1)
                still = before & self._writers(0)
            except OSError:
                continue
            self.looks += 1
            if still and there:
                self.both.append((still, there))


@pytest.fixture
def shop(pair: Pair) -> Iterator[Pair]:
    """The sample runs at the source; nobody ever sees it run at both ends."""
    source, target = pair.doubles()
    sample.install(pair.source.kubectl, pair.namespace)
    sample.settle(pair.source.kubectl, pair.namespace)
    with Witness(source, target) as witness:
        yield pair
    assert witness.looks > 0
    assert witness.both == []


def running(pair: Pair, end: int) -> set[str]:
    double = pair.doubles()[end]
    return {str(one["pod"]).rsplit("-", 1)[0].split("-")[0] for one in double.writers() if str(one["pod"]).startswith(APPLICATION)}


def runs_at_the_target(pair: Pair) -> None:
    assert running(pair, 0) == set()
    assert running(pair, 1) == {"web", "database"}


def is_as_before(pair: Pair, before: dict[Any, Any]) -> None:
    sample.settle(pair.source.kubectl, pair.namespace)
    assert pair.source.objects(pair.namespace) == before
    assert running(pair, 0) == {"web", "database"}
    assert running(pair, 1) == set()


def test_every_state_twice(shop: Pair) -> None:
    before = shop.source.objects(shop.namespace)
    assert reached(shop, "planned")["changed"] is False
    assert shop.target.kubectl.get("namespace", shop.namespace) is None
    assert [reached(shop, "synced")["changed"] for _time in range(2)] == [True, False]
    assert [reached(shop, "aborted")["changed"] for _time in range(2)] == [True, False]
    is_as_before(shop, before)
    assert shop.target.kubectl.get("namespace", shop.namespace) is None
    assert shop.target.kubectl.get("namespace", "virt8ra-system") is None
    assert [reached(shop, "completed")["changed"] for _time in range(2)] == [True, False]
    runs_at_the_target(shop)
    for end in shop.ends:
        listed = run_module("cluster_migration_info", {"kubeconfig": str(end.kubeconfig), "context": end.context})
        assert listed is not None
        assert [one["phase"] for one in listed["migrations"]][-1] == "completed"
        assert listed["migrations"][-1]["at_work"] is False
    assert [reached(shop, "released")["changed"] for _time in range(2)] == [True, False]
    assert shop.source.kubectl.get("namespace", shop.namespace) is None
    runs_at_the_target(shop)


@pytest.mark.parametrize("when", [*BEFORE_THE_END, "after_cutover"])
def test_a_killed_controller_is_taken_over(shop: Pair, when: str) -> None:
    assert migrate(shop, "completed", hooks=hook(when)) is None
    assert not (running(shop, 0) and running(shop, 1))
    result = reached(shop, "completed")
    assert result["migration"]["phase"] == "completed"
    runs_at_the_target(shop)


def test_a_killed_controller_is_taken_back(shop: Pair) -> None:
    before = shop.source.objects(shop.namespace)
    for when in BEFORE_THE_END:
        assert migrate(shop, "completed", hooks=hook(when)) is None
        reached(shop, "aborted")
        is_as_before(shop, before)
        assert shop.target.kubectl.get("namespace", shop.namespace) is None, when


@pytest.mark.parametrize("when", ["before_abort", "after_abort"])
def test_an_abort_that_is_killed_is_finished(shop: Pair, when: str) -> None:
    before = shop.source.objects(shop.namespace)
    assert migrate(shop, "completed", hooks=hook("after_start")) is None
    assert migrate(shop, "aborted", hooks=hook(when)) is None
    reached(shop, "aborted")
    is_as_before(shop, before)
    assert shop.target.kubectl.get("namespace", shop.namespace) is None


@pytest.mark.parametrize("when", ["before_release", "after_release"])
def test_a_release_that_is_killed_is_finished(shop: Pair, when: str) -> None:
    reached(shop, "completed")
    assert migrate(shop, "released", hooks=hook(when)) is None
    assert reached(shop, "released")["migration"]["phase"] == "released"
    assert shop.source.kubectl.get("namespace", shop.namespace) is None
    runs_at_the_target(shop)


@pytest.mark.parametrize("end", [0, 1], ids=["source", "target"])
@pytest.mark.parametrize("when", ["before_sync", "after_quiesce", "after_start"])
def test_an_api_server_that_is_away_for_a_while_is_waited_for(shop: Pair, end: int, when: str) -> None:
    away = fault(shop.doubles()[end], {"down": 3})
    reached(shop, "completed", hooks=hook(when, away), patience=60)
    runs_at_the_target(shop)


@pytest.mark.parametrize("end", [0, 1], ids=["source", "target"])
@pytest.mark.parametrize("when", ["after_quiesce", "before_start"])
def test_an_api_server_that_is_away_for_too_long_is_told(shop: Pair, end: int, when: str) -> None:
    before = shop.source.objects(shop.namespace)
    away = fault(shop.doubles()[end], {"down": 12})
    assert "cannot be reached" in failed(shop, "completed", hooks=hook(when, away), patience=2)
    reached(shop, "aborted", patience=60)
    is_as_before(shop, before)


def test_one_object_that_the_target_rejects_is_named(shop: Pair) -> None:
    before = shop.source.objects(shop.namespace)
    target = shop.doubles()[1]
    reject = {"kind": "ConfigMap", "name": "pages", "times": -1, "code": 422, "reason": "Invalid", "message": "not here"}
    target.fault({"reject": reject})
    message = failed(shop, "completed")
    assert f"ConfigMap {shop.namespace}/pages" in message
    assert "other objects are there" in message
    is_as_before(shop, before)
    target.fault({})
    reached(shop, "completed")
    runs_at_the_target(shop)


def test_a_workload_that_the_target_rejects_at_its_start_gives_all_back(shop: Pair) -> None:
    """It was taken at rest; awake it is not: the source gets everything back, and the target is at rest before."""
    before = shop.source.objects(shop.namespace)
    target = shop.doubles()[1]
    reject = {"kind": "StatefulSet", "name": "database", "times": -1, "code": 422, "reason": "Invalid", "message": "not here"}
    message = failed(shop, "completed", hooks=hook("before_start", fault(target, {"reject": reject})))
    assert f"StatefulSet {shop.namespace}/database" in message
    target.fault({})
    if "runs as before" not in message:
        reached(shop, "aborted")
    is_as_before(shop, before)
    reached(shop, "completed")
    runs_at_the_target(shop)


def test_what_is_left_at_the_source_cannot_start_there(shop: Pair) -> None:
    reached(shop, "completed")
    shop.source.kubectl.run("-n", shop.namespace, "scale", "deployment/web", "--replicas=2")
    shop.source.kubectl.run("-n", shop.namespace, "wait", "--for=jsonpath={.spec.replicas}=2", "deployment/web", "--timeout=10s")
    quota = shop.source.kubectl.get("resourcequota", "virt8ra-moved", shop.namespace)
    assert quota is not None and quota["spec"]["hard"] == {"pods": "0"}
    runs_at_the_target(shop)


def test_an_abort_takes_over_from_a_run_at_work(shop: Pair, tmp_path: Path) -> None:
    before = shop.source.objects(shop.namespace)
    waiting, go = tmp_path / "waiting", tmp_path / "go"
    wait = ["sh", "-c", f"touch {waiting}; while [ ! -e {go} ]; do sleep 0.1; done"]
    results: list[dict[str, Any] | None] = []
    work = threading.Thread(target=lambda: results.append(migrate(shop, "completed", hooks=hook("after_quiesce", wait))))
    work.start()
    while not waiting.exists():
        assert work.is_alive()
        work.join(0.1)
    abort = threading.Thread(target=lambda: results.append(migrate(shop, "aborted")))
    abort.start()
    # The run at work is asked to stop, and sees it at its next step.
    stop = "jsonpath={.items[*].metadata.annotations}"
    while "stop" not in shop.source.kubectl.run("-n", "virt8ra-system", "get", "leases", "-o", stop).decode():
        assert abort.is_alive()
        abort.join(0.1)
    go.touch()
    work.join()
    abort.join()
    assert all(result is not None for result in results)
    assert [bool(result and result.get("failed")) for result in results] == [True, False]
    assert "asked to stop" in str((results[0] or {})["msg"])
    is_as_before(shop, before)


def test_a_forbidden_verb_is_named_and_nothing_is_touched(shop: Pair) -> None:
    before = shop.source.objects(shop.namespace)
    shop.doubles()[1].fault({"forbid": {"verb": "patch", "resource": "configmaps"}})
    message = failed(shop, "completed")
    assert "patch" in message and "configmaps" in message
    is_as_before(shop, before)
