# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows what the module vm_guest_wait waits for, which works detached on the hypervisor meanwhile."""

from __future__ import annotations

from typing import Any

from ansible_collections.virt8ra.federation.plugins.action.vm_migration import ActionModule as WatchedModule
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.shown import duration, plain, whole

STEP = 10


class ActionModule(WatchedModule):
    """Check mode and async tasks go straight to the module."""

    module = "virt8ra.federation.vm_guest_wait"

    def watched(self, args: dict[str, Any]) -> bool:
        return True

    def line(self, args: dict[str, Any], progress: dict[str, Any]) -> str:
        # A line for each thing that is waited for, and one now and then.
        seconds = whole(progress, "seconds") // STEP * STEP
        return plain(f"{args['name']}  waiting for {progress.get('phase', '')}" + (f"  {duration(seconds)}" if seconds else ""))

    def cut_off(self, args: dict[str, Any]) -> str:
        return f"the wait for the guest of VM {args['name']} was cut off: its process died; run it again"
