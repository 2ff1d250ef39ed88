# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``k3s agent``, and the agent that every server runs beside itself: it joins, asks for certificates, and plays the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from . import faults, log, pki, web
from .kubelet import BEAT, Kubelet, node_addresses, node_name
from .paths import NODE_PASSWORD, Layout, write
from .settings import Settings
from .tokens import TokenError
from .version import COMMIT, VERSION


def notify(text: str) -> None:
    """What systemd waits for, where it started us."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect("\0" + address[1:] if address.startswith("@") else address)
            out.sendall(text.encode())


async def until_ended() -> None:
    """SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()


def leave() -> None:
    """The end, without waiting for a request that is under way in a thread."""
    sys.stderr.flush()
    os._exit(0)


async def start_faults() -> None:
    """What a node that is told to fail does instead of starting."""
    if faults.told("exit"):
        log.fatal("starting kubernetes: this stand-in was told to fail")
    if faults.told("hang"):
        log.error("this stand-in was told to hang")
        await until_ended()
        raise SystemExit(0)


def node_password() -> str:
    if not NODE_PASSWORD.exists():
        write(NODE_PASSWORD, secrets.token_hex(16))
    return NODE_PASSWORD.read_text(encoding="utf-8").strip()


class Balancer:
    """A port on loopback that reaches any server that answers; the servers are kept on disk."""

    def __init__(self, layout: Layout, first: str, port: int) -> None:
        self._file = layout.agent / "etc" / "k3s-agent-load-balancer.json"
        self._port = port
        self.servers = [urlsplit(first).netloc or first]
        with contextlib.suppress(OSError, ValueError):
            self.servers += json.loads(self._file.read_text(encoding="utf-8"))["ServerAddresses"]
        self._pipes: set[asyncio.Task[None]] = set()

    def learn(self, servers: list[str]) -> None:
        if servers and servers != self.servers[1:]:
            self.servers = [self.servers[0], *servers]
            kept = {"ServerURL": f"https://{self.servers[0]}", "ServerAddresses": servers}
            write(self._file, json.dumps(kept))

    async def start(self) -> None:
        await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for address in dict.fromkeys(self.servers):
            host, _colon, port = address.rpartition(":")
            try:
                far_reader, far_writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), 2)
            except (OSError, asyncio.TimeoutError):
                continue
            await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
            return
        writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while True:
            data = await reader.read(65536)
            if not data:
                break
            writer.write(data)
            await writer.drain()
    writer.close()


class Agent:
    """``server``: where to join; ``port`` of the balancer, or 0 on a server, which is its own."""

    def __init__(self, settings: Settings, layout: Layout, server: str, token: str, kind: str) -> None:
        self._settings, self._layout, self._token = settings, layout, token
        port = int(settings.one("lb-server-port", "6444"))
        self._balancer = Balancer(layout, server, port)
        self._url = f"https://127.0.0.1:{port}"
        self._first = server
        self.kubelet = Kubelet(settings, layout, self._url, kind)
        self._supervisor: web.Supervisor | None = None

    async def join(self) -> None:
        """Until it succeeds, as k3s does: a wrong token is said every few seconds, and ends nothing."""
        await self._balancer.start()
        while True:
            try:
                self._supervisor = await asyncio.to_thread(
                    web.Supervisor, self._url, self._token, "node", self._layout.agent / "server-ca.crt"
                )
                break
            except (TokenError, web.WebError) as error:
                log.error(f"Failed to validate connection to cluster at {self._first}: {error}")
            await asyncio.sleep(2)
        while True:
            try:
                await asyncio.to_thread(self._certificates, self._supervisor)
                break
            except web.WebError as error:
                log.info(f"Waiting to retrieve agent configuration; server is not ready: {error}")
            await asyncio.sleep(2)

    def _certificates(self, supervisor: web.Supervisor) -> None:
        headers = {"k3s_Node_Name": node_name(self._settings), "k3s_Node_Password": node_password()}
        headers["k3s_Node_IP"] = ",".join(node_addresses(self._settings))
        for name in ("client-kubelet", "serving-kubelet"):
            path = self._layout.agent / f"{name}.crt"
            request = pki.request(path.with_suffix(".key"), f"/CN={name}")
            write(path, supervisor.get(f"/v1-k3s/{name}.crt", request, **headers).decode(), 0o644)
        for name in ("client-ca", "server-ca"):
            write(self._layout.agent / f"{name}.crt", supervisor.get(f"/v1-k3s/{name}.crt").decode(), 0o644)
        supervisor.get("/v1-k3s/config")
        self._traces()

    def _traces(self) -> None:
        etc = self._layout.agent / "etc" / "containerd"
        write(etc / "config.toml", "# made by a stand-in\n")
        if (registries := Path(self._settings.one("private-registry", "/etc/rancher/k3s/registries.yaml"))).exists():
            write(etc / "certs.d" / "registries", registries.read_text(encoding="utf-8"))
        (self._layout.agent / "images").mkdir(parents=True, exist_ok=True)
        self.kubelet.leave_traces()

    async def live(self) -> None:
        """The node's heartbeats, and which servers there are."""
        while True:
            try:
                await asyncio.to_thread(self.kubelet.register)
                break
            except web.WebError as error:
                log.error(f"Unable to register node with API server: {error}")
            await asyncio.sleep(1)
        while True:
            try:
                await asyncio.to_thread(self.kubelet.beat)
                if self._supervisor:
                    told = await asyncio.to_thread(self._supervisor.get, "/v1-k3s/apiservers")
                    self._balancer.learn(json.loads(told))
            except web.WebError as error:
                log.error(f"Unable to update node status: {error}")
            await asyncio.sleep(BEAT)


async def run(settings: Settings) -> None:
    log.info(f"Starting k3s agent {VERSION} ({COMMIT})")
    await start_faults()
    server = settings.one("server")
    token = settings.one("token") or (Path(settings.one("token-file")).read_text().strip() if settings.one("token-file") else "")
    if not token:
        log.fatal("Error: --token is required")
    if not server:
        log.fatal("Error: --server is required")
    agent = Agent(settings, Layout(settings.one("data-dir")), server, token, "agent")
    ended = asyncio.create_task(until_ended())
    joining = asyncio.create_task(agent.join())
    await asyncio.wait({ended, joining}, return_when=asyncio.FIRST_COMPLETED)
    if not joining.done():
        leave()
    joining.result()
    living = asyncio.create_task(agent.live())
    log.info("k3s agent is up and running")
    notify("READY=1")
    await ended
    living.cancel()
    leave()
