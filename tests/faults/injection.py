# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is broken during a migration, and how it is mended again."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.guest import SOURCE, TARGET
from tests.integration.lab import ADDRESSES

if TYPE_CHECKING:
    from .case import Case

COMMENT = "virt8ra-faults"
FILLER = "/var/lib/libvirt/faults/filler"
_UP_SECONDS = 180


@dataclass(frozen=True)
class Fault:
    """``strike`` breaks something, ``mend`` puts it right before the next run; ``before`` prepares the lab for it."""

    name: str
    strike: Callable[[Case], None]
    mend: Callable[[Case], None] = lambda case: None
    before: Callable[[Case], None] = lambda case: None


def kill_worker(case: Case) -> None:
    case.lab.run(TARGET, f"kill -KILL {case.worker()}", check=False)


def kill_controller(case: Case) -> None:
    case.first.send_signal(signal.SIGKILL)


def kill_daemon(host: str) -> Callable[[Case], None]:
    return lambda case: ignore(case.lab.run(host, "systemctl kill -s KILL libvirtd", check=False))


def kill_qemu(host: str) -> Callable[[Case], None]:
    return lambda case: ignore(case.lab.run(host, f"pkill -KILL -f '[g]uest={case.guest.name},'", check=False))


def cut_link(case: Case) -> None:
    _drop(case, "")


def drop_packets(case: Case) -> None:
    _drop(case, "-m statistic --mode random --probability 0.02")


def _drop(case: Case, match: str) -> None:
    other = ADDRESSES[SOURCE]
    rule = f"{match} -m comment --comment {COMMENT} -j DROP"
    case.lab.run(TARGET, f"iptables -I INPUT -s {other} {rule}; iptables -I OUTPUT -d {other} {rule}")


def heal_link(case: Case) -> None:
    for chain in ("INPUT", "OUTPUT"):
        case.lab.run(
            TARGET,
            f"while n=$(iptables -L {chain} --line-numbers -n | awk '/{COMMENT}/ {{print $1; exit}}'); [ -n \"$n\" ]; "
            f"do iptables -D {chain} $n; done",
        )


def _streams(case: Case) -> int:
    """Connections of the source to the target that carry a disk or memory."""
    return case.lab.run(SOURCE, "ss -Htn state established '( dport >= :49152 and dport <= :49215 )'").count("\n")


def lose_in_mid_answer(case: Case) -> None:
    """The target goes while the source waits for its answer, with nothing left to send that TCP could try again."""
    case.guest.wait(lambda: _streams(case) == 2, "the streams of disk and memory")
    case.lab.run(TARGET, f"pkill -STOP -f '[g]uest={case.guest.name},'")
    before = case.guest.acknowledged(SOURCE)
    # What the guest writes now is sent to the disk's stream, acknowledged by the kernel there, and never answered.
    case.guest.wait(lambda: case.guest.acknowledged(SOURCE) > before + 20, "writes under way")
    cut_link(case)
    ignore(case.lab.run(TARGET, f"pkill -KILL -f '[g]uest={case.guest.name},'", check=False))


def freeze_source(case: Case) -> None:
    """The source's QEMU hears nobody any more, as when it waits for a stream to a target that died."""
    # Before there is one, the move ends without asking it anything, and nobody would thaw what was frozen here.
    case.guest.wait(lambda: _streams(case) > 0, "the stream of the disk")
    case.lab.run(SOURCE, f"pkill -STOP -f '[g]uest={case.guest.name},'")
    kill_qemu(TARGET)(case)


def make_small_pool(case: Case) -> None:
    """A pool of its own, big enough for the VM and small enough to be filled."""
    empty_small_pool(case)
    case.lab.run(
        TARGET,
        "mkdir -p /var/lib/libvirt/faults && mount -t tmpfs -o size=100m,mode=0711 none /var/lib/libvirt/faults && "
        "virsh pool-create-as faults dir --target /var/lib/libvirt/faults >/dev/null",
    )


def fill_disk(case: Case) -> None:
    # What QEMU may still write is less than what is missing.
    case.lab.run(TARGET, f"dd if=/dev/zero of={FILLER} bs=1M 2>/dev/null; true")


def empty_disk(case: Case) -> None:
    case.lab.run(TARGET, f"rm -f {FILLER}")


def empty_small_pool(case: Case) -> None:
    case.lab.run(
        TARGET,
        "virsh pool-destroy faults >/dev/null 2>&1; umount /var/lib/libvirt/faults 2>/dev/null; rmdir /var/lib/libvirt/faults 2>/dev/null; true",
    )


def restart_host(case: Case) -> None:
    subprocess.run(["podman", "restart", "--time", "0", TARGET], check=True, capture_output=True)


def wait_for_host(case: Case) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while "yes" not in case.lab.run(TARGET, "virsh pool-info vms 2>/dev/null | grep -q running && echo yes", check=False):
        assert time.monotonic() < deadline, f"{TARGET} does not come back"
        time.sleep(1)


def ignore(_value: object) -> None:
    """For calls whose answer does not matter."""


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill the worker", kill_worker),
        Fault("kill the controller", kill_controller),
        Fault("kill the source's libvirtd", kill_daemon(SOURCE)),
        Fault("kill the target's libvirtd", kill_daemon(TARGET)),
        Fault("kill the source's QEMU", kill_qemu(SOURCE)),
        Fault("kill the target's QEMU", kill_qemu(TARGET)),
        Fault("freeze the source's QEMU", freeze_source),
        Fault("cut the link", cut_link, heal_link),
        Fault("lose it in mid-answer", lose_in_mid_answer, heal_link),
        Fault("drop 2 % of the packets", drop_packets, heal_link),
        Fault("fill the target's disk", fill_disk, empty_disk, make_small_pool),
        Fault("restart the target host", restart_host, wait_for_host),
    )
}
