# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows the progress of the module vm_export, which works detached on the hypervisor meanwhile."""

from __future__ import annotations

from typing import Any

from ansible_collections.virt8ra.federation.plugins.action.vm_migration import ActionModule as Watched
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.progress import picture


class ActionModule(Watched):
    """Check mode and async tasks go straight to the module."""

    module = "virt8ra.federation.vm_export"
    died = "the export of VM {name} was cut off: its process died; nothing was published, run it again"

    def _is_quick(self, args: dict[str, Any]) -> bool:
        return not {"name", "path"} <= set(args)

    def _picture(self, args: dict[str, Any], progress: dict[str, Any]) -> str:
        return picture(str(args["name"]), str(args.get("hypervisor", "here")), str(args["path"]), progress)
