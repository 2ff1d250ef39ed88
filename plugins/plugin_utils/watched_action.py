# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action plugin that shows the progress of its module, which works detached on the hypervisor meanwhile."""

from __future__ import annotations

import itertools
import json
import shlex
import time
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

LONGEST = 7 * 24 * 3600
INTERVAL = 1.0
PATIENCE = 10
ASK_EVERY = 60
SILENT = 120
_JOBS_OWN = ("ansible_job_id", "results_file", "started", "finished", "stdout", "stdout_lines", "stderr", "stderr_lines")


class WatchedAction(ActionBase):
    """Check mode, async tasks and what is quick go straight to the module.

    Its module has the option ``progress_path``, where it writes a ProgressFile.
    """

    module = ""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return self.carried_out(dict(self._task.args), task_vars)

    def is_watched(self, args: Mapping[str, Any]) -> bool:
        """Whether there will be progress to show."""
        return True

    def line(self, args: Mapping[str, Any], progress: Mapping[str, Any]) -> str:
        """The progress as a person sees it."""
        raise NotImplementedError

    def died(self, args: Mapping[str, Any]) -> str:
        """What to tell of a module whose process is gone: what that means, and what to do."""
        raise NotImplementedError

    def carried_out(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """The module's result."""
        if self._task.async_val or self._task.check_mode or not self.is_watched(args):
            return self._execute_module(
                module_name=self.module, module_args=args, task_vars=task_vars, wrap_async=bool(self._task.async_val)
            )
        try:
            return self._run_watched(args, task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _run_watched(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        self._make_tmp_path()
        path = args.setdefault("progress_path", self._connection._shell.join_path(self._connection._shell.tmpdir, "progress.json"))
        # What an earlier run left there names a process that is gone.
        self._low_level_execute_command(f"rm -f {shlex.quote(path)}", sudoable=True)
        self._task.async_val = LONGEST
        try:
            job = self._execute_module(module_name=self.module, module_args=args, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0
        if "ansible_job_id" not in job:
            return job
        status = self._follow(job["ansible_job_id"], path, args, task_vars)
        self._job_status(job["ansible_job_id"], "cleanup", task_vars)
        for key in _JOBS_OWN:
            status.pop(key, None)
        return status

    def _follow(self, job_id: str, path: str, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        shown, pid, dead, seen_alive = "", 0, 0, 0
        for look in itertools.count():
            time.sleep(INTERVAL)
            progress, alive = self._progress(path, pid)
            alive = alive and (pid > 0 or look < SILENT)
            if progress:
                pid = int(progress["pid"])
                line = self.line(args, progress)
                if line != shown:
                    display.display(line)
                    shown = line
            # Asking for a job's status starts Python on a hypervisor that has better things to do: not while the module is at work.
            seen_alive = seen_alive + 1 if pid and alive else 0
            if seen_alive % ASK_EVERY:
                continue
            status = self._job_status(job_id, "status", task_vars)
            if status.get("finished") or "finished" not in status:
                return status
            # Between a module's end and its result lies a moment; a module that was killed never brings one.
            dead = 0 if alive else dead + 1
            if dead >= PATIENCE:
                return {"failed": True, "changed": True, "msg": self.died(args)}
        raise AssertionError("it is followed until it ends")

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
