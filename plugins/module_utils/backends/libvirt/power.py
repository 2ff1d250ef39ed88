# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Powering a VM for a cutover: the guest asked to shut down, the VM held paused for the last copy, started, and seen to live."""

from __future__ import annotations

import contextlib
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

from ...errors import BackendError, MigrationFailed
from .addresses import has_agent
from .connection import libvirt, one_line, told
from .migration_end import MigrationEnd

AUTO, AGENT, ACPI = "auto", "agent", "acpi"
SHUTDOWN_MODES = (AUTO, AGENT, ACPI)
_POLL = 0.1
_ASK_AGAIN = 10.0


@dataclass(frozen=True)
class Stopping:
    """How a guest is stopped: ``mode`` one of SHUTDOWN_MODES, ``timeout`` in seconds, ``force`` cuts its power after that."""

    mode: str = AUTO
    timeout: float = 120
    force: bool = False


class Power:
    """The power of the VM at one end."""

    def __init__(self, end: MigrationEnd) -> None:
        self._end = end

    def stop(self, how: Stopping) -> None:
        """Return when the VM is off; MigrationFailed when its guest does not shut down in time and its power may not be cut."""
        domain = self._end.domain()
        if not self._shut_down(domain, how):
            if not how.force:
                raise MigrationFailed(
                    f"the guest of VM {domain.name()} did not shut down within {how.timeout:g} s",
                    option="shutdown_timeout",
                    value=how.timeout,
                    remedy="allow it more, or cut its power with force_off; it was left as it is",
                )
            self.cut()

    def cut(self) -> None:
        """End its QEMU, whatever that is doing."""
        domain = self._end.domain()
        with told(f"cutting the power of VM {domain.name()} at {self._end.hypervisor}"):
            domain.destroy()

    def _shut_down(self, domain: Any, how: Stopping) -> bool:
        with told(f"shutting down VM {domain.name()}"):
            with_agent = has_agent(ET.fromstring(domain.XMLDesc()))
            if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                return False
        flags = {AGENT: libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT, ACPI: libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN}.get(how.mode, 0)
        if how.mode == AUTO and with_agent:
            flags = libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT
        deadline = time.monotonic() + how.timeout
        asked = -_ASK_AGAIN
        while time.monotonic() < deadline:
            if not _is_active(domain):
                return True
            # A guest that is still booting loses the request.
            if time.monotonic() - asked > _ASK_AGAIN:
                asked = time.monotonic()
                try:
                    domain.shutdownFlags(flags)
                except libvirt.libvirtError:
                    # An agent that does not answer: the power button is tried next.
                    flags = flags if how.mode == AGENT else 0
                    asked = time.monotonic() - _ASK_AGAIN + 1
            time.sleep(_POLL)
        return not _is_active(domain)

    def wait_until_off(self, seconds: float) -> bool:
        """Whether the VM is off within the time."""
        domain = self._end.domain()
        deadline = time.monotonic() + seconds
        while _is_active(domain):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    def hold(self) -> None:
        """Start the VM paused, so that its disks can be read and nothing runs; nothing to do where it is held already."""
        domain = self._end.domain()
        with told(f"holding VM {domain.name()} paused at {self._end.hypervisor}"):
            if not domain.isActive():
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)

    def release_held(self) -> None:
        """End a VM that is held paused; BackendError when it ran meanwhile."""
        domain = self._end.domain()
        if not _is_active(domain):
            return
        if self.has_written() or self._end.observe().state != "paused":
            raise BackendError(f"VM {domain.name()} was let run at {self._end.hypervisor} during its cutover")
        with told(f"ending the held VM {domain.name()}"):
            domain.destroy()

    def start(self) -> None:
        domain = self._end.domain()
        with told(f"starting VM {domain.name()} at {self._end.hypervisor}"):
            if domain.isActive():
                if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                    domain.resume()
            else:
                domain.create()

    def has_written(self) -> bool:
        """Whether the guest wrote to a disk since the VM was started."""
        return any(self._statistics(name)[2] > 0 for name in self._disks())

    def sign_of_life(self) -> str:
        """What the guest did since the start that only a living one does; empty as long as there is nothing."""
        if self._agent_answers():
            return "the guest agent answers"
        if self.has_written():
            return "the guest wrote to its disk"
        domain = self._end.domain()
        for target in self._root().findall("devices/interface/target"):
            with contextlib.suppress(libvirt.libvirtError):
                # libvirt turns a tap's counters round: they are the guest's. The sixth are the packets that it sent.
                if domain.interfaceStats(target.get("dev"))[5] > 0:
                    return "the guest sent a packet"
        return ""

    def _agent_answers(self) -> bool:
        if not has_agent(self._root()):
            return False
        try:
            self._end.domain().hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT)
        except libvirt.libvirtError:
            return False
        return True

    def _root(self) -> ET.Element:
        with told(f"reading VM {self._end.uuid} at {self._end.hypervisor}"):
            return ET.fromstring(self._end.domain().XMLDesc())

    def _disks(self) -> list[str]:
        targets = self._root().findall("devices/disk[@device='disk']/target")
        return [target.get("dev", "") for target in targets]

    def _statistics(self, disk: str) -> tuple[int, ...]:
        with told(f"reading the counters of disk {disk}"):
            read: tuple[int, ...] = self._end.domain().blockStats(disk)
            return read

    def written_bytes(self) -> int:
        """Bytes that the guest wrote to all disks since the VM was started."""
        return sum(self._statistics(name)[3] for name in self._disks())


def _is_active(domain: Any) -> bool:
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError as error:
        raise BackendError(f"reading the state of a VM failed: {one_line(error)}") from error
