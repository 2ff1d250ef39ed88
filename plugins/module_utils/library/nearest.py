# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which other hypervisors may have an image, nearest first: by measured round trip, else by distance."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..crew import work_through
from ..handshakes import handshake
from ..latency import distance_km
from ..model import Site

_TLS_PORT = 16514
_HANDSHAKES = 3
_HANDSHAKE_SECONDS = 3.0
_WORKERS = 32


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
        Peer(one.name, one.uri, site.storage[storage], _distance(here, site))
        for site in sites
        if site.backend == "libvirt" and storage in site.storage
        for one in site.hypervisors
        if one.name != hypervisor
    ]


def _distance(first: Site, second: Site) -> float | None:
    return 0.0 if first.name == second.name else distance_km(first, second)


def round_trips(peers: Sequence[Peer]) -> dict[str, float | None]:
    """Milliseconds of the quickest of a few TCP handshakes, by the peer's name; None for who did not answer.

    A peer whose URI names no host is left out: there is nothing to measure.
    """
    asked = [peer for peer in peers if peer.endpoint is not None]
    deadline = time.monotonic() + _HANDSHAKES * _HANDSHAKE_SECONDS * math.ceil(len(asked) / _WORKERS)
    measured = work_through(asked, _round_trip, workers=_WORKERS, deadline=deadline)
    return {peer.name: value for peer, value in zip(asked, measured)}


def _round_trip(peer: Peer) -> float | None:
    address, port = peer.endpoint or ("", 0)
    taken: list[float] = []
    with contextlib.suppress(OSError, UnicodeError):
        while len(taken) < _HANDSHAKES:
            taken.append(handshake(address, port, _HANDSHAKE_SECONDS))
    return min(taken, default=None)


def nearest_first(peers: Iterable[Peer], measured: Mapping[str, float | None]) -> list[Peer]:
    """Those that were measured by their round trip, then those that could not be by distance; who did not answer is left out."""

    def rank(peer: Peer) -> tuple[int, float, str]:
        taken = measured.get(peer.name)
        if taken is not None:
            return 0, taken, peer.name
        return (1, peer.distance, peer.name) if peer.distance is not None else (2, 0.0, peer.name)

    return sorted((peer for peer in peers if measured.get(peer.name, 0.0) is not None), key=rank)
