# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The double as tests hold it: a process that is started, stopped, killed, and told to fail."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


class Cluster:
    """``with Cluster.start(folder, name="es") as cluster``; options are those of ``python -m tests.doubles.kubernetes``."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: Path | str, **options: Any) -> Cluster:
        """Returns when it answers. ``controllers=False``: nothing happens but what requests do. ``durable=True``: as etcd, it answers
        a write only when it is on the disk."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        cluster = cls(folder, options)
        cluster._run()
        return cluster

    def _arguments(self) -> list[str]:
        arguments = []
        for name, value in self._options.items():
            if name == "controllers":
                arguments += [] if value else ["--no-controllers"]
            elif name == "durable":
                arguments += ["--durable"] if value else []
            elif name == "sans":
                arguments += [f"--san={each}" for each in value]
            else:
                arguments.append(f"--{name}={value}")
        return arguments

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def restricted(self) -> Path:
        """Of the user ``restricted``, who may read all but Secrets, and write nothing."""
        return self.folder / "kubeconfig-restricted"

    @property
    def url(self) -> str:
        return str(self._ready()["url"])

    def volume(self, name: str) -> Path:
        """The folder of a PersistentVolume."""
        return self.folder / "volumes" / name

    def _ready(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "ready").read_text()))

    def _run(self) -> None:
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.doubles.kubernetes", "--folder", str(self.folder), *self._arguments()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the double did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """It saves its state and ends, and its pods with it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """It ends at once and its pods with it, as if its machine lost power; what it has answered is kept."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, **options: Any) -> None:
        """Anew, on the same port and with all that it knew; with these options in place of those of before."""
        self.stop()
        self._options = {**self._options, **options}
        self._run()

    def freeze(self, seconds: float) -> None:
        """It does not answer for that long, and goes on as if nothing had been."""
        if self._process is None:
            raise RuntimeError("the double does not run")
        os.kill(self._process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self._process.pid, signal.SIGCONT)

    def _ask(self, path: str, body: Any) -> Any:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.load_cert_chain(self.folder / "admin.crt", self.folder / "admin.key")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        # The double is on this machine: no proxy is asked.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        with contextlib.closing(opener.open(request, timeout=60)) as answer:
            return json.load(answer)

    def fault(self, fault: dict[str, Any]) -> dict[str, Any]:
        """One of the faults in README.md; ``{}`` takes all of them away."""
        return dict(self._ask("/double/faults", fault))

    def save(self) -> None:
        """The state goes to ``state.json`` now."""
        self._ask("/double/save", {})

    def writers(self, claim: str = "") -> list[dict[str, Any]]:
        """Pods that run and mount a claim to write: ``{namespace, pod, claim, volume}`` each."""
        found = self._ask("/double/writers", None)
        return [each for each in found if not claim or each["claim"] == claim]

    def requests(self) -> dict[str, int]:
        """How many requests there were, by verb and resource: ``{"patch configmaps": 500}``."""
        return dict(self._ask("/double/requests", None))

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
