# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TCP handshakes, on the loopback interface only."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils import handshakes
from ansible_collections.virt8ra.federation.plugins.module_utils.latency import Target


class Listener:
    """Accepts connections, and notes what came on each of them until it was closed."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.received = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._socket.accept()
                with connection:
                    connection.settimeout(30)
                    self.received.append(connection.recv(1024))

    def ended(self, connections):
        """What was received, once so many connections were opened and closed."""
        for _try in range(3000):
            if len(self.received) >= connections:
                break
            threading.Event().wait(0.01)
        return self.received

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(30)


@pytest.fixture
def listener():
    one = Listener()
    yield one
    one.close()


@pytest.fixture
def closed_port():
    """A port of this machine where nobody listens, and nobody else can meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def measured(*targets, samples=3, timeout=1.0):
    pauses = []
    series = handshakes.measure(targets, samples, timeout, 0.25, pause=pauses.append)
    return series, pauses


def test_handshakes_are_timed_and_nothing_is_sent(listener):
    (one,), pauses = measured(Target("de-1", "127.0.0.1", listener.port))
    assert len(one.times) == 3
    assert all(0 < time < 1000 for time in one.times)
    assert one.faults == []
    assert pauses == [0.25, 0.25]
    assert listener.ended(3) == [b"", b"", b""]


def test_a_refusal_is_no_measurement_and_ends_the_series(listener, closed_port):
    (dead, alive), _pauses = measured(Target("x", "127.0.0.1", closed_port), Target("y", "127.0.0.1", listener.port), samples=5)
    assert (dead.times, dead.faults) == ([], ["Connection refused"] * 2)
    assert len(alive.times) == 5, "one that is dead does not end the others' series"


@pytest.mark.parametrize("address", ["no-such-host.invalid", "x" * 70])
def test_a_name_that_nobody_knows_is_told(address):
    (one,), _pauses = measured(Target("x", address))
    assert one.times == []
    assert len(one.faults) == 2


def test_what_is_not_answered_in_time_is_no_measurement(monkeypatch):
    waits = []

    class Silent(socket.socket):
        def settimeout(self, value):
            waits.append(value)

        def connect(self, _where):
            raise socket.timeout("timed out")

    monkeypatch.setattr(handshakes.socket, "socket", Silent)
    (one,), _pauses = measured(Target("x", "127.0.0.1", 9), timeout=0.5)
    assert (one.times, one.faults, waits) == ([], ["no answer within 0.5 s"] * 2, [0.5, 0.5])


def test_the_next_address_of_a_name_is_tried(monkeypatch, listener, closed_port):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in (closed_port, listener.port)]
    monkeypatch.setattr(handshakes.socket, "getaddrinfo", lambda *_arguments, **_more: found)
    assert handshakes.handshake("two.example", 1, 1.0) > 0


def test_one_that_answered_once_is_asked_to_the_end(monkeypatch):
    answers = iter([1.5, OSError("gone"), OSError("gone"), OSError("gone"), 2.5])

    def handshake(*_arguments):
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(handshakes, "handshake", handshake)
    (one,), _pauses = measured(Target("x", "192.0.2.1"), samples=5)
    assert (one.times, one.faults) == ([1.5, 2.5], ["gone"] * 3)
