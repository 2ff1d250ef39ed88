# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting until the system in a VM is there: its agent answers, cloud-init has ended, it has an address."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any, Callable

from ...cloud_init.progress import DISABLED, RESULT, STATUS, Progress, read_progress
from ...errors import BackendError, InputError, NotFoundError
from . import addresses, domain_parts, domains, metadata, states
from .agent import AgentRefusal, GuestAgent
from .connection import told

_POLL = 1.0
_ASK_AGAIN = 30.0  # seconds that a guest has for a new lease before its cable is pulled again
_UNPLUGGED = 3.0  # seconds; a guest looks at its link about every second
_LOOK = "look at its console"

Report = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Awaited:
    """``cloud_init``: None waits for it where the VM was given its data. ``renew``: ask anew where this site gave no address."""

    timeout: float
    cloud_init: bool | None = None
    address: bool = True
    renew: bool = False


class GuestWait:
    """One wait for one VM."""

    def __init__(self, conn: Any, name: str, awaited: Awaited, report: Report) -> None:
        self._conn = conn
        self._name = name
        self._awaited = awaited
        self._report = report
        self._begun = time.monotonic()
        self._progress: Progress | None = None
        self._asked_anew = -_ASK_AGAIN
        self.renewed = False
        with told(f"looking up the VM {name}", remedy="check its name, and where it is now"):
            self._domain = conn.lookupByName(name)
        if self._root().find("devices/channel/target[@name='org.qemu.guest_agent.0']") is None:
            raise InputError("has no channel to a guest agent", option="name", value=name, remedy="add one, or wait for its SSH")

    def run(self) -> dict[str, Any]:
        """What ``found`` tells, once all that is waited for is there; BackendError when it is late or cloud-init failed."""
        self._until(self._agent_answers, "guest agent", f"did not answer; is qemu-guest-agent installed in it? {_LOOK}")
        if self._waits_for_cloud_init():
            self._until(
                self._cloud_init_ended, "cloud-init", f"was not told of; {_LOOK}, or do not wait for it with cloud_init=false"
            )
            self._check_errors()
        if self._awaited.address:
            self._until(self._has_address, "address", "was not to be seen; look at its network configuration")
        return self.found()

    def found(self) -> dict[str, Any]:
        """``{agent, hostname, system, addresses, cloud_init}`` as they are now."""
        agent = GuestAgent(self._domain)
        answers = self._agent_answers()
        if answers and self._progress is None and self._waits_for_cloud_init():
            self._cloud_init_ended()
        progress = self._progress
        return {
            "agent": answers,
            "hostname": agent.hostname() if answers else "",
            "system": agent.system() if answers else {},
            "addresses": self._addresses(),
            "cloud_init": None
            if progress is None
            else {"done": progress.done, "datasource": progress.datasource, "errors": list(progress.errors)},
        }

    def _until(self, condition: Callable[[], bool], what: str, otherwise: str) -> None:
        while not condition():
            seconds = time.monotonic() - self._begun
            stage = self._progress.stage if self._progress is not None else ""
            if seconds > self._awaited.timeout:
                late = f"was still at {stage}; {_LOOK}" if what == "cloud-init" and stage else otherwise
                fault, _semicolon, remedy = late.partition("; ")
                after = f"within {self._awaited.timeout:g} s"
                raise BackendError(
                    f"{_article(what)} of VM {self._name} {fault} {after}", remedy=f"{remedy}, or give it more time with timeout"
                )
            self._report(f"{what} {stage}".strip(), {"seconds": seconds})
            time.sleep(_POLL)
            self._check_running()

    def _root(self) -> ET.Element:
        with told(f"reading the VM {self._name}"):
            return ET.fromstring(self._domain.XMLDesc())

    def _check_running(self) -> None:
        with told(f"reading the VM {self._name}"):
            state = states.word(self._domain.state()[0])
        if state != "running":
            raise BackendError(
                f"the VM {self._name} is {state}, so that nothing can be waited for", remedy="start it, and look at its console"
            )

    def _agent_answers(self) -> bool:
        return addresses.has_agent(self._root()) and GuestAgent(self._domain).answers()

    def _waits_for_cloud_init(self) -> bool:
        if self._awaited.cloud_init is not None:
            return self._awaited.cloud_init
        return bool(metadata.seed_digest(self._root()))

    def _cloud_init_ended(self) -> bool:
        agent = GuestAgent(self._domain)
        try:
            progress = read_progress(agent.read_file(RESULT), agent.read_file(STATUS))
            if not progress.done and not progress.stage and agent.read_file(DISABLED) is not None:
                raise BackendError(
                    f"cloud-init is disabled in the guest of VM {self._name}",
                    remedy="see that it finds its data, or do not wait for it with cloud_init=false",
                )
        except AgentRefusal:
            raise BackendError(
                f"the guest of VM {self._name} does not let its agent read files",
                remedy="allow it guest-file-open, guest-file-read and guest-file-close, or use cloud_init=false",
            ) from None
        self._progress = progress
        return progress.done

    def _check_errors(self) -> None:
        errors = self._progress.errors if self._progress is not None else ()
        if errors:
            more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
            raise BackendError(
                f"cloud-init of VM {self._name} ended with an error: {errors[0]}{more}",
                remedy="look at /var/log/cloud-init.log and cloud-init-output.log in the guest",
            )

    def _addresses(self) -> list[str]:
        root = self._root()
        macs = domain_parts.macs(root)
        leased = addresses.best_first(addresses.leased(self._conn), macs)
        return leased or addresses.asked(self._domain, macs, addresses.has_agent(root))

    def _has_address(self) -> bool:
        if not self._awaited.renew:
            return bool(self._addresses())
        leases = addresses.leased(self._conn)
        lacking = [nic for mac, nic in domain_parts.nics_by_mac(self._root()).items() if mac not in leases and self._leases(nic)]
        if lacking and time.monotonic() - self._asked_anew >= _ASK_AGAIN:
            self._asked_anew = time.monotonic()
            self.renewed = True
            for state in ("down", "up"):
                for nic in lacking:
                    domains.set_link(self._domain, nic, state)
                time.sleep(_UNPLUGGED if state == "down" else 0)
        return not lacking and bool(self._addresses())

    def _leases(self, nic: ET.Element) -> bool:
        """Whether the NIC is on a network whose addresses libvirt gives here."""
        network = domain_parts.network(nic)
        try:
            with told(f"reading the network {network}"):
                return ET.fromstring(self._conn.networkLookupByName(network).XMLDesc()).find("ip/dhcp") is not None
        except (NotFoundError, BackendError):
            return False


def _article(what: str) -> str:
    return {"guest agent": "the guest agent", "address": "an address"}.get(what, what)
