# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sample application comes to life on a cluster, and what tests read of it is what is there: by files and by kubectl alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.applications import sample
from tests.applications.volume import change_volume_data, write_volume_data

from .clusters import End, Pair, pair

__all__ = ["pair"]
POD, PATH = "database-0", "/data"


@pytest.fixture
def shop(pair: Pair) -> Pair:
    sample.install(pair.source.kubectl, pair.namespace)
    sample.settle(pair.source.kubectl, pair.namespace)
    return pair


def as_real(end: End) -> End:
    """The same cluster, of which nobody knows that it is a double: all is done by kubectl."""
    return replace(end, double=None)


def seen(entries):
    """What comes through a busybox's tar: neither parts of seconds nor attributes. Of links it does not keep the time."""
    return {
        name: replace(entry, time_ns=0 if entry.target else entry.time_ns // 10**9, attributes=())
        for name, entry in entries.items()
        if name != "starts"
    }


def test_it_is_all_there_and_goes_again(shop):
    objects = shop.source.objects(shop.namespace)
    wanted = {
        (kind, name)
        for _group, kind, namespace, name in map(sample.identity, sample.objects(shop.namespace))
        if namespace and kind not in ("Pod", "Endpoints", "EndpointSlice")
    }
    assert wanted <= set(objects)
    assert {("PersistentVolumeClaim", f"{claim}-database-{n}") for claim in ("data", "journal") for n in (0, 1)} <= set(objects)
    copy = objects["ConfigMap", "first-copy"]["metadata"]["ownerReferences"]
    assert copy == [{"apiVersion": "v1", "kind": "Secret", "name": "first-receipt"}]
    shop.source.clear(shop.namespace)
    assert shop.source.kubectl.get("namespace", shop.namespace) is None
    sample.install(shop.source.kubectl, shop.namespace)


def test_files_and_kubectl_tell_the_same_of_a_volume(shop):
    shop.source.fill(shop.namespace, POD, PATH, write_volume_data)
    told = shop.source.contents(shop.namespace, POD, PATH)
    assert len(told) > 200
    assert seen(as_real(shop.source).contents(shop.namespace, POD, PATH)) == seen(told)


def test_a_volume_can_be_filled_and_changed_by_kubectl(shop):
    real = as_real(shop.source)
    real.fill(shop.namespace, POD, PATH, lambda folder: write_volume_data(folder, files=10))
    before = shop.source.contents(shop.namespace, POD, PATH)
    assert before["plain.txt"].same == ("hard-3", "links/hard-1", "links/hard-2", "plain.txt")
    assert before["links/dangling"].target == "no/such file"
    real.fill(shop.namespace, POD, PATH, change_volume_data)
    after = shop.source.contents(shop.namespace, POD, PATH)
    assert after["new file"].owner == (7, 7)
    assert "many/00005" not in after
    assert after["sticky"].sha256


def test_a_double_that_is_started_again_has_lost_nothing(shop):
    double, _target = shop.doubles()
    before = shop.source.objects(shop.namespace)
    double.restart()
    assert shop.source.objects(shop.namespace) == before
