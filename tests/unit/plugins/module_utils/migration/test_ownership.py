# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ownership under any order of events: the cutover, the registry and the guard's judgement as they are, in a world of the test's own.

A run dies before or after any of its calls, hosts restart, a person starts the VM at either end, aborts, or runs it again. At no time
may two copies run; and once a run is let through, just one does, where the registries say.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.power import Stopping
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, FederationError
from ansible_collections.virt8ra.federation.plugins.module_utils.migration import journal as journals
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.bulk import Bulk
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.copying import Copying
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.cutover import Cutover, Cutting
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.journal import Journal
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Owner
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from ownership_world import Crash, Host

STARTED = "2026-11-24T12:00:00+00:00"


class Ownership(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.left = 10**9
        self.visitor = None
        self.a = Host("a", Path(self.folder.name) / "a", self.tick, "running")
        self.b = Host("b", Path(self.folder.name) / "b", self.tick, "absent")
        self.bulk = Bulk("m", "web", "a", "b")

    def teardown(self):
        self.folder.cleanup()

    def tick(self):
        """Between any two calls of a run: it may die here."""
        self.left -= 1
        if self.left < 0:
            raise Crash
        if self.visitor is not None and self.left == self.visitor[0]:
            host = getattr(self, self.visitor[1])
            self.visitor = None
            self.a_person_starts_it(host.name)
        self.never_two()

    def cutover(self):
        replication = SimpleNamespace(
            bulk=self.bulk,
            disks=[SimpleNamespace(path="/vms/web")],
            store=SimpleNamespace(save=lambda _bulk: None),
            backup=SimpleNamespace(delete_checkpoints=self.tick, end=self.tick),
            round=lambda _how, last: self.copied(),
            begin_event=lambda _phase: None,
            end_event=lambda: None,
        )

        def define(journal):
            self.tick()
            owner = Owner("a", journal.epoch - 1).to_dict()
            self.b.state, self.b.payloads = "stopped", {"owner": owner, "migration": journal.to_dict()}
            self.tick()

        how = Cutting(Stopping(), Copying(), life_timeout=1)
        return Cutover(self.a, self.b, replication, how, define, lambda: None)

    def copied(self):
        assert self.a.state == "paused", "the last delta is read from a VM that stands still"
        self.tick()

    def journal(self):
        read = [Journal.from_dict(host.read_metadata("migration")) for host in (self.b, self.a)]
        return max((one for one in read if one), key=lambda one: (one.epoch, journals.PHASES.index(one.phase)), default=None)

    def one_run(self, work, steps):
        self.left = 10**9 if steps is None else steps
        try:
            work()
        except (Crash, FederationError):
            pass
        finally:
            self.left = 10**9

    def complete(self):
        journal = self.journal()
        if journal is None:
            journal = Journal("m", "warm", "a", "b", journals.SYNCED, 2, STARTED, volumes={"vda": "/vms/web-b"})
            self.a.write_metadata("migration", journal.to_dict())
        if journal.phase != journals.COMPLETED:
            self.cutover().run(journal)

    def abort(self):
        journal = self.journal()
        if journal is not None and journal.phase != journals.COMPLETED and not self.cutover().is_committed(journal):
            self.cutover().take_back(journal)

    @rule(steps=st.one_of(st.none(), st.integers(0, 60)))
    def somebody_completes(self, steps):
        self.one_run(self.complete, steps)

    @rule(steps=st.one_of(st.none(), st.integers(0, 30)))
    def somebody_aborts(self, steps):
        self.one_run(self.abort, steps)

    @rule(which=st.sampled_from("ab"))
    def a_person_starts_it(self, which):
        host = getattr(self, which)
        if host.state == "stopped" and host.works:
            with contextlib.suppress(BackendError):
                host.check()
                host.state, host.wrote = "running", True

    @rule(which=st.sampled_from("ab"))
    def a_host_restarts(self, which):
        host = getattr(self, which)
        if host.state in ("running", "paused"):
            host.state = "stopped"

    @rule(works=st.booleans())
    def the_targets_qemu_breaks_or_is_mended(self, works):
        self.b.works = works

    @precondition(lambda self: self.a.state == "running")
    @rule()
    def the_guest_writes(self):
        self.a.wrote = True

    @invariant()
    def never_two(self):
        assert (self.a.state, self.b.state) != ("running", "running")

    @invariant()
    def never_two_may(self):
        able = []
        for host in (self.a, self.b):
            if host.state == "stopped":
                try:
                    # Only looks: "migrate" does not use a permit up.
                    host.check("migrate")
                    able.append(host.name)
                except BackendError:
                    pass
            elif host.state == "running":
                able.append(host.name)
        assert len(able) < 2, f"both {able} may run"

    @invariant()
    def never_none(self):
        """From anywhere, runs that are let through end with one copy that runs or may be started."""
        if self.a.state == "running" or self.b.state == "running":
            return
        snapshot = self.keep()
        for _attempt in range(3):
            self.one_run(self.complete, None)
        good = any(host.state == "running" for host in (self.a, self.b))
        startable = False
        for host in (self.a, self.b):
            if host.state == "stopped":
                try:
                    host.check("migrate")
                    startable = True
                except BackendError:
                    pass
        self.put_back(snapshot)
        assert good or startable

    def keep(self):
        return [
            (host, host.state, host.wrote, dict(host.payloads), {p.name: p.read_bytes() for p in host.folder.iterdir()})
            for host in (self.a, self.b)
        ]

    def put_back(self, snapshot):
        for host, state, wrote, payloads, files in snapshot:
            host.state, host.wrote, host.payloads = state, wrote, payloads
            for path in host.folder.iterdir():
                path.unlink()
            for name, data in files.items():
                (host.folder / name).write_bytes(data)


Ownership.TestCase.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)
TestOwnership = Ownership.TestCase


LONGEST = 80  # more calls than any run makes


def judged(world):
    world.never_two()
    world.never_two_may()
    world.never_none()


@pytest.mark.parametrize("works", [True, False], ids=["the target works", "nothing starts at the target"])
@pytest.mark.parametrize("then", ["complete", "abort", "restart a", "restart b", "start a", "start b"])
def test_a_run_may_die_at_any_call(works, then):
    for steps in range(LONGEST):
        world = Ownership()
        world.b.works = works
        world.one_run(world.complete, steps)
        judged(world)
        {
            "complete": lambda world=world: world.one_run(world.complete, None),
            "abort": lambda world=world: world.one_run(world.abort, None),
            "restart a": lambda world=world: world.a_host_restarts("a"),
            "restart b": lambda world=world: world.a_host_restarts("b"),
            "start a": lambda world=world: world.a_person_starts_it("a"),
            "start b": lambda world=world: world.a_person_starts_it("b"),
        }[then]()
        judged(world)
        world.b.works = True
        for _attempt in range(3):
            world.one_run(world.complete, None)
        if then.startswith("restart"):
            # A host that restarts leaves its VM off; it is to be at the target all the same, and may be started there alone.
            world.a_person_starts_it("a")
            world.a_person_starts_it("b")
        assert (world.a.state, world.b.state) == ("stopped", "running"), f"after {steps} calls"
        world.teardown()


@pytest.mark.parametrize("which", ["a", "b"])
def test_a_person_may_start_it_at_any_moment_of_a_run(which):
    for moment in range(LONGEST):
        world = Ownership()
        world.visitor = (10**9 - moment, which)
        world.one_run(world.complete, None)
        judged(world)
        for _attempt in range(3):
            world.one_run(world.complete, None)
        assert (world.a.state, world.b.state) == ("stopped", "running"), f"started at call {moment}"
        world.teardown()
