# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing a migration to the state that a person asked for, from whatever state it is in."""

from __future__ import annotations

import time
from typing import Any, Callable, Optional

from ..backends.libvirt import volumes
from ..backends.libvirt.migration_end import MigrationEnd
from ..backends.libvirt.migration_facts import find_uuid, source_facts, target_facts
from ..errors import InputError, MigrationBlocked, MigrationFailed
from ..model import Hypervisor, Site
from . import journal as journals
from . import preflight
from .journal import Journal
from .live import LiveMigration
from .policy import Policy

Result = dict[str, Any]
Connect = Callable[[Optional[str]], Any]  # a URI, or None for the hypervisor where we are


def hypervisor_of(site: Site, name: str, option: str) -> Hypervisor:
    """The site's hypervisor of that name; InputError names those that there are."""
    for hypervisor in site.hypervisors:
        if hypervisor.name == name:
            return hypervisor
    known = ", ".join(hypervisor.name for hypervisor in site.hypervisors) or "none"
    raise InputError(f"is not a hypervisor of site {site.name}", option=option, value=name, remedy=f"use one of: {known}")


class Engine:
    """One VM between two hypervisors. Connections are opened at once, so that an unreachable end is told before anything else."""

    def __init__(
        self, name: str, request: preflight.Request, policy: Policy, report: Callable[[str, dict[str, Any]], None], connect: Connect
    ) -> None:
        if request.source == request.target:
            raise InputError(
                "is the target itself", option="source_hypervisor", value=request.source, remedy="name another source or target"
            )
        begun = time.monotonic()
        self.name = name
        self.request = request
        self.target_host = hypervisor_of(request.target_site, request.target, "hypervisor")
        source_host = hypervisor_of(request.source_site, request.source, "source_hypervisor")
        self.target = MigrationEnd(lambda: connect(None), self.target_host.name)
        self.source = MigrationEnd(lambda: connect(source_host.uri), source_host.name)
        self.source.uuid = self.target.uuid = find_uuid((self.source, self.target), name)
        self.live = LiveMigration(self.source, self.target, policy, report, begun)

    def journal(self) -> Journal | None:
        """The journal of a migration between just these two, wherever it can be read; the further one wins."""
        read = [Journal.from_dict(end.read_metadata("migration")) for end in (self.target, self.source)]
        ours = [entry for entry in read if entry and (entry.source, entry.target) == (self.request.source, self.request.target)]
        return max(ours, key=lambda entry: (entry.epoch, entry.phase != journals.COPYING), default=None)

    def plan(self) -> preflight.Plan:
        if self.source.find() is None:
            remedy = f"name the hypervisor where it is now; it was found at {self.request.target}"
            raise InputError(f"does not have VM {self.name}", option="source_hypervisor", value=self.request.source, remedy=remedy)
        source = source_facts(self.source, self.request.source_site)
        return preflight.plan(self.request, source, target_facts(self.target, self.source, source))

    def is_completed(self) -> bool:
        """The target runs it and no other copy does."""
        return self.target.observe().state == "running" and self.source.observe().state not in ("running", "paused")

    def reach(self, state: str, *, check: bool) -> Result:
        """A module's result: ``changed, plan, migration, diff``."""
        if state == "planned":
            result: Result = {"changed": False, "plan": self.plan(), "journal": self.journal()}
        else:
            result = {"completed": self.complete, "aborted": self.abort, "released": self.release}[state](check=check)
        return self._told(state, result)

    def _told(self, state: str, result: Result) -> Result:
        told: Result = {"changed": result["changed"], "diff": {"before": {}, "after": {}}}
        if result["plan"] is not None:
            told["plan"] = result["plan"].to_dict()
        journal = result["journal"]
        if journal is not None:
            facts = journal.to_dict()
            told["migration"] = {"vm": self.name, **facts.pop("figures"), **facts}
        if result["changed"]:
            told["diff"] = self._difference(state)
        return told

    def _difference(self, state: str) -> dict[str, Result]:
        source, target = self.request.source, self.request.target
        sides: dict[str, tuple[Result, Result]] = {
            "completed": ({"owner": source}, {"owner": target}),
            "aborted": ({"migration": f"{source} to {target}"}, {"migration": None}),
            "released": ({"copies": [source, target]}, {"copies": [target]}),
        }
        before, after = sides[state]
        return {"before": {"vm": self.name, **before}, "after": {"vm": self.name, **after}}

    def complete(self, *, check: bool) -> Result:
        """``{changed, journal, plan}``; raises MigrationBlocked with a sentence for each blocker."""
        journal = self.journal()
        if journal and journal.phase in journals.CAME_OVER and self.is_completed():
            return {"changed": False, "journal": journal, "plan": None}
        if journal and journal.phase == journals.COPYING:
            if check:
                return {"changed": True, "journal": journal, "plan": None}
            journal = self.live.settle(journal)
            if journal:
                return {"changed": True, "journal": journal, "plan": None}
        plan = self.plan()
        if plan.blockers:
            sentences = ". ".join(blocker.message for blocker in plan.blockers)
            raise MigrationBlocked(f"VM {self.name} cannot go from {plan.source} to {plan.target}: {sentences}")
        if check:
            return {"changed": True, "journal": None, "plan": plan}
        facts = source_facts(self.source, self.request.source_site)
        return {"changed": True, "journal": self.live.run(plan, facts, self.target_host), "plan": plan}

    def abort(self, *, check: bool) -> Result:
        """Take an unfinished migration back; nothing to do where none is under way."""
        journal = self.journal()
        if journal is None:
            return {"changed": False, "journal": None, "plan": None}
        if journal.phase in journals.CAME_OVER:
            raise MigrationFailed(
                f"the migration of VM {self.name} to {journal.target} is completed already",
                option="state",
                value="aborted",
                remedy="release it and migrate the VM back",
            )
        if not check:
            self.live.abort(journal)
        return {"changed": True, "journal": journal.moved_to(journals.ABORTED), "plan": None}

    def release(self, *, check: bool) -> Result:
        """Delete the source copy and its volumes, once the VM runs at the target and the journal says completed."""
        journal = self.journal()
        if self.source.observe().state == "absent":
            return {"changed": False, "journal": journal, "plan": None}
        if journal is None or journal.phase != journals.COMPLETED or not self.is_completed() or not self.live.verified():
            raise MigrationFailed(
                f"VM {self.name} is not seen to run at {self.request.target} after a completed migration",
                option="state",
                value="released",
                remedy="complete the migration first; the source copy is kept",
            )
        if not check:
            disks = source_facts(self.source, self.request.source_site).disks
            self.source.remove()
            for disk in disks:
                volumes.delete_volume(self.source.connection, disk.path)
            self.target.write_metadata("migration", journal.moved_to(journals.RELEASED).to_dict())
        return {"changed": True, "journal": journal.moved_to(journals.RELEASED), "plan": None}
