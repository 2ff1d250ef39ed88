# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows what the module vm_guest_wait waits for, which works detached on the hypervisor meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.shown import duration, plain, whole
from ansible_collections.virt8ra.federation.plugins.plugin_utils.watched_action import WatchedAction

STEP = 10


class ActionModule(WatchedAction):
    module = "virt8ra.federation.vm_guest_wait"

    def line(self, args: Mapping[str, Any], progress: Mapping[str, Any]) -> str:
        # A line for each thing that is waited for, and one now and then.
        seconds = whole(progress, "seconds") // STEP * STEP
        return plain(f"{args['name']}  waiting for {progress.get('phase', '')}" + (f"  {duration(seconds)}" if seconds else ""))

    def died(self, args: Mapping[str, Any]) -> str:
        return f"the wait for the guest of VM {args['name']} was cut off: its process died; run it again"
