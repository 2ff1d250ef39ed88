# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A watched action whose module returns a report, which it writes on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.utils.display import Display
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import FederationError
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.files import write_report
from ansible_collections.virt8ra.federation.plugins.plugin_utils.watched_action import WatchedAction

display = Display()


class ReportedAction(WatchedAction):
    """The report goes into the folder of the option ``report_dir``; without it, and in check mode, none is written."""

    def reported_of(self, args: Mapping[str, Any]) -> str:
        """What the report is of, as a sentence about one that cannot be written names it."""
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        folder = self._task.args.get("report_dir")
        if folder and result.get("report") and not self._task.check_mode:
            try:
                result["report_files"] = write_report(result["report"], str(folder))
            except FederationError as error:
                display.warning(f"the report of {self.reported_of(self._task.args)} was not written: {error}")
        return result
