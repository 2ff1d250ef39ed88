# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``vm_migration`` against plain ``virsh migrate`` with the same options, on the same guest, by turns.

Our total is the module's own: connecting, preflight, volumes, copy, commit. The peer's is the command alone; its volume at the
target is made before the clock starts. Downtime is libvirt's figure for both, with our wait for the commit added to ours.
"""

from __future__ import annotations

import re
import statistics

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import metadata

from tests.integration.guest import POOL, SOURCE, TARGET, Guest
from tests.integration.lab import ADDRESSES
from tests.integration.lab import Lab as Hosts

from .bench import Lab, Row, repeats

NAME = "bench-move"


def run(lab: Lab) -> list[Row]:
    """Two rows: total time and downtime, in ms."""
    guest = Guest(Hosts(), NAME)
    guest.remove()
    try:
        guest.deploy()
        ours: list[tuple[float, float]] = []
        peer: list[tuple[float, float]] = []
        for number in range(repeats()):
            ours.append(_ours(guest))
            peer.append(_peer(guest))
            print(f"    {number + 1}: ours {ours[-1]} ms, virsh {peer[-1]} ms (total, downtime)", flush=True)
    finally:
        guest.remove()
    total, downtime = (statistics.median(one[figure] for one in ours) for figure in (0, 1))
    total_peer, downtime_peer = (statistics.median(one[figure] for one in peer) for figure in (0, 1))
    return [
        Row("live migration: total over virsh's, ms", total, total_peer, total / total_peer, 1.2, True),
        Row("live migration: downtime over virsh's, ms", downtime, downtime_peer, downtime / downtime_peer, 1.1, True),
    ]


def _ours(guest: Guest) -> tuple[float, float]:
    """There by the module; the copy that stays behind is released outside of the clock."""
    moved = guest.migrate(SOURCE, TARGET)
    if moved.get("failed"):
        raise RuntimeError(moved["msg"])
    figures = moved["migration"]
    guest.migrate(SOURCE, TARGET, state="released")
    guest.wait_for_writes(TARGET, 20)
    return figures["total_ms"], figures["downtime_ms"]


def _peer(guest: Guest) -> tuple[float, float]:
    """Back by virsh."""
    hosts, name = guest.lab, guest.name
    # virsh knows nothing of owners, so the VM is made one without: the guard would let it in nowhere.
    hosts.run(TARGET, f"virsh metadata {name} --uri {metadata.namespace('owner')} --remove --live --config")
    uuid = hosts.run(TARGET, f"virsh domuuid {name}").strip()
    for host in (SOURCE, TARGET):
        hosts.run(host, f"rm -f /var/lib/virt8ra/owners/{uuid}.*; virsh pool-refresh virt8ra-owners")
    hosts.run(SOURCE, f"virsh vol-create-as vms {name}-vda.qcow2 64MiB --format qcow2")
    address = ADDRESSES[SOURCE]
    command = (
        f"virsh migrate {name} qemu+tls://{address}/system --migrateuri tcp://{address} --tls-destination {SOURCE} "
        "--live --p2p --persistent --copy-storage-all --migrate-disks vda --tls --auto-converge"
    )
    clock = "date +%s%3N"
    began, ended = hosts.run(TARGET, f"{clock}; {command} >&2 && {clock}").split()
    completed = [hosts.run(host, f"virsh domjobinfo {name} --completed --keep-completed", check=False) for host in (SOURCE, TARGET)]
    downtime = max(int(found) for text in completed for found in re.findall(r"Total downtime:\s+(\d+)", text))
    hosts.run(TARGET, f"virsh undefine {name}; rm {POOL}/{name}-vda.qcow2; virsh pool-refresh vms")
    guest.wait_for_writes(SOURCE, 20)
    return float(ended) - float(began), float(downtime)
