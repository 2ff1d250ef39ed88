# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All evidence of one hypervisor with its VMs."""

from __future__ import annotations

from typing import Any

from ...backends.host import Host
from ...backends.libvirt import evidence as described
from ...errors import FederationError
from .facts import gather, subject
from .hypervisor import hypervisor_areas, luks_below
from .vms import running_vms, vm_subjects


def hypervisor_evidence(conn: Any, name: str, site: str, host: Any = None) -> list[dict[str, Any]]:
    """The hypervisor and each of its VMs; ``conn``: an open virConnect, ``host``: what is read, the own one if None."""
    own = host or Host()
    pools = described.pool_descriptions(conn)
    try:
        volumes = described.encrypted_volumes(conn)
    except FederationError:
        volumes = {}  # A disk of which nothing is known says so itself.
    facts = gather(hypervisor_areas(own, pools))
    vms = vm_subjects(described.domain_descriptions(conn), site, volumes, luks_below(own, pools))
    facts["running_vms"] = running_vms(vms)
    return [subject("hypervisor", name, site, facts), *vms]
