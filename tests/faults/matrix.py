# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cases: which fault strikes in which phase of which mode, and what a person does then."""

from __future__ import annotations

from dataclasses import dataclass

AGAIN, ABORT = "again", "aborted"
_WORKER, _CONTROLLER = "kill the worker", "kill the controller"
_SOURCE_DAEMON, _TARGET_DAEMON = "kill the source's libvirtd", "kill the target's libvirtd"
_SOURCE_QEMU, _TARGET_QEMU = "kill the source's QEMU", "kill the target's QEMU"
_CUT, _LOSS, _FULL, _RESTART = "cut the link", "drop 2 % of the packets", "fill the target's disk", "restart the target host"
_MUTE, _FROZEN = "lose it in mid-answer", "freeze the source's QEMU"

# Where a fault has nothing to break (no QEMU is at the target while disks are copied) it is left out.
_MATRIX = {
    ("live", "preparing"): (_WORKER, _TARGET_DAEMON, _RESTART),
    ("live", "copying"): (
        _WORKER,
        _CONTROLLER,
        _SOURCE_DAEMON,
        _TARGET_DAEMON,
        _SOURCE_QEMU,
        _TARGET_QEMU,
        _CUT,
        _MUTE,
        _FROZEN,
        _LOSS,
        _FULL,
        _RESTART,
    ),
    ("live", "resume"): (_WORKER, _TARGET_DAEMON, _CUT, _RESTART),
    ("live", "comparing"): (_WORKER, _SOURCE_QEMU, _TARGET_QEMU, _CUT, _RESTART),
    ("warm", "seed"): (_WORKER, _CONTROLLER, _SOURCE_DAEMON, _TARGET_DAEMON, _SOURCE_QEMU, _CUT, _LOSS, _FULL, _RESTART),
    ("warm", "stopping"): (_WORKER, _CONTROLLER, _SOURCE_DAEMON, _SOURCE_QEMU, _CUT, _RESTART),
    ("warm", "last delta"): (_WORKER, _CONTROLLER, _SOURCE_DAEMON, _TARGET_DAEMON, _SOURCE_QEMU, _CUT, _LOSS, _FULL, _RESTART),
    ("warm", "switch"): (_WORKER, _SOURCE_DAEMON, _TARGET_DAEMON, _SOURCE_QEMU, _CUT, _RESTART),
    ("warm", "start"): (_WORKER, _SOURCE_DAEMON, _TARGET_DAEMON, _TARGET_QEMU, _CUT, _RESTART),
    ("warm", "sign of life"): (_WORKER, _CONTROLLER, _TARGET_DAEMON, _TARGET_QEMU, _CUT, _RESTART),
    ("cold", "stopping"): (_WORKER, _SOURCE_DAEMON),
    ("cold", "seed"): (_WORKER, _CONTROLLER, _SOURCE_DAEMON, _TARGET_DAEMON, _SOURCE_QEMU, _CUT, _LOSS, _FULL, _RESTART),
    ("cold", "switch"): (_WORKER, _TARGET_DAEMON),
    ("cold", "start"): (_WORKER, _TARGET_QEMU, _RESTART),
}
# What every change is tried with: some of each mode.
_SHORT = {
    ("live", "copying", _SOURCE_QEMU),
    ("warm", "seed", _WORKER),
    ("warm", "last delta", _SOURCE_DAEMON),
    ("warm", "switch", _WORKER),
    ("warm", "sign of life", _RESTART),
    ("cold", "seed", _FULL),
    ("cold", "start", _TARGET_QEMU),
}


@dataclass(frozen=True)
class Plan:
    """One case; ``then`` is AGAIN for the same play, ABORT for the play with state: aborted."""

    mode: str
    phase: str
    fault: str
    then: str

    def __str__(self) -> str:
        return f"{self.mode}, {self.phase}: {self.fault}, then {self.then}"


def every() -> list[Plan]:
    """All cases; the two ways to go on take turns."""
    found = [(mode, phase, fault) for (mode, phase), faults in _MATRIX.items() for fault in faults]
    return [Plan(*case, then=(AGAIN, ABORT)[number % 2]) for number, case in enumerate(found)]


def short() -> list[Plan]:
    """A few of them, for each change."""
    return [plan for plan in every() if (plan.mode, plan.phase, plan.fault) in _SHORT]
