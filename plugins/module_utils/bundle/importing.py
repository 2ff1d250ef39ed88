# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An import: checked whole before anything is made, then all of it or nothing. A run that was killed is taken up by the next one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from ..backends.libvirt import domain_edit, domains, metadata, vm_checks, volumes
from ..backends.libvirt.connection import libvirt_fault, told
from ..backends.libvirt.domain_xml import read_vm
from ..backends.libvirt.domains import Domain
from ..backends.libvirt.host_capabilities import Accelerator, DomainCapabilities, choose_accelerator, has_tpm
from ..backends.libvirt.new_disks import plan_disks
from ..backends.libvirt.registry import Entry, Registry
from ..errors import FederationError, InputError
from ..lock import RunLock
from ..migration.bulk import BulkStore
from ..model import Owner, Site, Vm
from . import elsewhere
from .fetching import fetch_bundle
from .furnishing import Furnishing, plan_furnishing
from .manifest import DOMAIN, NVRAM, TPM
from .reading import Bundle, open_bundle
from .request import KEEP, ImportRequest
from .restoring import Restoring, Volume
from .target import target_vm
from .template import Parts, portable_domain, seed_drive_of

Report = Callable[[str, dict[str, Any]], None]
_RUNNING = "running"


@dataclass(frozen=True)
class _Plan:
    """All that is known before anything is made."""

    bundle: Bundle
    vm: Vm
    volumes: dict[str, Volume]
    furnishing: Furnishing
    domain: ET.Element
    owner: Owner
    before: Entry | None
    warnings: list[str]


def _domain_text(bundle: Bundle) -> str:
    place = bundle.place(bundle.manifest.of(DOMAIN)[0])
    return place.read(0, place.size).decode("utf-8", "replace")


class Import:
    """One import to the hypervisor where it runs.

    :param connect: opens a connection; to libvirt here without a URI
    :param state_path: where the progress and the lock are
    """

    def __init__(
        self,
        request: ImportRequest,
        site: Site,
        hypervisor: str,
        connect: Callable[..., Any],
        uri: str,
        state_path: str,
        report: Report,
    ) -> None:
        self._request = request
        self._site = site
        self._hypervisor = hypervisor
        self._connect = connect
        self._uri = uri
        self._report = report
        self._state = f"{state_path}/imports"
        self._conn = connect()

    def run(self, *, check: bool) -> dict[str, Any]:
        """``{changed, vm, bundle, warnings, diff}``."""
        self._request.check()
        with contextlib.ExitStack() as stack:
            if self._request.fetch_from:
                if not check:
                    stack.enter_context(self._lock(hashlib.sha256(self._request.path.encode()).hexdigest()[:32]))
                fetched = fetch_bundle(self._connect, self._request.fetch_from, self._request.path, self._report, check=check)
                if not fetched:
                    return {"changed": True, "warnings": [], "diff": {"before": {}, "after": {"bundle": self._request.path}}}
            bundle = open_bundle(self._request.path)
            vm = target_vm(bundle.manifest, self._request, self._site, self._hypervisor)
            if not check:
                stack.enter_context(self._lock(vm.uuid))
            present = self._present(bundle, vm)
            if present is not None:
                return self._kept(bundle, present, check=check)
            plan = self._plan(bundle, vm)
            copied = 0 if check else self._carry_out(plan)
        return self._result(bundle, vm, changed=True, warnings=plan.warnings, copied=copied)

    def _lock(self, key: str) -> contextlib.AbstractContextManager[bool]:
        return RunLock(Path(self._state) / f"{key}.lock", "this VM", self._report).held(0)

    def _present(self, bundle: Bundle, vm: Vm) -> Domain | None:
        """The VM, where it was imported from this bundle already."""
        found = next((domain for domain in domains.every(self._conn) if domain.uuid == vm.uuid), None)
        if found is None:
            return None
        if (metadata.read(found.config, "bundle") or {}).get("id") == bundle.manifest.id:
            return found
        elsewhere.check_no_copy(vm.uuid, self._conn, self._hypervisor)
        return None

    def _kept(self, bundle: Bundle, present: Domain, *, check: bool) -> dict[str, Any]:
        starts = self._request.state == _RUNNING and present.state != _RUNNING
        if starts and not check:
            self._start(present.name)
        vm = present.vm(self._site, volumes.pool_paths(self._conn))
        result = self._result(bundle, vm, changed=starts, warnings=[], copied=0)
        result["diff"]["before"] = {**vm.to_dict(), "state": present.state}
        result["diff"]["after"]["state"] = _RUNNING if starts else present.state
        return result

    def _start(self, name: str) -> None:
        domain = domains.find(self._conn, name)
        if domain is not None and domain.state == "paused":
            domains.resume(domain.handle, name)
        elif domain is not None and not domain.active:
            domains.start(domain.handle, name)

    # Planning

    def _plan(self, bundle: Bundle, vm: Vm) -> _Plan:
        if domains.find(self._conn, vm.name) is not None:
            remedy = "give another with the option name"
            raise InputError("is the name of another VM here", option="name", value=vm.name, remedy=remedy)
        warnings: list[str] = []
        before = elsewhere.entry_at(self._conn, self._hypervisor, vm.uuid)
        if self._request.identity == KEEP:
            elsewhere.check_entry(before, self._hypervisor, here=self._hypervisor)
            warnings += elsewhere.check_peers(bundle.manifest, self._request.peers, self._connect)
        accelerator = choose_accelerator(self._conn, self._request.accelerator, self._uri)
        warnings += [accelerator.warning] if accelerator.warning else []
        self._check_hardware(bundle, vm, accelerator)
        targets = self._volumes(bundle, vm)
        furnishing = plan_furnishing(
            bundle,
            vm,
            self._media_folder(targets),
            seed_drive_of(_domain_text(bundle)),
            resumed=self._store(vm).load(bundle.manifest.id) is not None,
        )
        known = bundle.manifest.owner.epoch if bundle.manifest.owner is not None and self._request.identity == KEEP else 0
        owner = Owner(self._hypervisor, max(known, 0 if before is None else before.owner.epoch) + 1)
        domain = self._domain(bundle, vm, targets, furnishing, accelerator)
        self._describe(domain, bundle, vm, owner)
        return _Plan(bundle, vm, targets, furnishing, domain, owner, before, warnings)

    def _check_hardware(self, bundle: Bundle, vm: Vm, accelerator: Accelerator) -> None:
        capabilities = DomainCapabilities(self._conn, accelerator, vm.machine)
        capabilities.cpu(vm.cpu_model)
        vm_checks.check_size(self._conn, vm, capabilities)
        vm_checks.check_firmware(vm, capabilities)
        if bundle.manifest.of(TPM) and not has_tpm(self._conn):
            raise InputError(
                "holds the state of a TPM, and none can be had here",
                option="path",
                value=self._request.path,
                remedy="install swtpm",
            )
        nics = [(f"networks (interface {number})", nic) for number, nic in enumerate(vm.nics)]
        taken = vm_checks.other_macs(self._conn, vm.name)
        vm_checks.check_nics(self._conn, self._site, nics, taken, self._request.state == _RUNNING)

    def _store(self, vm: Vm) -> BulkStore:
        return BulkStore(self._state, vm.uuid)

    def _volumes(self, bundle: Bundle, vm: Vm) -> dict[str, Volume]:
        """Where each disk goes: as an import that was cut off began it, else as it is planned now."""
        begun = self._store(vm).load(bundle.manifest.id)
        if begun is not None:
            return {name: Volume(**volume) for name, volume in begun.events[0]["volumes"].items()}
        disks = [(f"disks of the bundle ({disk.name})", disk) for disk in vm.disks]
        folders = {pool: path for path, pool in volumes.pool_paths(self._conn).items()}
        planned = plan_disks(self._conn, self._site, vm.name, disks)
        return {new.disk.name: Volume.planned(new, folders.get(new.pool, "")) for new in planned}

    def _media_folder(self, targets: dict[str, Volume]) -> str:
        folders = {pool: path for path, pool in volumes.pool_paths(self._conn).items()}
        pools = [volume.pool for volume in targets.values()]
        return next((folders[pool] for pool in pools if volumes.pool_type(self._conn, pool) in volumes.FILE_POOLS), "")

    def _domain(
        self, bundle: Bundle, vm: Vm, targets: dict[str, Volume], furnishing: Furnishing, accelerator: Accelerator
    ) -> ET.Element:
        parts = Parts(
            disks={name: (volume.format, volume.path) for name, volume in targets.items()},
            media=furnishing.media,
            networks=[(self._site.local_network(nic.network, "networks"), nic.mac) for nic in vm.nics],
            nvram=furnishing.nvram if bundle.manifest.of(NVRAM) else "",
        )
        root = portable_domain(_domain_text(bundle), parts)
        root.set("type", accelerator.domain_type)
        read = read_vm(root, self._site, {}, {})
        for key in ("cpus", "memory", "cpu_model", "machine", "firmware"):
            if getattr(read, key) != getattr(vm, key):
                what = f"the file domain.xml says {key} {getattr(read, key)!r}, and the manifest {getattr(vm, key)!r}"
                raise InputError(what, remedy="export the VM again")
        return root

    def _describe(self, root: ET.Element, bundle: Bundle, vm: Vm, owner: Owner) -> None:
        for tag, text in (("name", vm.name), ("uuid", vm.uuid)):
            for old in root.findall(tag):
                root.remove(old)
            element = ET.Element(tag)
            element.text = text
            root.insert(0, element)
        domain_edit.set_console_log(root, vm.name if vm.console_log else None)
        for kind, payload in (("vm", vm.to_dict()), ("owner", owner.to_dict()), ("bundle", {"id": bundle.manifest.id})):
            metadata.write(root, kind, payload)

    # Doing

    def _carry_out(self, plan: _Plan) -> int:
        """Bytes that were copied. A fault takes back all that was made, also by a run before."""
        store = self._store(plan.vm)
        restoring = Restoring(plan.bundle, store, self._conn, self._report, self._request.connections)
        registry = Registry(self._conn, self._hypervisor)
        claimed = False
        try:
            bulk = restoring.begin(plan.vm.name, self._hypervisor, plan.volumes)
            restoring.run(bulk, plan.volumes)
            plan.furnishing.put(plan.bundle)
            self._report("defining", {})
            registry.claim(plan.vm.uuid, plan.owner, [volume.path for volume in plan.volumes.values()], resume=True)
            claimed = True
            handle = domains.define(self._conn, plan.domain)
            with told(f"setting autostart of VM {plan.vm.name}"):
                handle.setAutostart(int(plan.vm.autostart))
        except (FederationError, OSError, libvirt_fault()):
            self._take_back(plan, registry, claimed=claimed)
            raise
        store.remove()
        if self._request.state == _RUNNING:
            self._start(plan.vm.name)
        return restoring.copied_bytes

    def _take_back(self, plan: _Plan, registry: Registry, *, claimed: bool) -> None:
        # The fault that brought us here is the one to tell.
        with contextlib.suppress(FederationError, libvirt_fault()):
            domain = domains.find(self._conn, plan.vm.name)
            if domain is not None and domain.uuid == plan.vm.uuid:
                domains.undefine(domain.handle, domain.name, remove_nvram=False)
        plan.furnishing.take_back()
        for volume in plan.volumes.values():
            with contextlib.suppress(FederationError, libvirt_fault()):
                volumes.refresh(volumes.active_pool(self._conn, volume.pool))
                volumes.delete_volume(self._conn, volume.path)
        if claimed and plan.before is None:
            with contextlib.suppress(FederationError, libvirt_fault()):
                registry.forget(plan.vm.uuid)
        self._store(plan.vm).remove()

    def _result(self, bundle: Bundle, vm: Vm, *, changed: bool, warnings: list[str], copied: int) -> dict[str, Any]:
        after = {**vm.to_dict(), "state": _RUNNING if self._request.state == _RUNNING else "stopped"}
        manifest = bundle.manifest
        told_of = {"id": manifest.id, "created": manifest.created, "source": manifest.source.to_dict()}
        return {
            "changed": changed,
            "vm": json.loads(json.dumps(vm.to_dict())),
            "bundle": {**told_of, "consistency": manifest.consistency.to_dict(), "copied_bytes": copied},
            "warnings": warnings,
            "diff": {"before": {}, "after": after},
        }
