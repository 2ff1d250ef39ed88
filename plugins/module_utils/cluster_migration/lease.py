# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time for each migration, whatever controller it is on: a Lease at the source, renewed by a thread.

A holder that renews no more is taken for dead after the lease's own duration, by the clock of the one who waits: no two clocks
are compared. A dead process of this very controller is known at once. A run that could not renew in time works no further.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

from ..backends.cluster import ClusterApi, Object, Resource
from ..errors import ConflictError, ExistsError, FederationError, MigrationFailed, NotFoundError

LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", namespaced=True)
STOP = "federation.virt8ra.eu/stop"
DURATION = 30
Report = Callable[[str, dict[str, Any]], None]


class LockLost(MigrationFailed):
    """This run may not go on: another one has the migration now, or is about to. Nothing is taken back by this one."""


class Lease:
    """The lock of one migration.

    :param api: the source's, where the lock is
    :param report: called with ``waiting_for`` while another run is waited for
    :param duration: seconds after which a holder that does not renew is dead
    """

    def __init__(self, api: ClusterApi, namespace: str, name: str, report: Report, duration: int = DURATION) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._report = report
        self._duration = duration
        self._poll = max(0.05, min(1.0, duration / 10))
        self.holder = f"{socket.gethostname()}/{_boot()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._until = 0.0
        self._stop = threading.Event()
        self._left = threading.Event()

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Wait for it; gives whether another run was waited for."""
        waited = self._take()
        self._left.clear()
        self._stop.clear()
        renewing = threading.Thread(target=self._renew_on, name="lease", daemon=True)
        renewing.start()
        try:
            yield waited
        finally:
            self._left.set()
            renewing.join(2 * self._poll)
            with contextlib.suppress(FederationError):
                self._give_up()

    def check(self) -> None:
        """Call it before everything that changes something. LockLost when the lock is lost, or this run was asked to stop."""
        if self._stop.is_set():
            raise LockLost("this run was asked to stop by another one, which takes the migration back")
        if time.monotonic() > self._until:
            raise LockLost(
                "the lock of this migration could not be renewed in time, so that another run may have taken over",
                remedy="look after the source's API server, and run the migration again",
            )

    def check_now(self) -> None:
        """The same between two steps: what stands in the lease now counts, not what the last renewal saw."""
        with contextlib.suppress(FederationError):
            self._renew()
        self.check()

    def ask_to_stop(self) -> None:
        """Have the run that holds it, wherever it is, leave its work."""
        with contextlib.suppress(NotFoundError):
            self._api.patch(LEASES, self._name, self._namespace, {"metadata": {"annotations": {STOP: self.holder}}})

    def is_held(self) -> bool:
        """Whether somebody holds it, by its own words; that he lives is not said."""
        there = self._api.get(LEASES, self._name, self._namespace)
        return there is not None and bool(there.get("spec", {}).get("holderIdentity"))

    def _body(self, before: Object | None) -> Object:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self.holder, "leaseDurationSeconds": self._duration, "acquireTime": now, "renewTime": now}
        metadata: Object = {"name": self._name, "namespace": self._namespace}
        if before is not None:
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
            spec["leaseTransitions"] = int(before.get("spec", {}).get("leaseTransitions") or 0) + 1
        return {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}

    def _take(self) -> bool:
        waited = False
        seen, since = "", 0.0
        while True:
            there = self._api.get(LEASES, self._name, self._namespace)
            spec = {} if there is None else there.get("spec", {})
            holder = str(spec.get("holderIdentity") or "")
            moment = time.monotonic()
            mark = f"{holder} {spec.get('renewTime')}"
            if mark != seen:
                seen, since = mark, moment
            if not holder or _is_dead_here(holder) or moment - since > float(spec.get("leaseDurationSeconds") or self._duration):
                try:
                    body = self._body(there)
                    self._api.create(LEASES, body) if there is None else self._api.replace(LEASES, body)
                except (ConflictError, ExistsError, NotFoundError):
                    continue
                self._until = moment + self._duration
                return waited
            waited = True
            self._report("waiting", {"waiting_for": f"the run {_shown(holder)}, which is at work on this migration"})
            time.sleep(self._poll)

    def _renew_on(self) -> None:
        while not self._left.wait(min(self._duration / 4, 5.0)):
            # A server that is away now may be back before the lease ends; the work itself notices when it is not.
            with contextlib.suppress(FederationError):
                self._renew()

    def _renew(self) -> None:
        moment = time.monotonic()
        there = self._api.get(LEASES, self._name, self._namespace)
        if there is None or there.get("spec", {}).get("holderIdentity") != self.holder:
            self._until = 0.0
            return
        if (there["metadata"].get("annotations") or {}).get(STOP):
            self._stop.set()
        there["spec"]["renewTime"] = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._api.replace(LEASES, there)
        self._until = moment + self._duration

    def _give_up(self) -> None:
        there = self._api.get(LEASES, self._name, self._namespace)
        if there is not None and there.get("spec", {}).get("holderIdentity") == self.holder:
            self._api.delete(LEASES, self._name, self._namespace, uid=there["metadata"].get("uid", ""))


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        return "0"


def _is_dead_here(holder: str) -> bool:
    """Whether it is a process of this very host that is there no more."""
    parts = holder.split("/")
    if len(parts) != 4 or parts[:2] != [socket.gethostname(), _boot()] or not parts[2].isdigit():
        return False
    try:
        os.kill(int(parts[2]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _shown(holder: str) -> str:
    parts = holder.split("/")
    return f"{parts[2]} on {parts[0]}" if len(parts) == 4 else holder
