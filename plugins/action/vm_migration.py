# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows the progress of the module vm_migration, which works detached on the target hypervisor meanwhile, and writes its report."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import FederationError
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.progress import picture
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.files import write_report

display = Display()

MODULE = "virt8ra.federation.vm_migration"
WATCHED = ("synced", "completed")
LONGEST = 7 * 24 * 3600
INTERVAL = 1.0
PATIENCE = 5
DIED = "the migration of VM {name} was cut off: its process died on {hypervisor}; run it again to finish it, or with state=aborted"


class ActionModule(ActionBase):
    """Check mode, async tasks and the quick states go straight to the module."""

    _supports_check_mode = True
    _supports_async = True
    # What other long modules, whose plugins are made from this one, have of their own.
    module = MODULE
    died = DIED

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        result = self._carried_out(args, task_vars)
        folder = args.get("report_dir")
        if folder and result.get("report") and not self._task.check_mode:
            try:
                result["report_files"] = write_report(result["report"], str(folder))
            except FederationError as error:
                display.warning(f"the report of the migration of VM {args.get('name')} was not written: {error}")
        return result

    def _carried_out(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        if self._task.async_val or self._task.check_mode or self._is_quick(args):
            return self._execute_module(
                module_name=self.module, module_args=args, task_vars=task_vars, wrap_async=bool(self._task.async_val)
            )
        try:
            return self._run_watched(args, task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _is_quick(self, args: dict[str, Any]) -> bool:
        return args.get("state", "completed") not in WATCHED

    def _picture(self, args: dict[str, Any], progress: dict[str, Any]) -> str:
        return picture(args["name"], args["source_hypervisor"], args["hypervisor"], progress)

    def _run_watched(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        self._make_tmp_path()
        path = args.setdefault("progress_path", self._connection._shell.join_path(self._connection._shell.tmpdir, "progress.json"))
        self._task.async_val = LONGEST
        try:
            job = self._execute_module(module_name=self.module, module_args=args, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0
        if "ansible_job_id" not in job:
            return job
        status = self._follow(job["ansible_job_id"], path, args, task_vars)
        self._job_status(job["ansible_job_id"], "cleanup", task_vars)
        for key in ("ansible_job_id", "results_file", "started", "finished", "stdout", "stdout_lines", "stderr", "stderr_lines"):
            status.pop(key, None)
        return status

    def _follow(self, job_id: str, path: str, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        shown, pid, dead = "", 0, 0
        while True:
            time.sleep(INTERVAL)
            progress, alive = self._progress(path, pid)
            if progress:
                pid = int(progress["pid"])
                line = self._picture(args, progress)
                if line != shown:
                    display.display(line)
                    shown = line
            status = self._job_status(job_id, "status", task_vars)
            if status.get("finished") or "finished" not in status:
                return status
            # Between a module's end and its result lies a moment; a module that was killed never brings one.
            dead = 0 if alive else dead + 1
            if dead >= PATIENCE:
                return {"failed": True, "changed": True, "msg": self.died.format(**args)}

    def _progress(self, path: str, pid: int) -> tuple[dict[str, Any], bool]:
        """What the module wrote last, and whether its process is there."""
        command = f"cat {shlex.quote(path)} 2>/dev/null; test {pid} = 0 || kill -0 {pid}"
        answer = self._low_level_execute_command(command, sudoable=True)
        try:
            progress = json.loads(answer.get("stdout", ""))
        except ValueError:
            progress = {}
        return progress, answer.get("rc") == 0

    def _job_status(self, job_id: str, mode: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        args = {"jid": job_id, "mode": mode, "_async_dir": self.get_shell_option("async_dir", default="~/.ansible_async")}
        return self._execute_module(module_name="ansible.legacy.async_status", module_args=args, task_vars=task_vars)
