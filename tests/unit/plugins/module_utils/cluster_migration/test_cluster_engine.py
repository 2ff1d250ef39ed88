# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every state from every state, twice; what is refused; what an abort and a release leave behind."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import resting
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.engine import Engine
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.parts import Parts
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.policy import Policy
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import (
    BackendError,
    InputError,
    MigrationBlocked,
    MigrationFailed,
)
from memory_cluster import MemoryCluster

POLICY = Policy(quiesce_timeout=2, ready_timeout=2, connections=4, jobs="suspend")


@dataclass
class Blocker:
    message: str


@dataclass
class FakePlan:
    blockers: Sequence[Blocker]
    warnings: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"blockers": [blocker.message for blocker in self.blockers]}


@dataclass
class FakePreparation:
    """As little as it takes: all of the chosen namespace but what somebody controls."""

    namespaces: Sequence[str] = ("shop",)
    mapping: Mapping[str, Any] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)

    def read(self, items: Iterable[dict[str, Any]]) -> None:
        self.objects.clear()
        for item in items:
            if self.clean(item) is not None:
                self.objects[item["kind"]] = self.objects.get(item["kind"], 0) + 1

    def plan(self, conflicts: Sequence[str]) -> FakePlan:
        return FakePlan([Blocker(text) for text in conflicts])

    def clean(self, item: dict[str, Any]) -> dict[str, Any] | None:
        metadata = item["metadata"]
        inside = metadata.get("namespace") == "shop" or (item["kind"], metadata["name"]) == ("Namespace", "shop")
        if not inside or resting.controller_of(item) or item["kind"] == "ResourceQuota":
            return None
        kept = {key: metadata[key] for key in ("name", "namespace", "labels", "annotations") if key in metadata}
        return {**copy.deepcopy({key: value for key, value in item.items() if key != "status"}), "metadata": kept}

    def stage(self, item: dict[str, Any]) -> int:
        return {"Namespace": 0, "ConfigMap": 1}.get(item["kind"], 2)

    def excluded(self) -> Sequence[str]:
        return ()


class FakeVolumes:
    def __init__(self, told: list[str]) -> None:
        self.told = told

    def seed(self) -> int:
        self.told.append("seed")
        return 100

    def delta(self) -> int:
        self.told.append("delta")
        return 0

    def compare(self) -> None:
        self.told.append("compare")

    def tidy(self) -> None:
        self.told.append("tidy")


def made(api_version: str, kind: str, name: str, spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **({} if spec is None else {"spec": spec}), **more}


class Pair:
    def __init__(self) -> None:
        self.es, self.de = MemoryCluster("es"), MemoryCluster("de")
        self.es.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "settings", "uid": "old"}
        secret = made("v1", "Secret", "token", data={"a": "Yg=="})
        secret["metadata"]["ownerReferences"] = [owner]
        for item in (
            made("apps/v1", "Deployment", "web", {"replicas": 3}),
            made("batch/v1", "CronJob", "night", {"suspend": False}),
            made("v1", "Pod", "bare", {"containers": []}),
            secret,
            made("v1", "ConfigMap", "settings", data={"a": "b"}),
            made("example.org/v1", "Widget", "thing", {"size": 1}),
        ):
            self.es.put(item)
        self.told: list[str] = []

    def engine(self, policy: Policy = POLICY) -> Engine:
        parts = Parts(lambda _namespaces: FakePreparation(), lambda _course, _check, _report: FakeVolumes(self.told))
        return Engine("shop", self.es, self.de, parts, policy, lambda _phase, _figures: None)

    def forbid(self) -> None:
        """From now on a change is a defect."""

        def touched(verb: str, what: Any) -> None:
            raise AssertionError(f"{verb} {what}")

        self.es.before = self.de.before = touched

    def permit(self) -> None:
        self.es.before = self.de.before = lambda _verb, _what: None

    def reach(self, state: str, *, check: bool = False, policy: Policy = POLICY) -> dict[str, Any]:
        return self.engine(policy).reach(state, check=check)

    @staticmethod
    def state_of(cluster: MemoryCluster) -> dict[Any, Any]:
        """All that is there, but for what is ours and what every change gives anew."""
        cluster.pods()
        return {
            key: copy.deepcopy({part: value for part, value in item.items() if part not in ("metadata", "status")})
            for key, item in cluster.objects.items()
            if "virt8ra-system" not in key and not item["metadata"].get("ownerReferences", [{}])[0].get("controller")
        }


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Pair:
    for module in ("quiesce", "cutover", "removing", "carrying"):
        name = f"ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.{module}._LOOK"
        monkeypatch.setattr(name, 0.0)
    return Pair()


def test_the_whole_way_every_state_twice(pair: Pair) -> None:
    pair.forbid()
    planned = pair.reach("planned")
    assert (planned["changed"], planned["plan"]) == (False, {"blockers": []})
    for state in ("synced", "completed"):
        assert pair.reach(state, check=True)["changed"] is True
    pair.permit()

    assert pair.reach("synced")["migration"]["phase"] == "synced"
    assert pair.de.pods() == [] and "shop/web-0" in pair.es.pods()
    assert pair.reach("synced")["changed"] is False
    done = pair.reach("completed")
    assert (done["changed"], done["migration"]["phase"]) == (True, "completed")
    assert pair.reach("completed")["changed"] is False
    assert pair.de.pods() == ["shop/bare", "shop/web-0", "shop/web-1", "shop/web-2"]
    assert pair.es.pods() == []
    # Owners have the UIDs that they have here.
    settings = pair.de.objects["ConfigMap", "shop", "settings"]["metadata"]["uid"]
    assert pair.de.objects["Secret", "shop", "token"]["metadata"]["ownerReferences"][0]["uid"] == settings
    assert pair.told == ["seed", "tidy", "delta", "tidy", "delta", "delta", "compare", "tidy"]

    assert pair.reach("released", check=True)["changed"] is True
    released = pair.reach("released")
    assert (released["changed"], released["migration"]["phase"]) == (True, "released")
    assert [key for key in pair.es.objects if "shop" in key] == []
    assert released["migration"]["receipt"]["namespaces"] == ["shop"]
    assert pair.reach("released")["changed"] is False
    assert pair.reach("completed")["changed"] is False
    assert pair.de.pods() == ["shop/bare", "shop/web-0", "shop/web-1", "shop/web-2"]


def test_a_report_tells_the_phases(pair: Pair) -> None:
    report = pair.reach("completed")["report"]
    phases = [event["phase"] for event in report["events"]]
    assert phases == ["copying objects", "seed", "stopping", "last delta", "verify", "copying objects", "start"]
    assert all(event["ended"] >= event["began"] for event in report["events"])
    assert report["figures"]["bytes"] == 100
    assert report["objects"] == {"ConfigMap": 1, "CronJob": 1, "Deployment": 1, "Namespace": 1, "Pod": 1, "Secret": 1, "Widget": 1}


@pytest.mark.parametrize("state", ["synced", "switching"])
def test_an_abort_leaves_both_as_they_were(pair: Pair, state: str) -> None:
    before_es, before_de = pair.state_of(pair.es), pair.state_of(pair.de)
    pair.reach("synced")
    if state == "switching":
        count = 0

        def cut(verb: str, what: Any) -> None:
            nonlocal count
            count += verb == "apply" and what["kind"] == "Deployment"
            if count:
                raise KeyboardInterrupt

        pair.de.before = cut
        with pytest.raises(KeyboardInterrupt):
            pair.reach("completed")
        pair.de.before = lambda _verb, _what: None
    aborted = pair.reach("aborted")
    assert (aborted["changed"], aborted["migration"]["phase"]) == (True, "aborted")
    assert pair.state_of(pair.es) == before_es
    assert pair.state_of(pair.de) == before_de
    assert pair.de.objects == {}
    assert pair.reach("aborted")["changed"] is False
    # And a new one may begin.
    assert pair.reach("completed")["migration"]["phase"] == "completed"


def test_what_was_there_before_is_left_by_an_abort(pair: Pair) -> None:
    pair.de.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    pair.de.put(made("v1", "ConfigMap", "theirs", data={"c": "d"}))
    # In the very form that it would be given.
    pair.de.put(made("v1", "ConfigMap", "settings", data={"a": "b"}))
    before = pair.state_of(pair.de)
    pair.reach("synced")
    pair.reach("aborted")
    assert pair.state_of(pair.de) == before


def test_what_is_somebody_elses_is_refused_before_anything_is_touched(pair: Pair) -> None:
    pair.de.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    pair.de.put(made("v1", "ConfigMap", "settings", data={"a": "theirs"}))
    pair.forbid()
    with pytest.raises(MigrationBlocked, match="ConfigMap shop/settings is at de already and is somebody else's"):
        pair.reach("completed")
    pair.permit()
    forced = Policy(quiesce_timeout=2, ready_timeout=2, connections=4, jobs="suspend", force=True)
    pair.reach("completed", policy=forced)
    assert pair.de.objects["ConfigMap", "shop", "settings"]["data"] == {"a": "b"}


def test_one_rejected_object_is_named_and_the_rest_is_there(pair: Pair) -> None:
    rejected = True

    def refuse(verb: str, what: Any) -> None:
        if rejected and verb == "apply" and what["metadata"]["name"] == "token":
            raise BackendError("denied by a policy")

    pair.de.before = refuse
    with pytest.raises(
        MigrationFailed, match=r"de rejected Secret shop/token \(denied by a policy\); 5 other objects are there"
    ) as told:
        pair.reach("completed")
    assert told.value.details["rejected"] == {"v1/Secret/shop/token": "denied by a policy"}
    assert told.value.details["report"]["phase"] == "copying"
    assert "shop/web-0" in pair.es.pods()
    rejected = False
    assert pair.reach("completed")["migration"]["runs"] == 2


def test_what_came_after_the_release_of_the_source_is_kept(pair: Pair) -> None:
    pair.reach("completed")
    pair.es.put(made("v1", "ConfigMap", "fresh", data={}))
    released = pair.reach("released")
    assert released["migration"]["receipt"]["left"][0] == "namespace shop is kept, as it still holds ConfigMap shop/fresh"
    assert ("ConfigMap", "shop", "fresh") in pair.es.objects
    assert ("Deployment", "shop", "web") not in pair.es.objects
    assert ("ResourceQuota", "shop", "virt8ra-moved") not in pair.es.objects


def test_a_release_is_refused_when_the_target_has_lost_it(pair: Pair) -> None:
    pair.reach("completed")
    del pair.de.objects["Deployment", "shop", "web"]
    with pytest.raises(MigrationFailed, match="Deployment shop/web is not at de any more"):
        pair.reach("released")
    assert ("Deployment", "shop", "web") in pair.es.objects


def test_finalizers_whose_worker_rests_do_not_hold_up_a_release(pair: Pair) -> None:
    pair.es.objects["Widget", "shop", "thing"]["metadata"]["finalizers"] = ["example.org/clean"]
    pair.reach("completed")
    assert pair.reach("released")["migration"]["receipt"]["finalizers"] == ["Widget shop/thing (example.org/clean)"]


@pytest.mark.parametrize(
    ("state", "message"),
    [("released", "is not completed; complete the migration first"), ("aborted", "completed already; release it and migrate back")],
)
def test_states_that_cannot_be_reached(pair: Pair, state: str, message: str) -> None:
    if state == "aborted":
        assert pair.reach("aborted")["changed"] is False
        pair.reach("completed")
    with pytest.raises(MigrationFailed, match=message):
        pair.reach(state)


def test_the_same_cluster_is_refused(pair: Pair) -> None:
    pair.de.uid = pair.es.uid  # type: ignore[method-assign]
    with pytest.raises(InputError, match="target_context='de': is the same cluster as the source"):
        pair.engine()


def test_two_engines_wait_for_each_other(pair: Pair) -> None:
    first, second = pair.engine(), pair.engine()
    pair.es.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "virt8ra-system"}})
    told: list[str] = []

    def waits(_phase: str, figures: dict[str, Any]) -> None:
        told.append(str(figures.get("waiting_for")))
        raise InterruptedError

    second.lease._report = waits
    with first.lease.held():
        second.lease.ask_to_stop()
        with pytest.raises(InterruptedError), second.lease.held():
            pass
        first.lease._renew()
        with pytest.raises(MigrationFailed, match="asked to stop"):
            first.lease.check()
    assert "is at work on this migration" in told[0]
    with second.lease.held():
        second.lease.check()


def test_a_lease_that_is_not_renewed_is_taken_over(pair: Pair) -> None:
    pair.es.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "virt8ra-system"}})
    engine = pair.engine()
    name = engine.lease._name
    spec = {"holderIdentity": "elsewhere/boot/1/x", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": "virt8ra-system"}}
    pair.es.put({**lease, "spec": spec})
    with engine.lease.held() as waited:
        assert waited is True
    assert ("Lease", "virt8ra-system", name) not in pair.es.objects
