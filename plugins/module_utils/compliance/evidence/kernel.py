# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel says of the processor and of the hardware around it."""

from __future__ import annotations

from typing import Any

from ...backends.host.reading import Host
from ...errors import BackendError, NotFoundError
from .fact import Fact, measured

VULNERABILITIES = "/sys/devices/system/cpu/vulnerabilities"
DMI = "/sys/class/dmi/id"
_DMI = ("sys_vendor", "product_name", "product_serial", "board_vendor", "board_name", "bios_vendor", "bios_version", "bios_date")


def kernel_facts(host: Host) -> dict[str, Fact]:
    """Areas ``mitigations`` and ``hardware``."""
    return {
        "mitigations": measured(VULNERABILITIES, lambda: _mitigations(host)),
        "hardware": measured(DMI, lambda: _hardware(host)),
    }


def _mitigations(host: Host) -> list[dict[str, Any]]:
    """``[{name, state, vulnerable}]``. What the kernel does not know is vulnerable too: it says so by ``Unknown``."""
    found = []
    for name in host.names(VULNERABILITIES):
        state = host.read(f"{VULNERABILITIES}/{name}").strip()
        # The host's own state stands after "KVM: " where the guest is what is protected.
        told = state.partition("KVM: ")[2] or state
        found.append({"name": name, "state": state, "vulnerable": told.startswith(("Vulnerable", "Unknown"))})
    if not found:
        raise BackendError(f"{VULNERABILITIES} is empty")
    return found


def _hardware(host: Host) -> dict[str, Any]:
    """The firmware's own words by field, empty where it has none; ``missing`` names those that are empty."""
    host.names(DMI)
    told = {}
    for field in _DMI:
        try:
            told[field] = host.read(f"{DMI}/{field}").strip()
        except NotFoundError:
            told[field] = ""
    return {**told, "missing": [field for field in _DMI if not told[field]]}
