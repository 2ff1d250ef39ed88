# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows the progress of the module image, and brings it a file of the controller when no hypervisor has the image yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.progress import picture
from ansible_collections.virt8ra.federation.plugins.plugin_utils.watched_action import WatchedAction

DIED = "bringing the image {name} was cut off: its process died on {hypervisor}; run it again, what it left is taken away then"


class ActionModule(WatchedAction):
    module = "virt8ra.federation.image"
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        wanted = result.get("push")
        if not wanted or result.get("failed"):
            return result
        path = Path(str(wanted)).expanduser()
        if not path.is_file():
            remedy = "correct it, or name another source"
            error = InputError("is no file on the controller", option="source.file", value=str(wanted), remedy=remedy)
            return {"failed": True, "changed": False, "msg": error.sentence(), "error": error.to_dict()}
        if self._task.check_mode:
            return result
        return self._pushed(path, dict(self._task.args), task_vars)

    def _pushed(self, path: Path, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        shell = self._connection._shell
        folder = self._make_tmp_path()
        try:
            remote = shell.join_path(folder, "image")
            self._transfer_file(str(path), remote)
            self._fixup_perms2((folder, remote))
            args = {key: value for key, value in args.items() if key != "progress_path"}
            return self._execute_module(module_name=self.module, module_args={**args, "pushed_path": remote}, task_vars=task_vars)
        finally:
            self._remove_tmp_path(folder)

    def is_watched(self, args: Mapping[str, Any]) -> bool:
        return args.get("state", "present") == "present"

    def line(self, args: Mapping[str, Any], progress: Mapping[str, Any]) -> str:
        name = f"{args.get('name')}:{args.get('version')}"
        return picture(name, str(progress.get("source", "")), str(args.get("hypervisor")), progress)

    def died(self, args: Mapping[str, Any]) -> str:
        return DIED.format(**args)
