# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.estimate import Measured, estimate
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.plan import Blocker, Plan, Volume, plan_text

PLAN = Plan(
    source="es",
    target="de",
    namespaces=("shop", "blog"),
    blockers=(Blocker("class", "storage class fast is not at de; map it"),),
    warnings=("load balancers get new addresses",),
    steps=("apply 9 objects", "start"),
    objects={"Deployment": 2, "ConfigMap": 10},
    cleaned={"status": 12},
    mapped={"storage class fast → ssd": 1},
    left={"Pod: its controller makes it anew": 4},
    volumes=(Volume("shop", "data", 2**30, "fast", "ssd"), Volume("shop", "uploads", 2**20, "", "", bound=False)),
    estimate={
        "objects": 12,
        "bytes": 2**30,
        "delta_bytes": 2**20,
        "objects_seconds": 1.5,
        "seconds": None,
        "downtime_seconds": None,
    },
    reason="it was asked for",
)


def test_the_plan_as_a_table():
    assert plan_text(PLAN) == [
        "es → de: shop, blog",
        "method workloads: it was asked for",
        "BLOCKERS",
        "  storage class fast is not at de; map it",
        "warnings",
        "  load balancers get new addresses",
        "steps",
        "  1. apply 9 objects",
        "  2. start",
        "objects that go along",
        "  10  ConfigMap",
        "   2  Deployment",
        "cleaned",
        "  12  status",
        "mapped",
        "  1  storage class fast → ssd",
        "what stays",
        "  4  Pod: its controller makes it anew",
        "data of claims",
        "  shop/data        1.0 GiB  fast → ssd",
        "  shop/uploads     1.0 MiB  (no class), without data",
        "estimate",
        "  objects: 12",
        "  bytes: 1.0 GiB",
        "  delta bytes: 1.0 MiB",
        "  objects seconds: 1.5",
        "  seconds: not known, as nothing was measured",
        "  downtime seconds: not known, as nothing was measured",
    ]


def test_the_plan_as_data_is_plain():
    told = PLAN.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["blockers"] == [{"check": "class", "message": "storage class fast is not at de; map it"}]
    assert told["text"] == plan_text(PLAN)


def test_an_empty_plan_has_no_empty_sections():
    assert plan_text(Plan("es", "de", ("shop",))) == ["es → de: shop"]


def test_an_estimate_adds_up():
    measured = Measured(objects_rate=100, copy_rate=1000, digest_rate=2000, changed=0.1, stop_seconds=5, start_seconds=7)
    found = estimate(200, 10_000, measured, verify=True)
    # 200 objects in 2 s and 10,000 bytes in 10 s; then away for 5 + 7 s, a quarter of the objects, 1,000 bytes, and all digests.
    assert (found.delta_bytes, found.objects_seconds) == (1000, 2.0)
    assert found.downtime_seconds == pytest.approx(5 + 7 + 0.5 + 1 + 5)
    assert found.seconds == pytest.approx(2 + 10 + 18.5)
    assert estimate(200, 10_000, measured, verify=False).downtime_seconds == pytest.approx(13.5)


def test_what_was_not_measured_is_not_made_up():
    found = estimate(200, 10_000, Measured(objects_rate=100), verify=True)
    assert (found.objects_seconds, found.seconds, found.downtime_seconds) == (2.0, None, None)
    assert estimate(200, 0, Measured(objects_rate=100), verify=True).seconds is not None
    assert estimate(200, 0, Measured(), verify=False).objects_seconds is None
