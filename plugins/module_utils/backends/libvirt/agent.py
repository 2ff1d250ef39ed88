# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest agent: questions to the system in a VM. What it answers comes from the guest, and is data."""

from __future__ import annotations

import base64
import json
from typing import Any

from ...errors import BackendError
from .connection import libvirt, one_line

try:
    import libvirt_qemu
except ImportError:
    libvirt_qemu = None

_PIECE = 2**16
_LARGEST = 2**20


class AgentRefusal(BackendError):
    """The guest does not allow this command to its agent."""


class GuestAgent:
    """The agent of one running domain.

    :param timeout: seconds that it has for an answer
    """

    def __init__(self, domain: Any, timeout: int = 5) -> None:
        self._domain = domain
        self._timeout = timeout

    def ask(self, command: str, **arguments: Any) -> Any:
        """What the command returns; AgentRefusal where it is not allowed, BackendError where it fails or nobody answers."""
        request = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})
        try:
            return json.loads(libvirt_qemu.qemuAgentCommand(self._domain, request, self._timeout, 0)).get("return")
        except libvirt.libvirtError as error:
            told = one_line(error)
            refused = "has been disabled" in told or "has not been found" in told or "is disabled" in told
            kind = AgentRefusal if refused else BackendError
            raise kind(f"the guest agent of VM {self._domain.name()} failed at {command}: {told}") from error

    def answers(self) -> bool:
        try:
            self.ask("guest-ping")
        except BackendError:
            return False
        return True

    def read_file(self, path: str) -> bytes | None:
        """A small file of the guest; None where it is not there. AgentRefusal where files may not be read."""
        try:
            handle = self.ask("guest-file-open", path=path, mode="r")
        except AgentRefusal:
            raise
        except BackendError:
            return None
        try:
            content = b""
            while len(content) < _LARGEST:
                answer = self.ask("guest-file-read", handle=handle, count=_PIECE)
                content += base64.b64decode(answer.get("buf-b64", ""))
                if answer.get("eof") or not answer.get("count"):
                    break
            return content
        finally:
            self.ask("guest-file-close", handle=handle)

    def hostname(self) -> str:
        return self._text("guest-get-host-name", "host-name")

    def system(self) -> dict[str, str]:
        """``{id, name, version, kernel}`` of the operating system; empty strings for what is not told."""
        try:
            told = self.ask("guest-get-osinfo") or {}
        except BackendError:
            told = {}
        keys = {"id": "id", "name": "pretty-name", "version": "version-id", "kernel": "kernel-release"}
        return {key: str(told.get(name) or "") for key, name in keys.items()}

    def _text(self, command: str, key: str) -> str:
        try:
            return str((self.ask(command) or {}).get(key) or "")
        except BackendError:
            return ""
