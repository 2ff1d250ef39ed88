# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The copying of a warm migration against ``nbdcopy`` between the same two hosts, and its downtime against a plain reboot.

A guest that writes a little has a second disk of 2 GiB, half full, which only this benchmark writes. The peer reads the same kind of
export (a pull backup under TLS) and writes the same kind of server (qemu-nbd on a new qcow2), by turns with ours. Our rate is that of the
copy, digests included; reading everything back afterwards, which nbdcopy does not do, is told in the last column of the lines above.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.guest import POOL, SOURCE, TARGET, Guest
from tests.integration.lab import ADDRESSES
from tests.integration.lab import Lab as Hosts

from .bench import Lab, Row, repeats

NAME = "bench-copy"
_MIB = 2**20
_FULL = 1024  # MiB of data on the second disk
_DIRTY = 64  # MiB
_CAP = 32  # MiB/s
_MEMORY_BAR = 200  # MB
_IMAGE = f"/var/lib/libvirt/images/{NAME}.raw"
_PORT = 49250
_PROGRESS = f"/run/{NAME}-progress.json"


def run(lab: Lab) -> list[Row]:
    """Rates in MiB/s, MiB, seconds and MB."""
    guest = Guest(Hosts(), NAME)
    guest.remove()
    try:
        _deploy(guest)
        return [*_full_copies(guest), *_rounds(guest), _cap(guest), _downtime(guest)]
    finally:
        guest.remove()
        guest.lab.run(SOURCE, f"rm -f {_IMAGE}; virsh pool-refresh images", check=False)
        guest.lab.run(TARGET, f"rm -f {_PROGRESS}*", check=False)


def _deploy(guest: Guest) -> None:
    # Every other 8 MiB hold data, so that there are holes to be found.
    fill = f"for n in $(seq 0 {_FULL // 8 - 1}); do dd if=/dev/urandom of={_IMAGE} bs=1M count=8 seek=$((n * 16)) conv=notrunc status=none; done"
    guest.lab.run(SOURCE, f"truncate -s {2 * _FULL}M {_IMAGE}; {fill}; virsh pool-refresh images")
    guest.lab.run(TARGET, "dpkg -s libnbd-bin >/dev/null 2>&1 || apt-get install --yes --quiet libnbd-bin")
    first = {"name": "vda", "size": "64MiB", "storage": "ssd", "image": "images/t-guest.img"}
    guest.deploy(disks=[first, {"name": "vdb", "size": "2GiB", "storage": "ssd", "image": f"images/{NAME}.raw"}])


def _migrate(guest: Guest, **options: Any) -> dict[str, Any]:
    result = guest.migrate(SOURCE, TARGET, mode="warm", progress_path=_PROGRESS, **options)
    if result.get("failed"):
        raise RuntimeError(result["msg"])
    return result


def _full_copies(guest: Guest) -> list[Row]:
    ours: list[float] = []
    peer: list[float] = []
    memory = 0.0
    for number in range(repeats()):
        with _watched(guest) as seen:
            entry = _migrate(guest, state="synced")["report"]["rounds"][0]
        memory = max(memory, *seen)
        _migrate(guest, state="aborted")
        ours.append(entry["bytes"] / _MIB / entry["copy_seconds"])
        peer.append(_FULL / _nbdcopy(guest))
        shown = f"ours {ours[-1]:.0f}, nbdcopy {peer[-1]:.0f} MiB/s; read back in {entry['verify_seconds']:.1f} s"
        print(f"    {number + 1}: {shown}; {entry['bytes'] / _MIB:.0f} MiB on the wire, worker {memory:.0f} MB", flush=True)
    rate, rate_peer = statistics.median(ours), statistics.median(peer)
    held = _FULL + 64  # the first disk is small
    sent = entry["bytes"] / _MIB
    return [
        Row("full copy: rate over nbdcopy's, MiB/s", rate, rate_peer, rate / rate_peer, 0.9),
        Row("full copy of 2 GiB, half full: bytes sent over data held, MiB", sent, held, sent / held, 1.0, True),
        Row("full copy: the worker's peak memory over 200, MB", memory, _MEMORY_BAR, memory / _MEMORY_BAR, 1.0, True),
    ]


@contextmanager
def _watched(guest: Guest) -> Iterator[list[float]]:
    """The peak resident memory of the worker at the target, in MB, once it has ended."""
    pid = f"sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p' {_PROGRESS} 2>/dev/null"
    look = f"rm -f {_PROGRESS}*; until [ -e {_PROGRESS}.end ]; do grep VmHWM /proc/$({pid})/status 2>/dev/null; sleep 0.1; done"
    watcher = subprocess.Popen(guest.lab.ssh(TARGET, look), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    peaks: list[float] = []
    try:
        yield peaks
    finally:
        guest.lab.run(TARGET, f"touch {_PROGRESS}.end")
        said = watcher.communicate()[0]
        peaks += [int(line.split()[1]) * 1024 / 1e6 for line in said.splitlines() if line.startswith("VmHWM")]


def _nbdcopy(guest: Guest) -> float:
    """Seconds of nbdcopy alone: the export and the server are there before its clock starts."""
    hosts, volume = guest.lab, f"{POOL}/{NAME}-peer.qcow2"
    scratch = f"<scratch file='/var/lib/libvirt/qemu/{NAME}-scratch'/>"
    backup = (
        f"<domainbackup mode='pull'><server transport='tcp' tls='yes' name='0.0.0.0' port='{_PORT}'/><disks>"
        f"<disk name='vda' backup='no'/><disk name='vdb' backup='yes' type='file'>{scratch}</disk></disks></domainbackup>"
    )
    hosts.run(SOURCE, f'echo "{backup}" > /run/{NAME}.xml; virsh backup-begin {NAME} /run/{NAME}.xml')
    export = f"nbds://{ADDRESSES[SOURCE]}:{_PORT}/vdb?tls-certificates=/etc/pki/qemu"
    server = f"qemu-nbd --fork --socket /run/{NAME}.socket --format qcow2 --shared 0 --cache writeback --discard unmap --detect-zeroes unmap {volume}"
    clock = "date +%s%3N"
    copy = f"nbdcopy --flush --connections=4 '{export}' 'nbd+unix:///?socket=/run/{NAME}.socket'"
    try:
        hosts.run(TARGET, f"qemu-img create -q -f qcow2 -o compat=1.1 {volume} {2 * _FULL}M; {server}")
        began, ended = hosts.run(TARGET, f"{clock}; {copy} >&2 && {clock}").split()
    finally:
        hosts.run(SOURCE, f"virsh domjobabort {NAME}; rm -f /run/{NAME}.xml", check=False)
        hosts.run(TARGET, f"rm -f {volume} /run/{NAME}.socket; virsh pool-refresh vms", check=False)
    return (int(ended) - int(began)) / 1000


def _write(guest: Guest, disk: int, mebibytes: int) -> None:
    """So many MiB through the running QEMU, a MiB here and there, on the disk of that number."""
    device = f"/machine/peripheral/virtio-disk{disk}/virtio-backend"
    stride = 2 * _FULL // mebibytes
    writes = "; ".join(
        f"virsh qemu-monitor-command --hmp {NAME} 'qemu-io -d {device} \"write -P {number % 250 + 1} {number * stride}M 1M\"'"
        for number in range(mebibytes)
    )
    said = guest.lab.run(SOURCE, writes).strip()
    if said:
        raise RuntimeError(f"the disk could not be written: {said}")


def _rounds(guest: Guest) -> list[Row]:
    _migrate(guest, state="synced")
    _write(guest, 1, _DIRTY)
    entry = _migrate(guest, state="synced")["report"]["rounds"][-1]
    sent, dirty = entry["bytes"] / _MIB, entry["dirty_bytes"] / _MIB
    print(
        f"    a round with {_DIRTY} MiB written: {dirty:.1f} MiB dirty, {sent:.1f} MiB sent in {entry['copy_seconds']} s",
        flush=True,
    )
    return [Row(f"a round with {_DIRTY} MiB dirty: bytes sent over dirty, MiB", sent, _DIRTY, sent / _DIRTY, 1.1, True)]


def _cap(guest: Guest) -> Row:
    """Two disks at the same time under one cap; both have been synced before."""
    _write(guest, 1, _DIRTY)
    entry = _migrate(guest, state="synced", bandwidth=_CAP)["report"]["rounds"][-1]
    rate = entry["bytes"] / _MIB / entry["copy_seconds"]
    print(f"    under a cap of {_CAP} MiB/s over both disks: {rate:.1f} MiB/s", flush=True)
    return Row(f"a round under a cap of {_CAP} MiB/s: rate over the cap", rate, _CAP, rate / _CAP, 1.1, True)


def _downtime(guest: Guest) -> Row:
    """From the request to shut down to the first sign of life."""
    peer = [_reboot(guest) for _again in range(3)]
    ours = _migrate(guest, state="completed")["migration"]["downtime_ms"] / 1000
    there = [ours]
    for _again in range(2):
        _migrate(guest, state="released")
        back = guest.migrate(TARGET, SOURCE, mode="warm")
        if back.get("failed"):
            raise RuntimeError(back["msg"])
        there.append(back["migration"]["downtime_ms"] / 1000)
        guest.migrate(TARGET, SOURCE, state="released")
        guest.wait_for_writes(SOURCE, 20)
        if len(there) < 3:
            there.append(_migrate(guest, state="completed")["migration"]["downtime_ms"] / 1000)
    print(
        f"    warm downtime {[round(one, 1) for one in there]} s, shutdown and boot {[round(one, 1) for one in peer]} s", flush=True
    )
    seconds, seconds_peer = statistics.median(there), statistics.median(peer)
    return Row("warm downtime over shutdown and boot, s", seconds, seconds_peer, seconds / seconds_peer, 1.3, True)


def _reboot(guest: Guest) -> float:
    """Seconds of a shutdown and a start at the source, until the guest sends a packet or writes, as ours takes it."""
    guest.wait_for_writes(SOURCE, 20)
    alive = f"virsh domstats {NAME} --interface --block | awk -F= '/net.0.tx.bytes=|block.0.wr.bytes=/ && $2 > 0 {{found = 1}} END {{exit !found}}'"
    command = (
        f"date +%s%3N; virsh shutdown {NAME} --mode acpi >&2; until virsh domstate {NAME} | grep -q off; do sleep 0.1; done; "
        f"virsh start {NAME} >&2; until {alive}; do sleep 0.1; done; date +%s%3N"
    )
    began, ended = guest.lab.run(SOURCE, command).split()
    time.sleep(1)
    return (int(ended) - int(began)) / 1000
