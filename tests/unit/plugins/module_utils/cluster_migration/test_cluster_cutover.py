# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover that is cut off before any of its changes, that fails at any of them, and that is taken back: one copy, whatever happens."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import journal as journals
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import resting
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.carrying import Carrying
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.course import Course
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.cutover import Cutover, Ends
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.hooks import Hook
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.journal import Journal
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.policy import Policy
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.quiesce import Quiesce
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.removing import Removal
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.store import CONFIG_MAPS, SECRETS, JournalStore
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.target_rest import TargetRest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, MigrationFailed, UnreachableError
from memory_cluster import WIDGETS, MemoryCluster

RESOURCES = (*resting.RESTED.values(), CONFIG_MAPS, SECRETS, WIDGETS)
POLICY = Policy(quiesce_timeout=2, ready_timeout=2, connections=1, jobs="suspend")
ENTRY = Journal("id", "shop", "workloads", "es", "de", "uid-es", "uid-de", journals.SYNCED, "2026-01-01T00:00:00+00:00")


class Killed(BaseException):
    """The run's process is gone."""


class NoVolumes:
    def delta(self) -> int:
        return 0

    def compare(self) -> None:
        pass

    def tidy(self) -> None:
        pass


def made(api_version: str, kind: str, name: str, spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **({} if spec is None else {"spec": spec}), **more}


def cleaned(item: dict[str, Any]) -> dict[str, Any] | None:
    """As little as it takes: what somebody controls is not carried."""
    if resting.controller_of(item) or item["kind"] == "Namespace" or item["metadata"].get("namespace") != "shop":
        return None
    metadata = {key: item["metadata"][key] for key in ("name", "namespace", "labels", "annotations") if key in item["metadata"]}
    return {**copy.deepcopy({key: value for key, value in item.items() if key != "status"}), "metadata": metadata}


class Scene:
    """An application at ``es`` that is in step at ``de``. Every change that anybody makes is counted, and both ends are looked at."""

    def __init__(self) -> None:
        self.es, self.de = MemoryCluster("es"), MemoryCluster("de")
        for cluster in (self.es, self.de):
            for name in ("shop", "virt8ra-system"):
                cluster.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for item in (
            made("apps/v1", "Deployment", "web", {"replicas": 3}),
            made("apps/v1", "StatefulSet", "db", {"replicas": 2}),
            made("apps/v1", "DaemonSet", "log", {"template": {"spec": {}}}),
            made("batch/v1", "CronJob", "night", {"suspend": False}),
            made("batch/v1", "Job", "load", {"suspend": False}),
            made("v1", "Pod", "bare", {"containers": []}),
            made("v1", "ConfigMap", "settings", data={"a": "b"}),
            made("example.org/v1", "Widget", "thing", {"size": 1}),
        ):
            self.es.put(item)
        self.before = self.specs()
        self.count = 0
        self.kill_at = self.fail_at = -1
        self.fault: Callable[[], BaseException] = lambda: BackendError("no")
        for cluster in (self.es, self.de):
            cluster.before = self.change
        JournalStore(self.es, self.de, "shop").begin(self.entry())

    def entry(self) -> Journal:
        return Journal.from_dict({**ENTRY.to_dict(), "namespaces": {"shop": ""}}) or ENTRY

    def specs(self) -> dict[Any, Any]:
        """What the source's objects say, but for pods that follow others."""
        return {
            key: copy.deepcopy({part: item.get(part) for part in ("spec", "data")})
            for key, item in self.es.objects.items()
            if key[1] == "shop" and not item["metadata"].get("ownerReferences")
        }

    def application(self, cluster: MemoryCluster) -> list[str]:
        return [name for name in cluster.pods() if name.startswith("shop/")]

    def change(self, _verb: str, _what: Any) -> None:
        assert not (self.application(self.es) and self.application(self.de)), "two copies"
        self.count += 1
        if self.count == self.kill_at:
            raise Killed
        if self.count == self.fail_at:
            raise self.fault()

    def cutover(self, policy: Policy = POLICY) -> Cutover:
        """As a new run has it."""
        store = JournalStore(self.es, self.de, "shop")
        journal = store.read()
        assert journal is not None

        def report(_phase: str, _figures: dict[str, Any]) -> None:
            pass

        def check() -> None:
            pass

        carrying = Carrying(
            self.es, self.de, "id", clean=cleaned, stage=lambda _item: 0, workers=policy.connections, report=report, check=check
        )
        carrying.look(RESOURCES, ["shop"])
        ends = Ends(
            Quiesce(self.es, ["shop"], "id", report, check),
            TargetRest(self.de, ["shop"], "id", report, check, ["shop"]),
            carrying,
            NoVolumes(),
            RESOURCES,
            lambda: Removal(self.de, lambda _item: 0, report, check, 2),
        )
        return Cutover(ends, Course(store, journal, report), policy, {}, report, check, check)

    def runs_at_the_target(self) -> None:
        assert self.application(self.es) == []
        assert set(self.application(self.de)) == {
            f"shop/{name}" for name in "web-0 web-1 web-2 db-0 db-1 log-0 load-0 bare".split()
        }
        assert self.de.objects["CronJob", "shop", "night"]["spec"]["suspend"] is False

    def runs_at_the_source(self) -> None:
        assert self.specs() == self.before
        assert self.application(self.de) == []
        assert len(self.application(self.es)) == 8


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    for module in ("quiesce", "cutover", "removing", "carrying"):
        name = f"ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.{module}._LOOK"
        monkeypatch.setattr(name, 0.0)
    return Scene()


def changes_of_a_cutover() -> int:
    scene = Scene()
    before = scene.count
    scene.cutover().run()
    return scene.count - before


CHANGES = changes_of_a_cutover()


def test_it_moves(scene: Scene) -> None:
    cutover = scene.cutover()
    cutover.run()
    assert cutover.state == journals.COMPLETED
    scene.runs_at_the_target()
    assert cutover.course.journal.figures["verified"] is True


@pytest.mark.parametrize("at", range(1, CHANGES + 1))
def test_killed_before_any_change_another_run_finishes_it(scene: Scene, at: int) -> None:
    scene.kill_at = scene.count + at
    with pytest.raises(Killed):
        scene.cutover().run()
    cutover = scene.cutover()
    if cutover.state != journals.COMPLETED:
        cutover.run()
    assert cutover.state == journals.COMPLETED
    scene.runs_at_the_target()


@pytest.mark.parametrize("at", range(1, CHANGES + 1))
def test_killed_before_any_change_it_can_be_taken_back(scene: Scene, at: int) -> None:
    scene.kill_at = scene.count + at
    with pytest.raises(Killed):
        scene.cutover().run()
    cutover = scene.cutover()
    if cutover.state == journals.COMPLETED:
        scene.runs_at_the_target()
        return
    if cutover.state != journals.SYNCED:
        cutover.take_back()
    assert cutover.state == journals.SYNCED
    scene.runs_at_the_source()


@pytest.mark.parametrize("fault", [BackendError, UnreachableError])
@pytest.mark.parametrize("at", range(1, CHANGES + 1))
def test_a_fault_at_any_change_takes_it_back_or_is_got_over(scene: Scene, at: int, fault: type[BackendError]) -> None:
    scene.fail_at, scene.fault = scene.count + at, lambda: fault("the server says no")
    try:
        scene.cutover().run()
    except (MigrationFailed, BackendError, UnreachableError) as error:
        assert "no" in str(error)
    cutover = scene.cutover()
    if cutover.state == journals.COMPLETED:
        scene.runs_at_the_target()
        return
    if cutover.state != journals.SYNCED:
        cutover.take_back()
    scene.runs_at_the_source()
    cutover.run()
    scene.runs_at_the_target()


@pytest.mark.parametrize("when", ["before_cutover", "after_quiesce", "after_delta", "before_start", "after_start"])
def test_a_hook_that_fails_takes_it_back(scene: Scene, when: str) -> None:
    policy = Policy(quiesce_timeout=2, ready_timeout=2, connections=1, jobs="suspend", hooks=(Hook(when, ("false",), 10),))
    with pytest.raises(MigrationFailed, match="false ended with 1"):
        scene.cutover(policy).run()
    assert scene.cutover().state == journals.SYNCED
    scene.runs_at_the_source()


def test_a_hook_after_the_end_is_only_told(scene: Scene) -> None:
    policy = Policy(
        quiesce_timeout=2, ready_timeout=2, connections=1, jobs="suspend", hooks=(Hook("after_cutover", ("false",), 10),)
    )
    cutover = scene.cutover(policy)
    cutover.run()
    assert cutover.state == journals.COMPLETED
    assert cutover.course.journal.warnings == ["the hook false (after_cutover) ended with 1"]


def test_what_somebody_scales_up_again_is_told_and_taken_back(scene: Scene) -> None:
    """An operator outside of the chosen namespaces fights for its Deployment."""
    original = scene.es.patch

    def patch(*args: Any, **more: Any) -> Any:
        done = original(*args, **more)
        if args[0].kind == "Deployment" and scene.cutover().state == journals.STOPPING:
            scene.es.objects["Deployment", "shop", "web"]["spec"]["replicas"] = 3
        return done

    scene.es.patch = patch  # type: ignore[method-assign]
    with pytest.raises(MigrationFailed, match="web-0"):
        scene.cutover().run()
    scene.runs_at_the_source()


def test_a_job_that_runs_is_waited_for_and_not_run_again(scene: Scene) -> None:
    done = {"conditions": [{"type": "Complete", "status": "True"}]}

    def finish(verb: str, what: Any) -> None:
        scene.change(verb, what)
        if verb == "patch" and what[0] == "CronJob":
            scene.es.objects["Job", "shop", "load"]["status"] = done

    scene.es.before = finish
    policy = Policy(quiesce_timeout=2, ready_timeout=2, connections=1, jobs="wait")
    scene.cutover(policy).run()
    assert "shop/load-0" not in scene.application(scene.de)
    assert scene.de.objects["Job", "shop", "load"]["spec"]["suspend"] is True


def test_a_job_that_does_not_end_is_told(scene: Scene) -> None:
    policy = Policy(quiesce_timeout=1, ready_timeout=2, connections=1, jobs="wait")
    with pytest.raises(MigrationFailed, match="Job shop/load did not come to rest in time; es runs as before; set jobs: suspend"):
        scene.cutover(policy).run()
    scene.runs_at_the_source()


def test_the_source_is_fenced_before_the_target_starts(scene: Scene) -> None:
    scene.cutover().run()
    assert scene.es.objects["ResourceQuota", "shop", "virt8ra-moved"]["spec"] == {"hard": {"pods": "0"}}
    # Whoever scales the source up gets no second copy.
    scene.es.objects["Deployment", "shop", "web"]["spec"]["replicas"] = 3
    assert scene.application(scene.es) == []


def test_what_is_not_ready_in_time_is_taken_back(scene: Scene) -> None:
    original = scene.de._reconcile

    def reconcile() -> None:
        original()
        for key, item in scene.de.objects.items():
            if key[0] == "Deployment":
                item["status"] = {"readyReplicas": 0, "observedGeneration": 1}

    scene.de._reconcile = reconcile  # type: ignore[method-assign]
    # So it was ready at the source.
    policy = Policy(quiesce_timeout=2, ready_timeout=1, connections=1, jobs="suspend")
    scene.es.pods()
    with pytest.raises(MigrationFailed, match="Deployment shop/web was not ready in 1 seconds; es runs as before"):
        scene.cutover(policy).run()
    scene.runs_at_the_source()
