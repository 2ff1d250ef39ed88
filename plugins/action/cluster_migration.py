# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows the progress of the module cluster_migration, which works detached meanwhile, and writes its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.progress import picture
from ansible_collections.virt8ra.federation.plugins.plugin_utils.reported_action import ReportedAction

WATCHED = ("synced", "completed", "aborted", "released")
DIED = "the migration {name} was cut off: its process died; run it again to finish it, or with state=aborted"


class ActionModule(ReportedAction):
    module = "virt8ra.federation.cluster_migration"

    def reported_of(self, args: Mapping[str, Any]) -> str:
        return f"migration {_name(args)}"

    def is_watched(self, args: Mapping[str, Any]) -> bool:
        return args.get("state", "completed") in WATCHED

    def line(self, args: Mapping[str, Any], progress: Mapping[str, Any]) -> str:
        return picture(
            _name(args), str(args.get("source_context") or "source"), str(args.get("target_context") or "target"), progress
        )

    def died(self, args: Mapping[str, Any]) -> str:
        return DIED.format(name=_name(args))


def _name(args: Mapping[str, Any]) -> str:
    return str(args.get("name") or "of the cluster")
