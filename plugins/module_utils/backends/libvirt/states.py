# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's numbers for a domain's state (virDomainState) in the words of ``model.VM_STATES``."""

from __future__ import annotations

_WORDS = {
    0: "running",  # no state: the hypervisor's driver keeps none, the domain is there
    1: "running",
    2: "running",  # blocked on a resource
    3: "paused",
    4: "running",  # being shut down
    5: "stopped",
    6: "crashed",
    7: "paused",  # suspended by the guest's power management
}


def word(state: int) -> str:
    """One of ``model.VM_STATES``; a number that a newer libvirt may add counts as running, which promises least."""
    return _WORDS.get(state, "running")
