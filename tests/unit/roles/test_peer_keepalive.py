# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keepalive of migrations' streams, on a stream over loopback that another process opened."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "roles" / "kvm_host" / "files" / "peer_keepalive.py"
_spec = importlib.util.spec_from_file_location("peer_keepalive", SCRIPT)
peer_keepalive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(peer_keepalive)

LINE = "   0: 0B4DD50A:B17C 0C4DD50A:{port:04X} {state} 00000000:00000000 00:00000000 00000000   107        0 {inode} 1 0000000000000000"
# Opens a stream under the name that it is given, and tells its options when it is asked.
CHILD = """
import socket, sys
open("/proc/self/comm", "w").write(sys.argv[1])
stream = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
print("open", flush=True)
sys.stdin.readline()
options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
print(stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *[stream.getsockopt(socket.IPPROTO_TCP, one) for one in options])
"""


@pytest.mark.parametrize(
    ("port", "state", "found"),
    [(49152, "01", {"77"}), (49215, "01", {"77"}), (49216, "01", set()), (16514, "01", set()), (49152, "0A", set())],
)
def test_established_streams_of_the_ports_are_found(port, state, found):
    line = LINE.format(port=port, state=state, inode=77)
    assert peer_keepalive.streams([line], range(49152, 49216)) == found
    local, peer = line.split()[1:3]
    assert peer_keepalive.streams([line.replace(f"{local} {peer}", f"{peer} {local}")], range(49152, 49216)) == found


@pytest.fixture
def stream():
    """A process of the name that is asked for, with a stream to a port of ours; what it tells of the stream in the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        children = []

        def opened(name):
            argv = [sys.executable, "-c", CHILD, name, str(port)]
            child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            children.append(child)
            assert child.stdout.readline() == "open\n"
            return port, lambda: [int(word) for word in child.communicate("\n", timeout=60)[0].split()]

        yield opened
        for child in children:
            child.kill()
            child.communicate()


@pytest.mark.parametrize(("name", "kept"), [("qemu-system-x86", 1), ("kvm", 1), ("python3", 0)])
def test_qemus_streams_are_kept_alive_and_nobody_elses(stream, name, kept):
    port, told = stream(name)
    found = peer_keepalive.look(range(port, port + 1), 20, set())
    assert len(found) == kept
    assert peer_keepalive.look(range(port, port + 1), 20, found) == found, "once is enough"
    option, idle, between, probes = told()
    assert option == kept
    if kept:
        assert idle + between * probes == 20
    assert peer_keepalive.look(range(port, port + 1), 20, found) == set(), "what is closed is forgotten"
