# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One case: a guest that writes, a migration, a fault in the phase that was chosen, the play again, and the verdict."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.integration.guest import SOURCE, TARGET, Guest
from tests.integration.lab import ROOT, Lab, command, environment

from .injection import FAULTS, heal_link
from .matrix import ABORT, AGAIN, Plan

NAME = "t-fault"
_REACH_SECONDS = 120
_HANG_SECONDS = 45
_LONGEST = 900
# Copies are slowed down so that a fault meets them at work.
_OPTIONS: dict[str, dict[str, Any]] = {
    # QEMU never comes back where its target dies while it opens the disk's stream.
    "live": {"bandwidth": 24, "timeout": 120, "force_off": True},
    "warm": {"bandwidth": 12, "stall_timeout": 20},
    "cold": {"bandwidth": 12, "stall_timeout": 20},
}


class Failed(AssertionError):
    """What a person would not have wanted to see."""


class Case:
    """Carried out by ``run``, which raises Failed."""

    def __init__(self, lab: Lab, plan: Plan) -> None:
        self.lab = lab
        self.plan = plan
        self.guest = Guest(lab, NAME)
        self.fault = FAULTS[plan.fault]
        self.progress = f"/run/{NAME}-progress.json"
        self.uuid = ""
        self.first: subprocess.Popen[str]

    def run(self) -> None:
        self.fault.before(self)
        self.guest.remove()
        try:
            self.guest.deploy()
            self.uuid = self.lab.run(SOURCE, f"virsh domuuid {NAME}").strip()
            self._strike_first_run()
            self.fault.mend(self)
            end = self._go_on()
            self._judge(end)
        finally:
            self.fault.mend(self)
            self.guest.remove()
            self.lab.run(TARGET, f"rm -f {self.progress}", check=False)
            if self.plan.fault == "fill the target's disk":
                from .injection import empty_small_pool

                empty_small_pool(self)

    def worker(self) -> int:
        """Process id of the module at the target."""
        return int(json.loads(self.lab.run(TARGET, f"cat {self.progress}"))["pid"])

    def _options(self, state: str) -> dict[str, Any]:
        options = {**_OPTIONS[self.plan.mode], "mode": self.plan.mode, "state": state, "progress_path": self.progress}
        if self.plan.phase == "comparing":
            options.update(verify_disks=True, bandwidth=4)
        elif self.plan.fault == "lose it in mid-answer":
            # It strikes while memory is copied, which must take its time.
            options["bandwidth"] = 8
        if self.plan.fault == "fill the target's disk":
            options["site"] = "{{ federation_site | combine({'storage': {'ssd': 'faults', 'images': 'images'}}, recursive=true) }}"
        return self.guest.migration(**options)

    def _strike_first_run(self) -> None:
        """Begin the play, wait for the phase, break something, and let the play end."""
        with tempfile.TemporaryDirectory(prefix="virt8ra-fault-") as folder:
            path = Path(folder) / "play.yml"
            task = {"name": "migrate", "virt8ra.federation.vm_migration": self._options("completed")}
            path.write_text(yaml.safe_dump([{"name": "fault", "hosts": TARGET, "gather_facts": False, "tasks": [task]}]), "utf-8")
            argv = [command("ansible-playbook"), "-i", str(self.lab.inventory), str(path)]
            with (Path(folder) / "output").open("w+", encoding="utf-8") as output:
                self.first = subprocess.Popen(
                    argv, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True
                )
                self._reach_phase(Path(folder) / "output")
                self.fault.strike(self)
                try:
                    self.first.wait(_HANG_SECONDS)
                except subprocess.TimeoutExpired:
                    # A play that hangs on a dead link ends when that heals, as for a person.
                    self.fault.mend(self)
                    self.first.wait(_LONGEST)

    def _reach_phase(self, output: Path) -> None:
        words = f'"phase": "{self.plan.phase}"'
        wait = f"for _ in $(seq {_REACH_SECONDS * 50}); do grep -q '{words}' {self.progress} 2>/dev/null && exit 0; sleep 0.02; done; exit 1"
        waiting = subprocess.Popen(self.lab.ssh(TARGET, wait), stdin=subprocess.DEVNULL)
        while waiting.poll() is None and self.first.poll() is None:
            time.sleep(0.02)
        if waiting.poll() != 0:
            waiting.kill()
            raise Failed(f"phase {self.plan.phase} was not seen: {output.read_text('utf-8')[-1500:]}")

    def _go_on(self) -> str:
        """The same play, or the play with state: aborted; where the VM must be then."""
        self._wait_for_worker()
        for host in (SOURCE, TARGET):
            self.guest.wait(
                lambda host=host: self.lab.run(host, "virsh list >/dev/null && echo up", check=False), f"libvirtd at {host}"
            )
        if self.plan.then == ABORT:
            result = self.lab.module(TARGET, "virt8ra.federation.vm_migration", self._options("aborted"))
            if not result.get("failed"):
                return SOURCE
            # Too late to go back: it came over, and says so.
            if "already" not in result["msg"]:
                raise Failed(f"state aborted: {result['msg']}")
        result = self.lab.module(TARGET, "virt8ra.federation.vm_migration", self._options("completed"))
        if result.get("failed"):
            raise Failed(f"run again: {result['msg']}")
        return TARGET

    def _wait_for_worker(self) -> None:
        """A controller that died leaves its worker at work; the next play waits for it by itself, and so it shall."""

    def _judge(self, end: str) -> None:
        """Read from both ends, as invariant 4 has it."""
        other = SOURCE if end == TARGET else TARGET
        states = {host: self.guest.state(host) for host in (SOURCE, TARGET)}
        if states[end] != "running" or states[other] not in ("shut off", ""):
            raise Failed(f"the VM should run at {end} alone: {states}")
        before = self.guest.acknowledged(end)
        self.guest.wait(lambda: self.guest.acknowledged(end) > before, "the guest to write on")
        self.guest.volume = self._volume(end)
        verdict = self.guest.verdict(end)
        if verdict["lost"] or not verdict["contiguous"] or not verdict["acknowledged"]:
            raise Failed(f"writes are lost: {verdict}")
        if states[other]:
            refused = self.lab.run(other, f"virsh start {NAME} 2>&1", check=False)
            if "may not start" not in refused:
                raise Failed(f"{other} may start a second copy: {refused}")
        if end == TARGET:
            released = self.lab.module(TARGET, "virt8ra.federation.vm_migration", self._options("released"))
            if released.get("failed"):
                raise Failed(f"state released: {released['msg']}")
        left = self._left_behind(end)
        if left:
            raise Failed(f"left behind: {left}")

    def _left_behind(self, end: str) -> dict[str, str]:
        """Orphans by host: volumes, scratch files, checkpoints, jobs, servers, locks, fences, permits."""
        found = {}
        for host in (SOURCE, TARGET):
            looks = {
                "volumes": f"find /var/lib/libvirt -path '*/qemu' -prune -o -name '{NAME}-*' -print" if host != end else "true",
                "scratch": f"find /var/lib/libvirt -name '*{NAME}*virt8ra-scratch*'",
                "checkpoints": f"virsh checkpoint-list {NAME} --name 2>/dev/null | grep .",
                "job": f"virsh backup-dumpxml {NAME} 2>/dev/null",
                "server": f"pgrep -af '[q]emu-nbd.*{NAME}'",
                "locks": f"find /var/lib/virt8ra/migrations -name '{self.uuid}*'",
                "fences": f"ls /var/lib/virt8ra/owners | grep {self.uuid} | grep -E 'fence|permit|aside'",
                "bitmaps": f"qemu-img info -U {self._volume(host)} 2>/dev/null | grep virt8ra" if host == end else "true",
                "pools": "virsh pool-list --all --name | grep virt8ra-files",
            }
            for what, look in looks.items():
                said = self.lab.run(host, f"{look} || true").strip()
                if said:
                    found[f"{what} at {host}"] = said
        return found

    def _volume(self, host: str) -> str:
        return self.lab.run(host, f"virsh domblklist {NAME} 2>/dev/null | awk '$1 == \"vda\" {{print $2}}'").strip() or "/dev/null"


def carry_out(lab: Lab, plan: Plan) -> dict[str, Any]:
    """``{mode, phase, fault, then, survived, why, seconds}`` of one case; the lab is mended whatever happened."""
    begun = time.monotonic()
    why = ""
    case = Case(lab, plan)
    try:
        case.run()
    except AssertionError as error:
        why = str(error)
    finally:
        heal_link(case)
    return {
        "mode": plan.mode,
        "phase": plan.phase,
        "fault": plan.fault,
        "then": plan.then,
        "survived": not why,
        "why": why,
        "seconds": round(time.monotonic() - begun, 1),
    }


__all__ = ["AGAIN", "Case", "Failed", "carry_out"]
