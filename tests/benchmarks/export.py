# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An export against ``qemu-img convert`` of the same disk on the same hypervisor, by turns.

A disk of 2 GiB, half full, that only this benchmark writes. Ours is the time that the module tells of: the whole bundle, with the digests of
all files, on the disk. The peer is ``qemu-img convert`` to qcow2 and ``sync`` of what it made, without any digest.
"""

from __future__ import annotations

import statistics
from typing import Any

from tests.integration.guest import POOL, SOURCE, Guest
from tests.integration.lab import Lab as Hosts

from .bench import Lab, Row, repeats

NAME = "bench-export"
_FULL = 1024  # MiB of data
_IMAGE = f"/var/lib/libvirt/images/{NAME}.raw"
_PATH = f"{POOL}/{NAME}.bundle"
_PEER = f"{POOL}/.{NAME}-peer.qcow2"
_BAR = 0.9


def run(lab: Lab) -> list[Row]:
    """Rates in MiB/s."""
    guest = Guest(Hosts(), NAME)
    guest.remove()
    try:
        _deploy(guest)
        running = _measured(guest, "running")
        guest.lab.run(SOURCE, f"virsh destroy {NAME}")
        return [_measured(guest, "off"), running]
    finally:
        guest.remove()
        guest.lab.run(
            SOURCE, f"rm -rf {_IMAGE} {_PATH} {POOL}/.{NAME}*; virsh pool-refresh images; virsh pool-refresh vms", check=False
        )


def _deploy(guest: Guest) -> None:
    # Every other 8 MiB hold data, so that there are holes to be found.
    fill = f"for n in $(seq 0 {_FULL // 8 - 1}); do dd if=/dev/urandom of={_IMAGE} bs=1M count=8 seek=$((n * 16)) conv=notrunc status=none; done"
    guest.lab.run(SOURCE, f"truncate -s {2 * _FULL}M {_IMAGE}; {fill}; virsh pool-refresh images")
    first = {"name": "vda", "size": "64MiB", "storage": "ssd", "image": "images/t-guest.img"}
    guest.deploy(disks=[first, {"name": "vdb", "size": "2GiB", "storage": "ssd", "image": f"images/{NAME}.raw"}])
    guest.lab.run(SOURCE, f"rm {_IMAGE}; sync")


def _measured(guest: Guest, state: str) -> Row:
    ours: list[float] = []
    peer: list[float] = []
    for number in range(repeats()):
        ours.append(_FULL / _export(guest))
        peer.append(_FULL / _convert(guest))
        print(f"    {state} {number + 1}: ours {ours[-1]:.0f}, qemu-img convert {peer[-1]:.0f} MiB/s", flush=True)
    rate, rate_peer = statistics.median(ours), statistics.median(peer)
    return Row(f"export of a VM that is {state}: rate over qemu-img convert, MiB/s", rate, rate_peer, rate / rate_peer, _BAR)


def _export(guest: Guest) -> float:
    """Seconds."""
    options: dict[str, Any] = {"name": NAME, "path": _PATH, "force": True}
    options.update(site="{{ federation_site }}", hypervisor="{{ inventory_hostname }}")
    result = guest.lab.module(SOURCE, "virt8ra.federation.vm_export", options)
    if result.get("failed"):
        raise RuntimeError(result["msg"])
    return float(result["bundle"]["seconds"])


def _convert(guest: Guest) -> float:
    """Seconds; both disks, as ours takes both. A running VM's images are read beside it, which is of no use but for the time."""
    each = "; ".join(
        f"qemu-img convert -U -f qcow2 -O qcow2 {POOL}/{NAME}-{disk}.qcow2 {_PEER} && sync {_PEER} && rm {_PEER}"
        for disk in ("vda", "vdb")
    )
    began, ended = guest.lab.run(SOURCE, f"date +%s%3N; {each}; date +%s%3N").split()
    return (int(ended) - int(began)) / 1000
