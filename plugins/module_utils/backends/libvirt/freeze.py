# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest's file systems, frozen through its agent for a moment. They are thawed whatever happens, also when we are killed in it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from ...errors import BackendError
from .addresses import has_agent
from .connection import libvirt, one_line

_TRIES = 5
# It waits for our end of the pipe to close, which the kernel sees to, and thaws by a connection of its own.
_KEEPER = (
    "import sys, libvirt\n"
    "if sys.stdin.read() != 'thawed':\n"
    "    libvirt.open(sys.argv[1]).lookupByUUIDString(sys.argv[2]).fsThaw()\n"
)


class Frozen:
    """``reason`` says why the file systems are not frozen; empty when they are."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason


@contextlib.contextmanager
def frozen(domain: Any, uri: str) -> Iterator[Frozen]:
    """File systems frozen for as long as the block takes, where the guest has an agent that can.

    :raises BackendError: they could not be thawed again
    """
    if not has_agent(ET.fromstring(domain.XMLDesc())):
        yield Frozen("no guest agent answers")
        return
    keeper = subprocess.Popen(
        [sys.executable, "-c", _KEEPER, uri, domain.UUIDString()],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    try:
        reason = _freeze(domain)
        yield Frozen(reason)
    finally:
        try:
            # A freeze that failed in its middle has frozen a part.
            _thaw(domain)
            keeper.communicate("thawed")
        finally:
            if keeper.stdin is not None:
                keeper.stdin.close()
            keeper.wait()


def _freeze(domain: Any) -> str:
    try:
        domain.fsFreeze()
    except libvirt.libvirtError as error:
        return f"the guest agent does not freeze its file systems ({one_line(error)})"
    return ""


def _thaw(domain: Any) -> None:
    fault = ""
    for attempt in range(_TRIES):
        try:
            domain.fsThaw()
            return
        except libvirt.libvirtError as error:
            fault = one_line(error)
            if "not support" in fault or "disabled" in fault or "not found" in fault or not domain.isActive():
                return
        time.sleep(0.5 * (attempt + 1))
    name = domain.name()
    raise BackendError(f"the file systems of VM {name} could not be thawed ({fault})", remedy=f"run virsh domfsthaw {name} at once")
