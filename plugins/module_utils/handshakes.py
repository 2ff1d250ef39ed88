# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TCP handshakes, and how long they take. Nothing is sent on a connection: it is opened and closed."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Callable

from .latency import Target

_GIVE_UP = 2  # samples without an answer, before there was one


@dataclass
class Series:
    """What came of the samples of one target: milliseconds of those that were answered, sentences of those that were not."""

    target: Target
    times: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def hopeless(self) -> bool:
        return not self.times and len(self.faults) >= _GIVE_UP


def measure(
    targets: Sequence[Target], samples: int, timeout: float, interval: float, *, pause: Callable[[float], None] = time.sleep
) -> list[Series]:
    """One handshake with each target, then again, until each was tried ``samples`` times; one at a time, so that none waits for another.

    A refusal and a time-out are no measurements. A target is given up after two samples without an answer.

    :param timeout: seconds until a handshake counts as failed
    :param interval: seconds between two rounds
    """
    series = [Series(target) for target in targets]
    for number in range(samples):
        if number:
            pause(interval)
        for one in series:
            if not one.hopeless:
                _sample(one, timeout)
    return series


def _sample(one: Series, timeout: float) -> None:
    try:
        one.times.append(handshake(one.target.address, one.target.port, timeout))
    except socket.timeout:
        one.faults.append(f"no answer within {timeout:g} s")
    except (OSError, UnicodeError) as error:
        one.faults.append(getattr(error, "strerror", None) or str(error))


def handshake(address: str, port: int, timeout: float) -> float:
    """Milliseconds from the first packet to the answer to it, at the first of the name's addresses that answers.

    :raises OSError: what the last address had against it; socket.timeout where it did not answer in time
    """
    fault: OSError | None = None
    for family, kind, protocol, _name, where in socket.getaddrinfo(address, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(timeout)
            begun = time.perf_counter()
            try:
                connection.connect(where)
            except OSError as error:
                fault = error
            else:
                return (time.perf_counter() - begun) * 1000
    raise fault or OSError(f"{address} has no address")
