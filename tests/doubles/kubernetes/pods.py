# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The containers that really run: their first processes, their logs, what is executed in them, and volumes that are full."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from . import containers, sandbox
from .execution import Execution
from .faults import Faults
from .http import Request, Response
from .statuses import ApiError, not_found
from .store import Store

Object = dict[str, Any]
Key = tuple[str, str]  # of a container: uid of the pod, name


class Pods:
    """``live``: uids of the pods that the node has started, whether a process stands behind them or not."""

    def __init__(self, folder: Path, busybox: Path, store: Store, faults: Faults) -> None:
        self._folder, self._busybox = folder, busybox
        self._store, self._faults = store, faults
        self.live: set[str] = set()
        self._processes: dict[Key, asyncio.subprocess.Process] = {}
        # Volumes that were full when it was killed still are.
        aside = folder / "aside"
        full = aside.iterdir() if aside.is_dir() else ()
        self._full = {each.name: each for each in full if os.path.ismount(folder / "volumes" / each.name)}

    def runs(self, pod: Object) -> bool:
        return pod["metadata"]["uid"] in self.live

    def _home(self, uid: str) -> Path:
        return self._folder / "pods" / uid

    def image(self, name: str) -> Path:
        plain = name.endswith("-plain") or name.split("@")[0].split(":")[0].endswith("-plain")
        folder = self._folder / "images" / ("plain" if plain else "full")
        folder.parent.mkdir(exist_ok=True)
        sandbox.build_root(folder, self._busybox, extended_attributes=not plain)
        return folder

    async def started(self, pod: Object, container: Object) -> asyncio.subprocess.Process:
        """The first process of a container, which is started when there is none yet."""
        metadata = pod["metadata"]
        key = (metadata["uid"], container["name"])
        if key in self._processes:
            return self._processes[key]
        home = self._home(metadata["uid"])
        root = home / container["name"]
        mounts = containers.mounts(container, containers.sources(self._store, pod, home, self._folder / "volumes"))
        sandbox.prepare(root, mounts)
        (root / "etc" / "hostname").write_text(metadata["name"] + "\n")
        enter = sandbox.first_process(
            *(root, self.image(container["image"]), mounts, containers.identity(pod, container)),
            *(container.get("workingDir") or "/", home / f"{container['name']}.pid"),
        )
        with (home / f"{container['name']}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *containers.command(container),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=sandbox.environment(containers.env(self._store, pod, container), metadata["name"]),
                preexec_fn=enter,
            )
        self._processes[key] = process
        return process

    def _first(self, key: Key) -> int:
        """The PID, as this machine sees it, of a container's first process."""
        return int((self._home(key[0]) / f"{key[1]}.pid").read_text())

    def ended(self, uid: str, name: str) -> int | None:
        """The exit code of a container that has ended; None while it runs, or when nothing real runs."""
        process = self._processes.get((uid, name))
        return process.returncode if process else None

    def signal(self, uid: str, number: signal.Signals) -> bool:
        """To the first process of each of its containers; whether any runs."""
        found = False
        for key, process in self._processes.items():
            if key[0] == uid and process.returncode is None:
                found = True
                with contextlib.suppress(OSError, ValueError):
                    os.kill(self._first(key), number)
        return found

    def has(self, uid: str, name: str) -> bool:
        return (uid, name) in self._processes

    async def ended_all(self, uid: str) -> None:
        """The processes of a pod end, and it may start them anew; its folder stays, with its logs."""
        self.signal(uid, signal.SIGKILL)
        for key in [key for key in self._processes if key[0] == uid]:
            await self._processes.pop(key).wait()

    async def remove(self, uid: str) -> None:
        """All its processes end, and its folder goes."""
        self.live.discard(uid)
        await self.ended_all(uid)
        containers.clear(self._home(uid))

    async def stop(self) -> None:
        for uid in {key[0] for key in self._processes}:
            await self.remove(uid)
        self.refill()

    def _running(self, namespace: str, name: str) -> Object:
        found = self._store.get(("", "pods"), namespace, name)
        if found is None:
            raise not_found(name, "", "pods")
        pod = found.obj
        if not pod["spec"].get("nodeName"):
            raise ApiError(400, f"pod {name} does not have a host assigned")
        return pod

    async def exec(self, request: Request, target: Any) -> Response | None:
        pod = self._running(target.namespace, target.name)
        container = containers.the_one(pod, request.first("container"))
        phase = (pod.get("status") or {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            raise ApiError(500, f"cannot exec into a container in a completed pod; current phase is {phase}")
        if phase != "Running" or not self.runs(pod):
            raise ApiError(500, f'unable to upgrade connection: container not found ("{container["name"]}")')
        command = request.query.get("command", [])
        if not command:
            raise ApiError(400, "you must specify at least 1 command for the container")
        try:
            await self.started(pod, container)
        except (OSError, subprocess.SubprocessError) as error:
            raise ApiError(500, f"this machine does not let the double make a container: {error}") from None
        uid = pod["metadata"]["uid"]
        enter = sandbox.another_process(
            self._first((uid, container["name"])), containers.identity(pod, container), container.get("workingDir") or "/"
        )
        environment = sandbox.environment(containers.env(self._store, pod, container), target.name)
        await Execution(request, self._faults, command, environment, enter).serve()
        return None

    async def log(self, request: Request, target: Any) -> Response:
        pod = self._running(target.namespace, target.name)
        container = containers.the_one(pod, request.first("container"))
        path = self._home(pod["metadata"]["uid"]) / f"{container['name']}.log"
        text = path.read_bytes() if path.exists() else b""
        if request.first("tailLines"):
            count = int(request.first("tailLines"))
            text = b"".join(text.splitlines(keepends=True)[-count:]) if count else b""
        return Response(text, content_type="text/plain")

    def writers(self) -> list[Object]:
        """Every claim that a live pod mounts to write."""
        found = []
        for pod in self._store.objects(("", "pods")):
            if not self.runs(pod) or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                continue
            namespace = pod["metadata"]["namespace"]
            for claim, writes in containers.claims(pod):
                if writes:
                    volume = containers.volume_of(self._store, namespace, claim)
                    found.append({"namespace": namespace, "pod": pod["metadata"]["name"], "claim": claim, "volume": volume,
                                  "labels": pod["metadata"].get("labels") or {}})  # fmt: skip
        return found

    def fill(self, volume: str) -> None:
        """What is in a volume moves to a file system that has no room for more. Commands that are started later see it."""
        folder = self._folder / "volumes" / volume
        if not folder.is_dir():
            raise ApiError(400, f"no volume is called {volume}")
        if volume in self._full:
            return
        used = sum(4096 + (path.lstat().st_blocks * 512) for path in folder.rglob("*"))
        aside = self._folder / "aside" / volume
        aside.parent.mkdir(exist_ok=True)
        folder.rename(aside)
        folder.mkdir()
        sandbox.mount("tmpfs", str(folder), "tmpfs", 0, f"size={used + 64 * 1024},mode=0755")
        _copied(aside, folder)
        self._full[volume] = aside

    def refill(self) -> None:
        """Full volumes have room again, with what is in them now."""
        for volume, aside in tuple(self._full.items()):
            folder = self._folder / "volumes" / volume
            shutil.rmtree(aside)
            aside.mkdir()
            _copied(folder, aside)
            sandbox.unmount(str(folder))
            folder.rmdir()
            aside.rename(folder)
            del self._full[volume]


def _copied(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--sparse=always", f"{source}/.", str(target)], check=True)
