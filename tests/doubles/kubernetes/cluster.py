# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole double: its folder, its users, what every cluster has from the start, and the way of a request through it."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import signal
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import admission, certificates, crds, discovery, reviews
from .access import RESTRICTED, Access
from .controllers import Controllers
from .faults import Faults
from .http import Request, Response, Server
from .kept import Kept
from .kubelets import Kubelets
from .pods import Pods
from .resources import Resources
from .rest import Rest, target_of
from .start import furnish
from .statuses import ApiError, no_resource
from .store import Event, Store

Object = dict[str, Any]
_CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")


@dataclass(frozen=True)
class Options:
    """Those of the command line."""

    folder: Path
    address: str = "127.0.0.1"
    advertise: str = ""
    port: int = 0
    name: str = "double"
    version: str = "v1.36.0"
    sans: tuple[str, ...] = ()
    busybox: Path = Path("/bin/busybox")
    nodes: int = 1
    controllers: bool = True
    durable: bool = False
    tls: str = "TLSv1.2"


class Cluster:
    """One API server and what stands behind it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.folder = options.folder.resolve()
        self.store = Store()
        self.kept = Kept(self.folder, self.store, options.durable)
        self.registry = discovery.Registry()
        self.access = Access(self.store)
        self.context = admission.Context(self.store)
        self.resources = Resources(self.store, self.context)
        self.rest = Rest(self.registry, self.resources, self.access)
        self.faults = Faults()
        self.counts: collections.Counter[str] = collections.Counter()
        self.server = Server(self.handle)
        self.pods = Pods(self.folder, options.busybox, self.store, self.faults)
        self.context.pod_runs = self.pods.runs
        self.controllers = Controllers(self.resources, self.registry, self.pods, options.controllers, self.folder, self.access)
        self.rest.special.update({"pods/exec": self.pods.exec, "pods/log": self.pods.log, "pods/eviction": self.controllers.evict})
        self.rest.special["nodes/proxy"] = Kubelets(self.folder, self.resources).proxy
        self.rest.special.update(reviews.handlers(self.rest))
        self.store.listeners.append(self._heard)
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def _heard(self, storage: tuple[str, str], event: Event) -> None:
        if storage == _CRDS:
            spec = event.new.obj["spec"]
            made = [] if event.gone else crds.kinds(event.new.obj)
            group, plural = spec["group"], spec["names"]["plural"]
            for custom in tuple(self.store.objects((group, plural))) if event.gone else ():
                self.store.remove((group, plural), custom["metadata"].get("namespace", ""), custom["metadata"]["name"])
            self.registry.replace_custom(group, plural, made)

    async def start(self) -> None:
        """Everything is in place when ``ready`` is in the folder."""
        folder, options = self.folder, self.options
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "volumes").mkdir(exist_ok=True)
        advertised = options.advertise or ("127.0.0.1" if options.address in ("0.0.0.0", "::") else options.address)
        certificates.make(folder, options.name, [*options.sans, advertised])
        self._load()
        self.controllers.prepare()
        port = options.port or int(self._remembered("port", 0))
        await self.server.start(options.address, port, certificates.context(folder, options.tls))
        port = self.server.address[1]
        self.url = f"https://{advertised}:{port}"
        furnish(self.resources, self.registry, options.version, options.nodes, self.url)
        token = self._remembered("restricted", "") or self.access.issue(RESTRICTED)
        self.access.tokens[token] = (RESTRICTED, ("system:authenticated",))
        certificates.kubeconfig(folder, folder / "kubeconfig", options.name, self.url, "admin")
        certificates.kubeconfig(folder, folder / "kubeconfig-restricted", options.name, self.url, RESTRICTED, token)
        (folder / "own.json").write_text(json.dumps({"port": port, "restricted": token}))
        self.controllers.start()
        ready = folder / "ready.new"
        ready.write_text(json.dumps({"url": self.url, "port": port, "pid": os.getpid(), "name": options.name}))
        ready.rename(folder / "ready")

    def _remembered(self, name: str, default: Any) -> Any:
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.folder / "own.json").read_text()).get(name, default)
        return default

    def _load(self) -> None:
        self.kept.load()
        for obj in self.store.objects(_CRDS):
            self.registry.replace_custom(obj["spec"]["group"], obj["spec"]["names"]["plural"], crds.kinds(obj))

    async def stop(self) -> None:
        self.server.close()
        await self.controllers.stop()
        await self.pods.stop()
        self.kept.save()

    async def handle(self, request: Request) -> Response | None:
        """Every error becomes a Status; what is none of the API's is a 500 with its trace in the log."""
        try:
            response = await self._answer(request)
            if request.method not in ("GET", "HEAD"):
                await self.kept.settled()
            return response
        except ApiError as error:
            headers = {"Retry-After": "1"} if error.code in (429, 503) else {}
            return Response(error.status(), error.code, headers=headers)
        except (OSError, asyncio.IncompleteReadError):
            raise
        except Exception:
            traceback.print_exc()
            error = ApiError(500, "Internal error occurred: " + traceback.format_exc().strip().splitlines()[-1])
            return Response(error.status(), 500)

    async def _answer(self, request: Request) -> Response | None:
        self.access.identify(request)
        if request.path.startswith("/double/"):
            return self._double(request)
        if self.faults.slow:
            await asyncio.sleep(self.faults.slow)
        self.access.require_path(request)
        if request.path in ("/healthz", "/readyz", "/livez") or request.path.startswith(("/readyz/", "/livez/", "/healthz/")):
            return Response(b"ok", content_type="text/plain; charset=utf-8")
        if request.path == "/version":
            return Response(_version(self.options.version))
        found = discovery.answer(self.registry, request, self.url.removeprefix("https://"))
        if found:
            return found
        target = target_of(self.registry, request.path)
        verb = self.rest.verb(request, target)
        # An exec is a create, whichever way its stream is opened.
        asked = "create" if target.subresource in ("exec", "attach", "portforward") else verb
        self.access.require(request, asked, target.kind.group, target.resource, target.namespace, target.name)
        self.counts[f"{asked} {target.resource}"] += 1
        self.faults.check(request, target, verb)
        return await self.rest.answer(request, target, verb)

    def _double(self, request: Request) -> Response:
        """What tests ask of the double itself; only the administrator may."""
        if "system:masters" not in request.groups:
            raise no_resource()
        what = request.path.removeprefix("/double/")
        if what == "save":
            self.kept.save()
            return Response({})
        if what == "writers":
            return Response(self.pods.writers())
        if what == "requests":
            return Response(dict(self.counts))
        if what == "faults":
            return Response(self._fault(request.object()))
        raise no_resource()

    def _fault(self, fault: Object) -> Object:
        done: Object = {}
        if not fault:
            self.faults.clear()
            self.access.forbidden.clear()
            self.pods.refill()
        for name, value in fault.items():
            if name == "down":
                self._later(self._down(float(value)))
            elif name == "reject":
                self.faults.reject(value)
            elif name == "slow":
                self.faults.slow = value / 1000
            elif name == "evict":
                done["evicted"] = self.controllers.evict_all(value)
            elif name == "drop_exec_after":
                self.faults.exec_bytes = value
            elif name == "expire_continue":
                self.store.expire()
            elif name == "compact":
                self.store.compact()
            elif name == "forbid":
                self.access.forbidden.append(value)
            elif name == "disk_full":
                self.pods.fill(value)
            else:
                raise ApiError(400, f"no fault is called {name}")
        return done

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _down(self, seconds: float) -> None:
        """Nobody gets a connection for that long; the cluster behind goes on."""
        await asyncio.sleep(0.05)  # the answer to who asked for it
        port = self.server.address[1]
        self.server.close()
        await asyncio.sleep(seconds)
        await self.server.start(self.options.address, port, certificates.context(self.folder))


def _version(version: str) -> Object:
    major, minor = version.lstrip("v").split("+")[0].split(".")[:2]
    built = {"gitCommit": "0" * 40, "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26.0"}
    return {"major": major, "minor": minor, "gitVersion": version, **built, "compiler": "gc", "platform": "linux/amd64"}


async def serve(options: Options) -> None:
    """Until SIGTERM or SIGINT."""
    cluster = Cluster(options)
    await cluster.start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await cluster.stop()
