# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows the progress of the module vm_migration, which works detached on the target hypervisor meanwhile, and writes its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.progress import picture
from ansible_collections.virt8ra.federation.plugins.plugin_utils.reported_action import ReportedAction

WATCHED = ("synced", "completed")
DIED = "the migration of VM {name} was cut off: its process died on {hypervisor}; run it again to finish it, or with state=aborted"


class ActionModule(ReportedAction):
    module = "virt8ra.federation.vm_migration"

    def reported_of(self, args: Mapping[str, Any]) -> str:
        return f"the migration of VM {args.get('name')}"

    def is_watched(self, args: Mapping[str, Any]) -> bool:
        return args.get("state", "completed") in WATCHED

    def line(self, args: Mapping[str, Any], progress: Mapping[str, Any]) -> str:
        return picture(args["name"], args["source_hypervisor"], args["hypervisor"], progress)

    def died(self, args: Mapping[str, Any]) -> str:
        return DIED.format(**args)
