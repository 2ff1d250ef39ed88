# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One command in a container over a WebSocket: channels 0 stdin, 1 stdout, 2 stderr, 3 how it ended, 4 resize, 255 (v5) close."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence

from .faults import Faults
from .http import Request
from .statuses import ApiError
from .websocket import WebSocket

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 32 * 1024
_ROOM = 1024 * 1024


class Execution:
    """Cut when the fault ``drop_exec_after`` says so, counting the bytes of all channels both ways."""

    def __init__(
        self, request: Request, faults: Faults, command: Sequence[str], environment: Mapping[str, str], enter: Callable[[], None]
    ) -> None:
        self._request, self._faults = request, faults
        self._command, self._environment, self._enter = command, environment, enter
        self._carried = 0

    async def serve(self) -> None:
        """Errors of the upgrade are answers; what goes wrong later is told on channel 3."""
        request = self._request
        socket = WebSocket.accept(request, PROTOCOLS)
        wants = {name: request.flag(name) for name in ("stdin", "stdout", "stderr")}
        tty = request.flag("tty")
        # The first message of all tells the client that the streams are there.
        first = _STDOUT if wants["stdout"] else _STDERR if wants["stderr"] else _ERROR
        await socket.send(bytes([first]))
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=pipe if wants["stdin"] else nothing,
                stdout=pipe if wants["stdout"] else nothing,
                stderr=asyncio.subprocess.STDOUT if tty else pipe if wants["stderr"] else nothing,
                env=dict(self._environment),
                preexec_fn=self._enter,
                limit=_ROOM,
            )
        except (OSError, subprocess.SubprocessError) as error:
            why = f"failed to exec in container: exec: {json.dumps(self._command[0])}: {error}"
            status = ApiError(500, f"Internal error occurred: error executing command in container: {why}").status()
            await socket.send(bytes([_ERROR]) + json.dumps(status).encode())
            await socket.close()
            return
        await self._carry(socket, process)

    async def _carry(self, socket: WebSocket, process: asyncio.subprocess.Process) -> None:
        inward = asyncio.ensure_future(self._inward(socket, process))
        outward = [
            asyncio.ensure_future(self._outward(socket, channel, stream))
            for channel, stream in ((_STDOUT, process.stdout), (_STDERR, process.stderr))
            if stream is not None
        ]
        done = asyncio.ensure_future(self._ended(socket, process, outward))
        try:
            # The client may go first; the command then goes on until it misses its streams, as it does in a cluster.
            await asyncio.wait([inward, done], return_when=asyncio.FIRST_COMPLETED)
            if not done.done() and inward.result():
                await done
        finally:
            for task in (inward, done, *outward):
                task.cancel()
            await asyncio.gather(inward, done, *outward, return_exceptions=True)
            if process.stdin:
                process.stdin.close()
            transport = process._transport  # the only way to leave the pipes of a process that goes on
            for number in (1, 2):
                stream = transport.get_pipe_transport(number)
                if stream is not None:
                    stream.close()

    def _count(self, socket: WebSocket, size: int) -> None:
        self._carried += size
        if self._faults.exec_bytes is not None and self._carried > self._faults.exec_bytes:
            self._faults.exec_bytes = None
            socket.abort()
            raise ConnectionError("a fault of the test")

    async def _inward(self, socket: WebSocket, process: asyncio.subprocess.Process) -> bool:
        """Until the client leaves (False) or its messages need not be heard any more (True)."""
        while True:
            message = await socket.receive()
            if message is None:
                return False
            if not message:
                continue
            channel, data = message[0], message[1:]
            if channel == _STDIN and process.stdin:
                try:
                    self._count(socket, len(data))
                except ConnectionError:
                    return False
                with contextlib.suppress(OSError):
                    process.stdin.write(data)
                    await process.stdin.drain()
            elif channel == _CLOSE and socket.protocol.startswith("v5") and data[:1] == bytes([_STDIN]) and process.stdin:
                process.stdin.close()

    async def _outward(self, socket: WebSocket, channel: int, stream: asyncio.StreamReader) -> None:
        while True:
            data = await stream.read(_CHUNK)
            if not data:
                return
            self._count(socket, len(data))
            await socket.send(bytes([channel]) + data)

    async def _ended(self, socket: WebSocket, process: asyncio.subprocess.Process, outward: list[asyncio.Future[None]]) -> None:
        """The end is told when all output is told."""
        try:
            await asyncio.gather(*outward)
        except OSError:
            return
        code = await process.wait()
        status: dict[str, object] = {"metadata": {}, "status": "Success"}
        if code:
            code = code if code > 0 else 128 - code
            status.update(
                status="Failure",
                message=f"command terminated with non-zero exit code: exit status {code}",
                reason="NonZeroExitCode",
                details={"causes": [{"reason": "ExitCode", "message": str(code)}]},
            )
        await socket.send(bytes([_ERROR]) + json.dumps(status).encode())
        await socket.close()
