# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``k3s server``: what it prepares, what it serves on port 6443, and how it joins others."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import json
import os
import shutil
import socket
import ssl
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ..kubernetes.http import Request, Response
from ..kubernetes.http import Server as Http
from . import agent, etcd, log, pki, snapshots, supervisor, tokens, web
from .api import ADDRESS, MEMBER, Api, unavailable
from .audit import AuditLog
from .datastore import NoQuorum, Sqlite, State
from .kubelet import node_addresses, node_name
from .paths import KUBECONFIG, Layout, link, write
from .settings import Settings
from .version import COMMIT, VERSION

Object = dict[str, Any]
_PATIENCE = 7.0
_CRITICAL = ("cluster-cidr", "service-cidr", "cluster-dns", "cluster-domain", "flannel-backend", "egress-selector-mode")
_CRITICAL += ("disable-cloud-controller", "disable-kube-proxy", "disable-network-policy", "disable-helm-controller")
_CRITICAL += ("secrets-encryption", "embedded-registry", "flannel-ipv6-masq", "flannel-external-ip")


class Server:
    """One server, from its settings to its end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.layout = Layout(settings.one("data-dir"))
        self.node, self.address = node_name(settings), node_addresses(settings)[0]
        self.port = int(settings.one("https-listen-port", "6443"))
        self.url = f"https://127.0.0.1:{self.port}"
        self.datastore: Any = None
        self.api: Api | None = None
        self.supervisor = supervisor.Supervisor(self)
        self._http = Http(self.handle)
        self._password = ""
        self._watches: set[Any] = set()
        arguments = dict(argument.partition("=")[::2] for argument in settings.whole("kube-apiserver-arg"))
        self._audit = AuditLog(arguments.get("audit-log-path", ""))

    # Before anything listens.

    def given_token(self) -> str:
        """The password that the settings, or the file of an earlier start, name; empty for none."""
        token = self.settings.one("token")
        if self.settings.one("token-file"):
            token = Path(self.settings.one("token-file")).read_text(encoding="utf-8").strip()
        if not token and self.layout.token.exists():
            token = self.layout.token.read_text(encoding="utf-8").strip()
        try:
            return tokens.parse(token)[2] if token else ""
        except tokens.TokenError as error:
            return log.fatal(f"starting kubernetes: preparing server: failed to normalize server token: {error}")

    def prepare(self) -> None:
        """Database, authorities, certificates, passwords; the end of the process where k3s would end."""
        layout, joins = self.layout, self.settings.one("server")
        self._password = self.given_token()
        if (layout.etcd / "tombstone").exists():
            log.info("tombstone file has been detected, removing data dir to rejoin the cluster")
            layout.etcd.rename(layout.database / f"etcd-old-{int(time.time())}")
        known = etcd.initialised(layout.etcd)
        wanted = known or bool(joins) or self.settings.on("cluster-init")
        self._check_arguments()
        if wanted:
            fresh = not known
            self.datastore = etcd.Etcd(layout.etcd, etcd.named(layout.etcd, self.node), self.address)
            self._prepare_etcd(joins if fresh else "", fresh)
        else:
            self.datastore = Sqlite(layout.sqlite)
            self.datastore.load()
        self._open_bootstrap(self.datastore.state)
        self._password = self._password or tokens.made()
        pki.make_authorities(layout)
        self._check_token()
        agents = self.settings.one("agent-token") or self._read(self.settings.one("agent-token-file"))
        supervisor.write_passwords(layout, self._password, tokens.parse(agents)[2] if agents else self._password)
        if self.settings.on("secrets-encryption") and not layout.encryption.exists():
            write(layout.encryption, json.dumps(supervisor.new_encryption()))
        pki.make_leaves(layout, self._names())
        self.write_tokens()
        self.datastore.leading = self._leading

    @staticmethod
    def _read(path: str) -> str:
        return Path(path).read_text(encoding="utf-8").strip() if path else ""

    def _prepare_etcd(self, joins: str, fresh: bool) -> None:
        if joins:
            self._bootstrap_from(joins)
        elif not fresh:
            log.info("Managed etcd cluster bootstrap already complete and initialized")
            self.datastore.load()
        else:
            log.info("Managed etcd cluster initializing")
            if self.layout.sqlite.exists():
                old = Sqlite(self.layout.sqlite)
                old.load()
                self.datastore.state.update(old.state)
                self.layout.sqlite.rename(self.layout.sqlite.with_name("state.db.migrated"))
            self.datastore.create()

    def _bootstrap_from(self, joins: str) -> None:
        if not self._password:
            log.fatal("starting kubernetes: preparing server: K3S_TOKEN is required to join a cluster")
        token = self.settings.one("token") or self._read(self.settings.one("token-file")) or self._password
        try:
            self._joined = web.Supervisor(joins, token, "server", self.layout.server / "tls" / "joined-ca.crt")
            files = json.loads(self._joined.get("/v1-k3s/server-bootstrap"))
            theirs = json.loads(self._joined.get("/v1-k3s/config"))
        except tokens.TokenError as error:
            log.fatal(f"starting kubernetes: preparing server: failed to validate token: {error}")
        except web.WebError as error:
            log.fatal(f"starting kubernetes: preparing server: failed to bootstrap cluster data: {error}")
        different = [name for name, value in self.critical().items() if theirs.get(name) != value]
        if different:
            log.error(f"critical configuration mismatched: {different}")
            log.fatal("failed to validate server configuration: critical configuration value mismatch between servers")
        supervisor.write_bootstrap(self.layout, files)

    def _open_bootstrap(self, state: State) -> None:
        if not state["bootstrap"]:
            return
        try:
            files = snapshots.opened(state, self._password)
        except tokens.TokenError as error:
            log.fatal(f"starting kubernetes: preparing server: {error}")
        supervisor.write_bootstrap(self.layout, files)

    def _check_token(self) -> None:
        """A full token is of this cluster, or the start ends."""
        token = self.settings.one("token") or self._read(self.settings.one("token-file"))
        try:
            if token:
                tokens.check(token, (self.layout.tls / "server-ca.crt").read_bytes())
        except tokens.TokenError as error:
            log.fatal(f"starting kubernetes: preparing server: failed to validate token: {error}")

    def _check_arguments(self) -> None:
        """Files that the API server is pointed to have to be there."""
        for argument in self.settings.whole("kube-apiserver-arg"):
            name, _equals, value = argument.partition("=")
            if name in ("audit-policy-file", "admission-control-config-file", "encryption-provider-config"):
                if not Path(value).is_file():
                    log.fatal(f"apiserver exited: loading {name}: open {value}: no such file or directory")
            elif name == "audit-log-path":
                Path(value).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                Path(value).touch(0o600)

    def _names(self) -> list[str]:
        domain = self.settings.one("cluster-domain", "cluster.local")
        service = ipaddress.ip_network((self.settings.many("service-cidr") or ["10.43.0.0/16"])[0])[1]
        names = [*self.settings.many("tls-san"), "127.0.0.1", "::1", "localhost", self.node, *node_addresses(self.settings)]
        names += [str(service), "kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{domain}"]
        names += [name for name in (self.settings.one("advertise-address"), *self.settings.many("node-external-ip")) if name]
        return names

    def write_tokens(self) -> None:
        """``token`` and ``agent-token`` in full; ``node-token`` is a link, and so is agent-token when it is no other."""
        layout = self.layout
        known = supervisor.read_passwords(layout)
        authority = (layout.tls / "server-ca.crt").read_bytes()
        self._password = known["server"]
        write(layout.token, tokens.full("server", known["server"], authority) + "\n")
        link(layout.server / "node-token", layout.token)
        agents = layout.server / "agent-token"
        if known["node"] == known["server"]:
            link(agents, layout.token)
        else:
            agents.unlink(missing_ok=True)
            write(agents, tokens.full("node", known["node"], authority) + "\n")

    def critical(self) -> Object:
        """What has to be the same on every server."""
        told: Object = {name: self.settings.many(name) for name in _CRITICAL}
        told["disable"] = sorted(set(self.settings.many("disable")) & {"servicelb"})
        return told

    # While it runs.

    def _leading(self, leads: bool) -> None:
        old, self.api = self.api, None
        if old:
            asyncio.get_running_loop().create_task(old.stop())
            for writer in tuple(self._watches):
                writer.transport.abort()
        if leads:
            grace = next(
                (
                    float(argument.split("=")[1].rstrip("s"))
                    for argument in self.settings.whole("kube-controller-manager-arg")
                    if argument.startswith("node-monitor-grace-period=")
                ),
                40.0,
            )
            folder, authority = self.layout.server / "standin", (self.layout.tls / "server-ca.crt").read_bytes()
            try:
                self.api = Api(self.datastore, folder, authority, f"https://{self.address}:{self.port}", grace)
                self.api.start()
            except Exception:
                # Nobody waits for this, and a server whose API cannot start is none.
                log.error(traceback.format_exc())
                os._exit(1)

    async def keep_bootstrap(self) -> None:
        """What a new server needs, in the datastore, sealed with the token."""
        await self.datastore.propose({"bootstrap": tokens.seal(self._password, supervisor.bootstrap_files(self.layout))})

    async def join_member(self, asked: Object) -> Object:
        if self.datastore.kind != "etcd":
            raise supervisor.Refused("etcd disabled")
        leader = self.datastore.leader()
        if leader:
            answer = await self.datastore.link(leader).ask({"do": "join", **asked}, 10) or {"error": "etcdserver: no leader"}
        else:
            answer = await self.datastore.join(asked)
        if "error" in answer or "joined" not in answer:
            raise supervisor.Refused(answer.get("error", "etcdserver: no leader"), 503)
        return dict(answer)

    async def _call(self, method: str, path: str, body: Object) -> None:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        context = pki.trusting(self.layout.tls / "server-ca.crt", self.layout.tls / "client-admin.crt")
        sent = json.dumps(body).encode()
        await asyncio.to_thread(web.call, self.url + path, context, method=method, body=sent, headers={"Content-Type": kind})

    async def create(self, path: str, obj: Object) -> None:
        """Also where another one made it first."""
        try:
            await self._call("POST", path, obj)
        except web.WebError as error:
            if error.code != 409:
                raise supervisor.Refused(str(error), 503) from None

    async def annotate(self, annotations: dict[str, str]) -> None:
        try:
            await self._call("PATCH", f"/api/v1/nodes/{self.node}", {"metadata": {"annotations": annotations}})
        except web.WebError as error:
            raise supervisor.Refused(str(error), 503) from None

    def _identify(self, request: Request) -> str:
        """The password's user, when there is one; the certificate's is noted in the request."""
        scheme, _space, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            with contextlib.suppress(ValueError):
                user, _colon, password = base64.b64decode(given).decode().partition(":")
                known = supervisor.read_passwords(self.layout)
                # The server's password is good for what a node may ask as well.
                if password and password in (known.get(user), known["server"]):
                    return user
            return ""
        certificate = request.writer.get_extra_info("ssl_object").getpeercert() or {}
        subject = [pair for part in certificate.get("subject", ()) for pair in part]
        names = [value for key, value in subject if key == "commonName"]
        if names == ["system:auth-proxy"]:
            request.user = request.headers["x-remote-user"]
            request.groups = tuple(request.headers["x-remote-group"].split(","))
        elif names:
            organisations = [value for key, value in subject if key == "organizationName"]
            # A node may here what an administrator may.
            masters = ("system:masters",) if "system:nodes" in organisations else ()
            request.user, request.groups = names[0], (*organisations, *masters, "system:authenticated")
        elif scheme.lower() == "bearer" and self.api:
            request.user, request.groups = self.api.cluster.access.tokens.get(given, (request.user, request.groups))
        return ""

    async def handle(self, request: Request) -> Response | None:
        """Port 6443: the supervisor's paths, and the API's, here or where the leader is."""
        early = await self._unlike_the_api(request)
        if early:
            return early
        self._audit.note(request)
        if self.api is None:
            return await self._forward(request)
        if request.flag("watch"):
            self._watches.add(request.writer)
        try:
            return await self.api.handle(request)
        finally:
            self._watches.discard(request.writer)

    async def _unlike_the_api(self, request: Request) -> Response | None:
        """The answer to what no API server is asked, to strangers, and while nobody leads."""
        answer: Response | None = None
        user = self._identify(request)
        bearer = request.headers.get("authorization", "").lower().startswith("bearer ")
        if request.path == "/ping":
            answer = Response(b"pong", content_type="text/plain")
        elif request.path == "/cacerts":
            answer = Response((self.layout.tls / "server-ca.crt").read_bytes(), content_type="text/plain")
        elif request.path.startswith("/v1-k3s/"):
            answer = await self.supervisor.answer(request, user) if user else _refused()
        elif request.user == "system:anonymous" and not bearer:
            answer = _refused()
        elif request.path.split("/")[1] in ("readyz", "livez", "healthz") and not self.datastore.available():
            body = b"[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n"
            answer = Response(body, 500, "text/plain; charset=utf-8")
        elif not await self._led():
            answer = unavailable()
        return answer

    async def _led(self) -> bool:
        """As long as etcd's clients wait for a leader."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if self.datastore.available() and (self.api or self.datastore.leader()):
                return True
            await asyncio.sleep(0.1)
        return False

    async def _to_leader(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A leader that is gone may still be taken for one, for as long as it takes to miss it."""
        context = pki.trusting(self.layout.tls / "server-ca.crt", self.layout.tls / "client-auth-proxy.crt")
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and not self.api:
            with contextlib.suppress(OSError):
                if self.datastore.leader():
                    return await asyncio.open_connection(self.datastore.leader(), self.port, ssl=context)
            await asyncio.sleep(0.2)
        return None

    async def _forward(self, request: Request) -> Response | None:
        """The request to the leader, its answer to who asked, and then the connection's end."""
        streams = await self._to_leader()
        if streams is None:
            # It leads itself by now, or nobody does.
            return await self.api.handle(request) if self.api else unavailable()
        reader, writer = streams
        dropped = ("connection", "authorization", "transfer-encoding", "content-length", "expect")
        headers = {name: value for name, value in request.headers.items() if name not in dropped}
        headers.update({"x-remote-user": request.user, "x-remote-group": ",".join(request.groups), "connection": "close"})
        if "authorization" in request.headers:
            headers["authorization"] = request.headers["authorization"]
        headers["content-length"] = str(len(request.body))
        target = request.path + ("?" + _query(request) if request.query else "")
        lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + request.body)
        try:
            await writer.drain()
            while data := await reader.read(65536):
                request.writer.write(data)
                await request.writer.drain()
        finally:
            writer.close()
        return None

    async def run(self) -> None:
        """Until it is told to end."""
        ended = asyncio.create_task(agent.until_ended())
        work = asyncio.create_task(self._run())
        await asyncio.wait({ended, work}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        work.cancel()
        self._http.close()
        await self.datastore.stop()
        agent.leave()

    async def _run(self) -> None:
        await self._http.start(self.settings.one("bind-address", "0.0.0.0"), self.port, pki.serving(self.layout))
        if self.datastore.kind == "etcd":
            await self.datastore.start(
                pki.peer(self.layout, ssl.Purpose.CLIENT_AUTH), pki.peer(self.layout, ssl.Purpose.SERVER_AUTH)
            )
            if not self.datastore.state["members"]:
                await self._join()
        else:
            await self.datastore.start()
        local = agent.Agent(self.settings, self.layout, self.url, self._password, "server")
        joining = asyncio.create_task(local.join())
        while not await self._led():
            log.info("Waiting for API server to become available")
        if not self.datastore.state["bootstrap"]:
            await self._insist(self.keep_bootstrap)
        self._after_start()
        await joining
        await self._node_extras(local)
        log.info("k3s is up and running")
        agent.notify("READY=1")
        await local.live()

    async def _insist(self, work: Callable[[], Any]) -> None:
        while True:
            with contextlib.suppress(NoQuorum):
                await work()
                return
            await asyncio.sleep(1)

    async def _join(self) -> None:
        log.info(f"Adding member {self.datastore.name}=https://{self.address}:{etcd.PORT} to etcd cluster")
        for _attempt in range(30):
            try:
                asked = json.dumps({"member": self.datastore.member(learner=True)}).encode()
                await asyncio.to_thread(self._joined.get, "/v1-k3s/db/join", asked)
                return
            except web.WebError as error:
                if "duplicate node name" in str(error):
                    (self.layout.etcd / "name").unlink(missing_ok=True)
                    log.fatal(f"ETCD join failed: {error}")
                log.info(f"Waiting for other members to finish joining etcd cluster: {error}")
            await asyncio.sleep(1)
        log.fatal("ETCD join failed: etcdserver: request timed out")

    async def _node_extras(self, local: agent.Agent) -> None:
        old = int(VERSION.split(".")[1]) < 34
        local.kubelet.labels = {"node-role.kubernetes.io/control-plane": "true"}
        if self.datastore.kind == "etcd":
            local.kubelet.labels["node-role.kubernetes.io/etcd"] = "true"
            local.kubelet.annotations = {MEMBER: self.datastore.name, ADDRESS: self.address}
        if old:
            local.kubelet.labels["node-role.kubernetes.io/master"] = "true"
        encryption = self.supervisor.encryption()
        if encryption:
            local.kubelet.annotations[supervisor.HASH] = supervisor.encryption_hash(encryption)

    def _after_start(self) -> None:
        """The administrator's kubeconfig, and the manifests that k3s applies itself."""
        layout = self.layout
        layout.reset_flag.unlink(missing_ok=True)
        path = Path(self.settings.one("write-kubeconfig") or KUBECONFIG)
        mode = int(self.settings.one("write-kubeconfig-mode", "600"), 8)
        write(path, kubeconfig(layout, self.url), mode)
        group = self.settings.one("write-kubeconfig-group")
        if group:
            shutil.chown(path, group=group)
        write(layout.credentials / "admin.kubeconfig", kubeconfig(layout, self.url))
        for name in ("ccm", "coredns", "local-storage", "rolebindings", "runtimes", "traefik"):
            if name not in self.settings.many("disable"):
                write(layout.server / "manifests" / f"{name}.yaml", "# made by a stand-in, applied by nobody\n")


def _query(request: Request) -> str:
    return urlencode(request.query, doseq=True)


def _refused() -> Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
    }
    return Response({**body, "code": 401}, 401)


def kubeconfig(layout: Layout, url: str) -> str:
    def embedded(name: str) -> str:
        return base64.b64encode((layout.tls / name).read_bytes()).decode()

    return f"""apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {embedded("server-ca.crt")}
    server: {url}
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {{}}
users:
- name: default
  user:
    client-certificate-data: {embedded("client-admin.crt")}
    client-key-data: {embedded("client-admin.key")}
"""


def _reset(server: Server) -> None:
    """``--cluster-reset``: this server alone, with its own data or with a snapshot's; k3s itself must not run."""
    layout, settings = server.layout, server.settings
    if layout.reset_flag.exists():
        log.fatal(
            "starting kubernetes: preparing server: start managed database: cluster-reset was successfully performed, please "
            "remove the cluster-reset flag and start k3s normally, if you need to perform another cluster reset, you must first "
            f"manually delete the {layout.reset_flag} file"
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", server.port))
        except OSError:
            log.fatal(f"starting kubernetes: preparing server: listen tcp :{server.port}: bind: address already in use")
    path = settings.one("cluster-reset-restore-path")
    try:
        if not path and not etcd.initialised(layout.etcd):
            log.fatal("starting kubernetes: preparing server: etcd database not found, cannot reset")
        state = snapshots.read(Path(path)) if path else etcd.saved(layout.etcd)["state"]
        files = snapshots.opened(state, server.given_token())
    except snapshots.SnapshotError as error:
        log.fatal(f"starting kubernetes: preparing server: start managed database: {error}")
    except tokens.TokenError as error:
        log.fatal(f"starting kubernetes: preparing server: failed to bootstrap cluster data: {error}")
    supervisor.write_bootstrap(layout, files)
    write(layout.token, tokens.full("server", server.given_token(), (layout.tls / "server-ca.crt").read_bytes()) + "\n")
    snapshots.reset(layout, state, server.node, server.address)


async def run(settings: Settings) -> None:
    log.info(f"Starting k3s {VERSION} ({COMMIT})")
    if settings.one("cluster-reset-restore-path") and not settings.on("cluster-reset"):
        log.fatal("Error: invalid flag use; --cluster-reset required with --cluster-reset-restore-path")
    server = Server(settings)
    if settings.one("cluster-reset") and settings.on("cluster-reset"):
        _reset(server)
        return
    await agent.start_faults()
    server.prepare()
    await server.run()
