# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hypervisor is asked for an image first."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.library import nearest
from ansible_collections.virt8ra.federation.plugins.module_utils.library.nearest import Peer
from ansible_collections.virt8ra.federation.plugins.module_utils.library.request import carry_out, read_image, read_peers
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site

MADRID = {"name": "madrid", "provider": "p", "country": "ES", "latitude": 40.4168, "longitude": -3.7038, "storage": {"images": "i"}}
BERLIN = {"name": "berlin", "provider": "q", "country": "DE", "latitude": 52.52, "longitude": 13.405, "storage": {"images": "pics"}}


def site(described, *hypervisors, **changes):
    return Site.from_dict({**described, "hypervisors": [{"name": name} for name in hypervisors], **changes})


@pytest.mark.parametrize(
    ("here", "there", "kilometres"),
    [
        (site(MADRID), site(BERLIN, "b1"), pytest.approx(1869, abs=5)),
        (site(MADRID, latitude=None), site(MADRID, "m2"), 0),
        (site(MADRID, latitude=None), site(BERLIN, "b1"), None),
    ],
)
def test_distance_is_along_the_surface(here, there, kilometres):
    (peer,) = nearest.peers_of([there], "m1", here, "images")
    assert peer.distance == kilometres


def test_peers_are_the_others_that_have_a_library():
    here = site(MADRID, "m1", "m2")
    sites = [here, site(BERLIN, "b1"), site(BERLIN, "x1", name="x", storage={}), site(BERLIN, name="k", backend="kubernetes")]
    peers = nearest.peers_of(sites, "m1", here, "images")
    assert [(peer.name, peer.pool) for peer in peers] == [("m2", "i"), ("b1", "pics")]
    assert peers[0].distance == 0 and peers[1].distance > 1000


def test_measured_round_trips_come_before_distance_and_the_silent_are_left_out():
    peers = [Peer("far", "u", "i", 900.0), Peer("near", "u", "i", 100.0), Peer("odd", "u", "i"), Peer("slow", "u", "i", 1.0)]
    peers += [Peer("quick", "u", "i", 5000.0), Peer("dead", "u", "i", 0.0)]
    ordered = nearest.nearest_first(peers, {"slow": 40.0, "quick": 2.0, "dead": None})
    assert [peer.name for peer in ordered] == ["quick", "slow", "near", "far", "odd"]


def test_handshakes_are_measured():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        port = server.getsockname()[1]
        gone = other.getsockname()[1]
        other.close()
        peers = [
            Peer("a", f"qemu+tls://127.0.0.1:{port}/system", "i"),
            Peer("b", f"qemu+tls://127.0.0.1:{gone}/system", "i"),
            Peer("c", "qemu:///system", "i"),
        ]
        measured = nearest.round_trips(peers)
    assert measured["a"] > 0 and measured["b"] is None and "c" not in measured


def test_a_port_that_is_not_written_is_libvirts():
    assert Peer("a", "qemu+tls://h/system", "i").endpoint == ("h", 16514)
    assert Peer("a", "qemu+tls://[::1]:99/system", "i").endpoint == ("::1", 99)


PARAMS = {
    **{"name": "debian", "version": "12", "sha256": "0" * 64, "format": "qcow2", "size": "0", "os_variant": "", "state": "present"},
    **{"architecture": "x86_64", "firmware": "any", "source": {"url": "http://h/x", "file": None, "site": None}, "keep": None},
    **{"peers": [], "hypervisor": "m1", "storage": "images", "verify": False, "state_path": "/nowhere", "pushed_path": None},
}


def test_the_modules_options_are_an_image():
    image = read_image({**PARAMS, "size": "1KiB"})
    assert (image.reference, image.size, image.source.url) == ("debian:12", 1024, "http://h/x")
    assert read_image(PARAMS).size == 0


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"keep": 0}, "keep"),
        ({"sha256": "x"}, "sha256"),
        ({"source": {"url": "http://h/x", "file": "y"}}, "source"),
        ({"peers": [{"name": "x"}]}, "peers[0].provider"),
        ({"storage": "tape"}, "storage"),
    ],
)
def test_bad_options_are_refused_before_the_hypervisor_is_asked(change, option):
    with pytest.raises(InputError) as caught:
        carry_out({**PARAMS, **change}, site(MADRID), lambda: pytest.fail("asked"), None, check=False)
    assert caught.value.option == option


def test_peers_are_sites_as_the_inventory_gives_them():
    given = [site(BERLIN, "b1").to_dict()]
    (peer,) = read_peers({**PARAMS, "peers": given}, site(MADRID, "m1"))
    assert (peer.name, peer.uri) == ("b1", "qemu+tls://b1/system")
