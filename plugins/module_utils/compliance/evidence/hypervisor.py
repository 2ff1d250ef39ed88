# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All evidence of a hypervisor and its VMs, as one call gives it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ...backends.host.block_devices import BlockDevices
from ...backends.host.reading import Host
from .erasures import erasure_facts
from .fact import Fact
from .kernel import kernel_facts
from .logs import log_facts
from .outside import outside_facts
from .packages import package_facts
from .pools import pool_facts
from .transport import transport_facts
from .vms import vm_facts


@dataclass(frozen=True)
class Place:
    """Whose evidence it is, the address at which its ports are reached, and where our own files are on it."""

    hypervisor: str
    site: str
    address: str
    state: str
    sbom: str


def gather(place: Place, host: Host, roots: Sequence[ET.Element], pools: Sequence[ET.Element]) -> dict[str, Any]:
    """``{collected, subjects}``: the hypervisor first, then its VMs.

    :param roots: the domain XML of all VMs
    :param pools: the XML of all storage pools
    """
    now = datetime.now(timezone.utc)
    facts = {
        **transport_facts(host, place.address),
        **kernel_facts(host),
        **log_facts(host),
        **pool_facts(host, pools),
        **package_facts(host, place.sbom),
        **outside_facts(host),
    }
    encrypted = BlockDevices(host).encrypted
    subjects = [_subject("hypervisor", place.hypervisor, place.site, facts)]
    for root in roots:
        of_vm = {**vm_facts(root, encrypted), **erasure_facts(host, root, place.state)}
        subjects.append(_subject("vm", root.findtext("name") or "", place.site, of_vm))
    return {"collected": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "subjects": subjects}


def _subject(kind: str, name: str, site: str, facts: dict[str, Fact]) -> dict[str, Any]:
    return {"type": kind, "name": name, "site": site, "facts": facts}
