# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest that writes a growing counter, for tests that move it about."""

from __future__ import annotations

import functools
import json
import re
import time
from typing import Any

from .lab import ADDRESSES, ROOT, Lab

SOURCE, TARGET = "lab-es-1", "lab-de-1"
POOL = "/var/lib/libvirt/vms"
IMAGE = "t-guest.img"
LONGEST = 600.0


@functools.cache
def built_image(lab: Lab) -> str:
    """Path of the demo guest's image on this machine; the role makes it when it is not there."""
    role = {"name": "build", "ansible.builtin.include_role": {"name": "virt8ra.federation.demo_guest"}}
    shown = {"name": "tell", "ansible.builtin.debug": {"var": "demo_guest_image"}}
    result = lab.tasks("localhost", [role, shown])[-1]
    assert "demo_guest_image" in result, result
    return str(ROOT / result["demo_guest_image"])


class Guest:
    """A VM of the lab, and what a test asks about it."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.name = name
        self.volume = f"{POOL}/{name}-vda.qcow2"
        self.log = f"/var/log/libvirt/qemu/{name}-console.log"

    def deploy(self, host: str = SOURCE, **spec: Any) -> dict[str, Any]:
        """Make it at the host from the demo guest's image and wait until it writes."""
        image = built_image(self.lab)
        self.lab.module(host, "ansible.builtin.copy", {"src": image, "dest": f"/var/lib/libvirt/images/{IMAGE}", "mode": "0644"})
        options = {
            "name": self.name,
            "state": "running",
            "cpus": 1,
            "memory": "128MiB",
            "disks": [{"name": "vda", "size": "64MiB", "storage": "ssd", "image": f"images/{IMAGE}"}],
            "nics": [{"network": "public"}],
            "console_log": True,
            "site": "{{ federation_site }}",
            "hypervisor": "{{ inventory_hostname }}",
            **spec,
        }
        result = self.lab.module(host, "virt8ra.federation.vm", options)
        assert not result.get("failed"), result.get("msg")
        self.wait_for_writes(host, 5)
        return result

    def acknowledged(self, host: str) -> int:
        """The highest write that the guest saw acknowledged, by its console at this host; 0 for none."""
        numbers = re.findall(r"^ack (\d+)\s*$", self.lab.run(host, f"tail -n 50 {self.log}", check=False), re.MULTILINE)
        return max(map(int, numbers), default=0)

    def wait_for_writes(self, host: str, more: int) -> None:
        """Return once so many further writes were acknowledged at this host."""
        begun = self.acknowledged(host)
        self.wait(lambda: self.acknowledged(host) >= begun + more, f"{self.name} to write at {host}")

    def wait(self, condition: Any, what: str) -> None:
        """AssertionError when the condition does not come true within a generous time."""
        deadline = time.monotonic() + LONGEST
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.5)

    def state(self, host: str) -> str:
        """libvirt's word, or an empty string where the host has no such VM."""
        return self.lab.run(host, f"virsh domstate {self.name} 2>/dev/null", check=False).strip()

    def volumes(self, host: str) -> list[str]:
        return self.lab.run(host, f"ls {POOL} | grep '^{self.name}-' || true").split()

    def migration(self, source: str = SOURCE, target: str = TARGET, **options: Any) -> dict[str, Any]:
        """Options of vm_migration for this guest."""
        return {
            "name": self.name,
            "source_hypervisor": source,
            "source_site": f"{{{{ hostvars['{source}'].federation_site }}}}",
            "hypervisor": "{{ inventory_hostname }}",
            "site": "{{ federation_site }}",
            **options,
        }

    def migrate(
        self, source: str = SOURCE, target: str = TARGET, *, check: bool = False, diff: bool = False, **options: Any
    ) -> dict[str, Any]:
        """The result of vm_migration, run at the target."""
        arguments = self.migration(source, target, **options)
        return self.lab.module(target, "virt8ra.federation.vm_migration", arguments, check=check, diff=diff)

    def verdict(self, host: str) -> dict[str, Any]:
        """What demo_guest's verify entry point found: writes acknowledged, found and lost; the VM is held still meanwhile."""
        self.lab.run(host, f"virsh suspend {self.name}")
        try:
            logs = [
                {"path": self.log, "host": end}
                for end in (SOURCE, TARGET)
                if self.lab.run(end, f"ls {self.log} 2>/dev/null", check=False)
            ]
            role = {
                "name": "compare",
                "ansible.builtin.include_role": {"name": "virt8ra.federation.demo_guest", "tasks_from": "verify"},
                "vars": {
                    "demo_guest_volume": self.volume,
                    "demo_guest_volume_format": "raw" if self.volume.endswith(".raw") else "qcow2",
                    "demo_guest_console_logs": logs,
                },
            }
            shown = {"name": "tell", "ansible.builtin.debug": {"msg": "{{ demo_guest_writes | to_json }}"}}
            results = self.lab.tasks(host, [role, shown])
            assert not results[-1].get("failed"), results[-1].get("msg")
            writes = results[-1]["msg"]
            return writes if isinstance(writes, dict) else json.loads(writes)
        finally:
            self.lab.run(host, f"virsh resume {self.name}")

    def remove(self) -> None:
        """Everything of it at all hosts, by its own name."""
        found = [self.lab.run(host, f"virsh domuuid {self.name} 2>/dev/null", check=False).strip() for host in ADDRESSES]
        records = " ".join(
            f"/var/lib/virt8ra/owners/{uuid}.* /var/lib/virt8ra/migrations/{uuid}* /var/lib/virt8ra/receipts/{uuid}.*"
            for uuid in found
            if uuid
        )
        flags = "--managed-save --snapshots-metadata --checkpoints-metadata --nvram"
        for host in ADDRESSES:
            self.lab.run(
                host,
                f"rm -rf {records}; "
                f"grep -l '/{self.name}-' /var/lib/virt8ra/owners/* 2>/dev/null | xargs -r rm -f; "
                f"virsh pool-refresh virt8ra-owners >/dev/null; "
                f"virsh destroy {self.name} >/dev/null 2>&1; virsh undefine {self.name} {flags} >/dev/null 2>&1; "
                f"rm -f {POOL}/{self.name}-* {self.log}; virsh pool-refresh vms >/dev/null",
                check=False,
            )
