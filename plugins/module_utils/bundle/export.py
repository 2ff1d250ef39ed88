# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An export: what was asked for, refused or planned, and then carried out."""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid as uuidlib
from pathlib import Path
from typing import Any, Callable

from ..backends.facts import SourceFacts
from ..backends.libvirt import vm_checks
from ..backends.libvirt.backup import LocalBackup
from ..backends.libvirt.domains import Domain
from ..backends.libvirt.migration_end import MigrationEnd
from ..backends.libvirt.migration_facts import find_uuid, source_facts
from ..errors import InputError
from ..lock import RunLock
from ..model import Site, Vm
from . import belongings
from .contents import Contents
from .disks import DiskSource
from .manifest import Manifest
from .reading import Bundle, open_bundle
from .request import ExportRequest
from .writing import check_space, writer

Report = Callable[[str, dict[str, Any]], None]
_SPARE = 16 * 2**20  # metadata of images, descriptors


class Export:
    """One export on the hypervisor where it runs.

    :param connect: opens a connection to libvirt here
    :param state_path: where the lock is
    """

    def __init__(
        self,
        request: ExportRequest,
        site: Site,
        hypervisor: str,
        connect: Callable[[], Any],
        uri: str,
        state_path: str,
        report: Report,
    ) -> None:
        self._request = request
        self._site = site
        self._uri = uri
        self._report = report
        self._state = Path(state_path) / "exports"
        self._end = MigrationEnd(connect, hypervisor)

    def run(self, *, check: bool) -> dict[str, Any]:
        """``{changed, bundle, warnings, diff}``."""
        self._request.check()
        self._end.uuid = find_uuid([self._end], self._request.name)
        with contextlib.ExitStack() as stack:
            if not check:
                # One at a time for each VM and for each path.
                for key in (self._end.uuid, hashlib.sha256(self._request.path.encode()).hexdigest()[:32]):
                    stack.enter_context(RunLock(self._state / f"{key}.lock", "this VM", self._report).held(0))
                # The job of an export that was killed: whoever lives holds the lock.
                LocalBackup(self._end).end([])
            facts = source_facts(self._end, self._site)
            present = self._present(facts)
            if present is not None and not self._request.force:
                return self._result(present.manifest, present.manifest, changed=False)
            self._check(facts)
            if check:
                return self._result(None if present is None else present.manifest, None, changed=True)
            made, seconds = self._carry_out(facts)
        before = None if present is None else present.manifest
        return self._result(before, made, changed=True, seconds=seconds)

    def _present(self, facts: SourceFacts) -> Bundle | None:
        """The VM's complete bundle that is there already; InputError for anything else of that name."""
        path = self._request.path
        if not Path(path).exists() and not Path(path).is_symlink():
            return None
        try:
            bundle = open_bundle(path)
        except InputError as error:
            remedy = "give another path, or take it away first"
            raise InputError(
                f"is there already, and no whole bundle ({error.what})", option="path", value=path, remedy=remedy
            ) from error
        if bundle.manifest.vm.uuid != facts.vm.uuid:
            what = f"holds the bundle of another VM ({bundle.manifest.vm.name})"
            raise InputError(what, option="path", value=path, remedy="give another path")
        return bundle

    def _check(self, facts: SourceFacts) -> None:
        domain = Domain(self._end.connection, self._end.domain())
        vm_checks.check_ownership(domain, self._end.hypervisor, adopt=True)
        if facts.unmovable:
            what = f"has {', '.join(facts.unmovable)}, which cannot be put into a bundle"
            raise InputError(what, option="name", value=facts.vm.name, remedy="take it from the VM first")
        if facts.backup:
            what = f"is in use: {facts.backup}"
            raise InputError(what, option="name", value=facts.vm.name, remedy="wait until that has ended")
        Vm.from_dict(facts.vm.to_dict(), f"VM {facts.vm.name}")
        needed = sum(min(disk.allocation, disk.capacity) + _SPARE for disk in facts.disks)
        check_space(Path(self._request.path).parent, needed + belongings.size(facts, self._request.media))

    def _carry_out(self, facts: SourceFacts) -> tuple[Manifest, float]:
        out = writer(self._request.path, self._request.form)
        out.clear()
        began = time.monotonic()
        try:
            out.begin()
            with DiskSource(self._end, facts, self._uri) as source:
                contents = Contents(out, facts, self._request, self._report)
                manifest = contents.write(source, str(uuidlib.uuid4()), self._site, self._end)
            self._report("publishing", {})
            out.publish()
        except BaseException:
            out.clear()
            raise
        return manifest, time.monotonic() - began

    def _result(self, before: Manifest | None, after: Manifest | None, *, changed: bool, seconds: float = 0.0) -> dict[str, Any]:
        shown = after or before
        bundle: dict[str, Any] = {"path": self._request.path, "form": self._request.form}
        if after is not None:
            bundle["manifest"] = after.to_dict()
            bundle["bytes"] = sum(file.size for file in after.files)
        if seconds:
            bundle["seconds"] = round(seconds, 3)
        warnings = []
        if changed and after is not None and after.consistency.detail:
            warnings.append(f"the bundle of VM {self._request.name} is {after.consistency.method}: {after.consistency.detail}")
        planned = {} if not changed and shown is None else self._planned()
        sides = {"before": _side(before), "after": _side(after) if after is not None else planned}
        return {"changed": changed, "bundle": bundle, "warnings": warnings, "diff": sides}

    def _planned(self) -> dict[str, Any]:
        return {"path": self._request.path, "form": self._request.form, "vm": self._request.name, "format": self._request.format}


def _side(manifest: Manifest | None) -> dict[str, Any]:
    if manifest is None:
        return {}
    return {"vm": manifest.vm.name, "id": manifest.id, "files": {file.path: file.sha256 for file in manifest.files}}
