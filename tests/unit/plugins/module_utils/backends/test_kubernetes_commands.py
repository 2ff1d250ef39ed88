# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""WebSocket frames, and the channels of a command over a pair of sockets."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.framing import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    Frames,
    framed,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.running import V4, V5, PodCommand
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, UnreachableError


def unmasked(frame: bytes) -> bytes:
    size, start = frame[1] & 0x7F, 2
    if size == 126:
        size, start = struct.unpack("!H", frame[2:4])[0], 4
    elif size == 127:
        size, start = struct.unpack("!Q", frame[2:10])[0], 10
    mask, data = frame[start : start + 4], frame[start + 4 :]
    assert len(data) == size and frame[1] & 0x80
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def served(payload: bytes, kind: int = BINARY, *, last: bool = True) -> bytes:
    """A frame as a server sends it."""
    size = len(payload)
    head = bytes([(0x80 if last else 0) | kind])
    if size < 126:
        return head + bytes([size]) + payload
    if size < 65536:
        return head + struct.pack("!BH", 126, size) + payload
    return head + struct.pack("!BQ", 127, size) + payload


def ended(code: int = 0) -> bytes:
    status: dict[str, object] = {"status": "Success"}
    if code:
        status = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}
    return served(b"\x03" + json.dumps(status).encode()) + served(b"\x03\xe8", CLOSE)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_001])
def test_a_frame_holds_its_payload(size: int) -> None:
    payload = os.urandom(size)
    assert unmasked(framed(payload)) == unmasked(framed(payload, sealed=True)) == payload
    assert list(Frames().feed(served(payload))) == [(BINARY, True, payload)]


def test_frames_come_in_any_pieces() -> None:
    stream = served(b"one") + served(b"", PING) + served(b"x" * 70_000)
    frames = Frames()
    found = [frame for start in range(0, len(stream), 997) for frame in frames.feed(stream[start : start + 997])]
    assert found == [(BINARY, True, b"one"), (PING, True, b""), (BINARY, True, b"x" * 70_000)]
    one_by_one = Frames()
    assert [frame for byte in stream[:40] for frame in one_by_one.feed(bytes([byte]))] == found[:2]


@pytest.mark.parametrize("frame", [b"\xc2\x00", b"\x82\x80\0\0\0\0", b"\x82\x7f" + b"\xff" * 8])
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(ValueError, match="a frame"):
        list(Frames().feed(frame))


@pytest.fixture
def line():
    ours, theirs = socket.socketpair()
    theirs.settimeout(20)
    with ours, theirs:
        yield ours, theirs


def test_channels_are_kept_apart(line) -> None:
    ours, theirs = line
    theirs.sendall(served(b"\x01out") + served(b"\x02err") + served(b"\x01put") + ended(7))
    command = PodCommand(ours, V5, "cat")
    assert command.receive() == b"output" and command.receive() == b""
    assert (command.end().exit_code, command.end().stderr) == (7, "err")


def test_a_message_in_fragments_is_of_the_channel_of_the_first(line) -> None:
    ours, theirs = line
    pieces = served(b"\x01a", last=False) + served(b"\x02b", CONTINUATION, last=False) + served(b"\x03c", CONTINUATION)
    theirs.sendall(pieces + ended())
    assert PodCommand(ours, V5, "cat").receive() == b"a\x02b\x03c"


def test_stdin_ends_where_the_protocol_can_tell(line) -> None:
    ours, theirs = line
    command = PodCommand(ours, V5, "cat")
    command.send(b"\0\xff")
    assert command.close_stdin()
    assert unmasked(theirs.recv(9)) == b"\0\0\xff" and unmasked(theirs.recv(8)) == b"\xff\0"
    assert not PodCommand(ours, V4, "cat").close_stdin()


def test_pings_are_answered(line) -> None:
    ours, theirs = line
    theirs.sendall(served(b"beat", PING) + served(b"\x01x"))
    command = PodCommand(ours, V5, "cat")
    assert command.receive() == b"x"
    command.send(b"y")
    pong, rest = theirs.recv(10), theirs.recv(8)
    assert pong[0] == 0x80 | PONG and unmasked(pong) == b"beat" and unmasked(rest) == b"\0y"


def test_neither_side_blocks_the_other(line) -> None:
    """A command that says as much as it hears, and hears nothing while nobody listens to it."""
    ours, theirs = line
    size, piece = 64 * 2**20, os.urandom(2**16)

    def echo() -> None:
        for _number in range(size // len(piece)):
            theirs.sendall(served(b"\x01" + piece))
            left = 2 + 8 + 4 + 1 + len(piece)  # a frame's head, its mask and its channel
            while left > 0:
                got = theirs.recv(left)
                if not got:
                    return
                left -= len(got)
        theirs.sendall(ended())

    server = threading.Thread(target=echo, daemon=True)
    server.start()
    command = PodCommand(ours, V5, "cat")
    for _number in range(size // len(piece)):
        command.send(piece)
    heard = 0
    while data := command.receive():
        heard += len(data)
    assert heard == size and command.end().exit_code == 0
    server.join(20)


def test_a_line_that_ends_first_is_lost(line) -> None:
    ours, theirs = line
    theirs.sendall(served(b"\x01half"))
    theirs.close()
    command = PodCommand(ours, V5, "tar in pod shop/web-0")
    assert command.receive() == b"half"
    with pytest.raises(UnreachableError, match="connection to tar in pod shop/web-0 was lost"):
        command.receive()
    with pytest.raises(UnreachableError, match="was lost"):
        command.send(b"more")


def test_what_a_command_said_before_it_left_is_heard(line) -> None:
    """The server hangs up while more is sent to it: the exit code is what counts."""
    ours, theirs = line
    theirs.sendall(served(b"\x02No space left on device") + ended(1))
    theirs.close()
    command = PodCommand(ours, V5, "tar")
    for _number in range(100):
        command.send(b"x" * 100_000)
    assert command.end().exit_code == 1


def test_a_command_that_cannot_start_says_why(line) -> None:
    ours, theirs = line
    theirs.sendall(served(b"\x03" + json.dumps({"status": "Failure", "message": "no such file: /x"}).encode()) + served(b"", CLOSE))
    with pytest.raises(BackendError, match="/x in pod p could not be run: no such file"):
        PodCommand(ours, V5, "/x in pod p").end()
