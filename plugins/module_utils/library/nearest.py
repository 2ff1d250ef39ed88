# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which other hypervisors may have an image, nearest first: by measured round trip, else by distance."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..crew import work_through
from ..model import Site

_TLS_PORT = 16514
_HANDSHAKES = 3
_HANDSHAKE_SECONDS = 3.0
_WORKERS = 32
_EARTH_KM = 6371.0


@dataclass(frozen=True)
class Peer:
    """A hypervisor whose library may have it; ``pool`` is the one there, ``distance`` in km (None: not known)."""

    name: str
    uri: str
    pool: str
    distance: float | None = None

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and port of its libvirt; None where the URI names no host."""
        parts = urlsplit(self.uri)
        return None if parts.hostname is None else (parts.hostname, parts.port or _TLS_PORT)


def peers_of(sites: Iterable[Site], hypervisor: str, here: Site, storage: str) -> list[Peer]:
    """All hypervisors but this one, of sites that map the storage."""
    return [
        Peer(one.name, one.uri, site.storage[storage], distance_km(here, site))
        for site in sites
        if site.backend == "libvirt" and storage in site.storage
        for one in site.hypervisors
        if one.name != hypervisor
    ]


def distance_km(first: Site, second: Site) -> float | None:
    """Along the surface of the earth; 0 within a site, None where a site has no coordinates."""
    if first.name == second.name:
        return 0.0
    if first.latitude is None or first.longitude is None or second.latitude is None or second.longitude is None:
        return None
    north, south = math.radians(first.latitude), math.radians(second.latitude)
    across = math.sin((south - north) / 2) ** 2
    along = math.sin(math.radians(second.longitude - first.longitude) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, across + math.cos(north) * math.cos(south) * along)))


def round_trips(peers: Sequence[Peer]) -> dict[str, float | None]:
    """Milliseconds of the quickest of a few TCP handshakes, by the peer's name; None for who did not answer.

    A peer whose URI names no host is left out: there is nothing to measure.
    """
    asked = [peer for peer in peers if peer.endpoint is not None]
    deadline = time.monotonic() + _HANDSHAKES * _HANDSHAKE_SECONDS * math.ceil(len(asked) / _WORKERS)
    measured = work_through(asked, _round_trip, workers=_WORKERS, deadline=deadline)
    return {peer.name: value for peer, value in zip(asked, measured)}


def _round_trip(peer: Peer) -> float | None:
    endpoint, best = peer.endpoint, None
    for _handshake in range(_HANDSHAKES):
        begun = time.monotonic()
        try:
            with contextlib.closing(socket.create_connection(endpoint or ("", 0), _HANDSHAKE_SECONDS)):
                taken = (time.monotonic() - begun) * 1000
        except OSError:
            return best
        best = taken if best is None else min(best, taken)
    return best


def nearest_first(peers: Iterable[Peer], measured: Mapping[str, float | None]) -> list[Peer]:
    """Those that were measured by their round trip, then those that could not be by distance; who did not answer is left out."""

    def rank(peer: Peer) -> tuple[int, float, str]:
        taken = measured.get(peer.name)
        if taken is not None:
            return 0, taken, peer.name
        return (1, peer.distance, peer.name) if peer.distance is not None else (2, 0.0, peer.name)

    return sorted((peer for peer in peers if measured.get(peer.name, 0.0) is not None), key=rank)
