# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from fractions import Fraction

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.amounts import (
    amounts,
    claim_bytes,
    largest,
    quantity,
    show_amount,
)
from cluster_world import thing
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", Fraction(1, 2)),
        ("1", 1),
        (2, 2),
        ("1.5", Fraction(3, 2)),
        ("1Gi", 2**30),
        ("1.5Ki", 1536),
        ("1k", 1000),
        ("2M", 2_000_000),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("1E-2", Fraction(1, 100)),
        ("100u", Fraction(1, 10_000)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("-1", -1),
        ("much", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(text, value):
    assert quantity(text) == value


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["m", "", "k", "Ki", "M", "Mi", "G", "Gi"]), st.sampled_from(["m", "", "k", "Ki"]))
def test_a_larger_number_of_the_same_unit_is_more(number, unit, other):
    assert quantity(f"{number}{unit}") < quantity(f"{number + 1}{unit}")
    assert quantity(f"{number}{unit}") + quantity(f"{number}{other}") >= quantity(f"{number}{unit}")


def container(cpu, limit=None, **more):
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    return {"name": "x", "resources": {**resources, **({"limits": {"memory": limit}} if limit else {})}, **more}


def deployment(replicas, **spec):
    return thing("Deployment", "web", version="apps/v1", spec={"replicas": replicas, "template": {"spec": spec}})


def test_replicas_multiply_what_a_pod_needs():
    found = amounts(deployment(3, containers=[container("100m"), container("200m", "1Gi")]))
    assert found["pods"] == 3
    assert found["requests.cpu"] == Fraction(9, 10)
    # Who limits without requesting requests the limit.
    assert found["requests.memory"] == found["limits.memory"] == 3 * 2**30
    assert found["count/deployments.apps"] == 1


def test_the_neediest_init_container_counts_where_it_is_more_and_sidecars_add():
    assert amounts(deployment(1, containers=[container("100m")], initContainers=[container("1")]))["requests.cpu"] == 1
    sidecar = container("200m", restartPolicy="Always")
    assert amounts(deployment(1, containers=[container("100m")], initContainers=[sidecar]))["requests.cpu"] == Fraction(3, 10)


def test_what_is_at_zero_needs_no_pods():
    assert "pods" not in amounts(deployment(0, containers=[container("1")]))
    cron = thing(
        "CronJob", "x", version="batch/v1", spec={"jobTemplate": {"spec": {"template": {"spec": {"containers": [container("1")]}}}}}
    )
    assert amounts(cron) == {"cronjobs.batch": 1, "count/cronjobs.batch": 1}


def test_a_daemon_needs_a_pod_on_each_node():
    item = thing("DaemonSet", "x", version="apps/v1", spec={"template": {"spec": {"containers": [container("1")]}}})
    assert amounts(item, nodes=4)["requests.cpu"] == 4


def test_claims_and_services_count():
    claim = thing("PersistentVolumeClaim", "x", spec={"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}})
    found = amounts(claim)
    assert found["requests.storage"] == found["fast.storageclass.storage.k8s.io/requests.storage"] == 2 * 2**30
    assert found["persistentvolumeclaims"] == 1
    service = thing("Service", "x", spec={"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]})
    assert amounts(service)["services.nodeports"] == 2
    assert amounts(service)["services.loadbalancers"] == 1


def test_the_capacity_of_a_claim_is_what_it_has_got():
    spec = {"resources": {"requests": {"storage": "1Gi"}}}
    assert claim_bytes(thing("PersistentVolumeClaim", "x", spec=spec)) == 2**30
    assert claim_bytes(thing("PersistentVolumeClaim", "x", spec=spec, status={"capacity": {"storage": "2Gi"}})) == 2**31


def test_the_largest_container_is_what_a_limit_range_judges():
    assert largest({"containers": [container("100m"), container("1", "1Gi")]}) == {"cpu": 1, "memory": 2**30}


def test_amounts_are_shown_as_people_write_them():
    assert show_amount("requests.cpu", Fraction(3, 2)) == "1.5"
    assert show_amount("requests.memory", Fraction(512 * 2**20)) == "512Mi"
    assert show_amount("requests.storage", Fraction(1536 * 2**20)) == "1.5Gi"
    assert show_amount("pods", Fraction(3)) == "3"
