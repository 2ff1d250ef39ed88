# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A TCP forwarder on loopback that makes a short line long: every byte is as late as on a line of that round trip.

``python forwarder.py MILLISECONDS HOST:PORT …`` prints one line of its own port numbers, one for each target, and runs until
it is ended. Bytes are delayed, not slowed: any number of them are under way at once, as on a real line.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

_CHUNK = 65536


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """From one end to the other, each chunk ``delay`` seconds after it came."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, chunk = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()

    delivery = asyncio.create_task(deliver())
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            on_the_way.put_nowait((loop.time() + delay, chunk))
    on_the_way.put_nowait((loop.time() + delay, b""))
    with contextlib.suppress(OSError):
        await delivery
    writer.close()


async def _serve(delay: float, targets: Sequence[tuple[str, int]]) -> None:
    servers = []
    for host, port in targets:

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = host, port: int = port) -> None:
            there, back = await asyncio.open_connection(host, port)
            await asyncio.gather(_carry(reader, back, delay), _carry(there, writer, delay))

        servers.append(await asyncio.start_server(connected, "127.0.0.1", 0))
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


@contextlib.contextmanager
def forwarded(round_trip: float, targets: Sequence[tuple[str, int]]) -> Iterator[list[int]]:
    """Local ports that lead to the targets over a line of ``round_trip`` seconds, for as long as the context lasts."""
    arguments = [f"{host}:{port}" for host, port in targets]
    command = [sys.executable, __file__, str(round_trip * 1000), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield [int(port) for port in process.stdout.readline().split()]
        finally:
            process.terminate()


def main(arguments: list[str]) -> None:
    targets = [(host, int(port)) for host, port in (argument.rsplit(":", 1) for argument in arguments[1:])]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(float(arguments[0]) / 2000, targets))


if __name__ == "__main__":
    main(sys.argv[1:])
