# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows the progress of the module vm_export, which works detached on the hypervisor meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.progress import picture
from ansible_collections.virt8ra.federation.plugins.plugin_utils.watched_action import WatchedAction

DIED = "the export of VM {name} was cut off: its process died; nothing was published, run it again"


class ActionModule(WatchedAction):
    module = "virt8ra.federation.vm_export"

    def is_watched(self, args: Mapping[str, Any]) -> bool:
        return {"name", "path"} <= set(args)

    def line(self, args: Mapping[str, Any], progress: Mapping[str, Any]) -> str:
        return picture(str(args["name"]), str(args.get("hypervisor", "here")), str(args["path"]), progress)

    def died(self, args: Mapping[str, Any]) -> str:
        return DIED.format(**args)
