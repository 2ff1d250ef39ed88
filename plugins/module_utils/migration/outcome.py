# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do next, judged from the states of both ends and never from an exit code. Pure.

The rules come from experiments with libvirt 9 and QEMU 7.2, faults included:

| source                       | target  | decision                                       |
|------------------------------|---------|------------------------------------------------|
| shut off (migrated)          | paused  | commit: resume the target                      |
| shut off (any reason)        | arrived | commit: its daemon was restarted meanwhile     |
| shut off                     | running | settled: committed before                      |
| running                      | paused  | roll back: the target never ran                |
| running                      | absent  | roll back: nothing but volumes to take away    |
| paused                       | paused  | roll back: neither runs, the source has it all |
| paused                       | absent  | roll back, and resume the source               |
| unreachable                  | any     | wait: resuming might make two                  |
| a job is active              | any     | wait: it has not ended                         |
| running                      | running | conflict: two run; a person must decide        |

Once the target's own record says that its copy was resumed, that copy counts: running is settled, paused is resumed, off is
restarted, unless the source runs too.
"""

from __future__ import annotations

from ..model import Observed

COMMIT = "commit"
SETTLED = "settled"
ROLL_BACK = "roll_back"
WAIT = "wait"
CONFLICT = "conflict"
RESTART = "restart"


def decide(source: Observed, target: Observed, *, resumed: bool = False) -> str:
    """One of COMMIT, SETTLED, RESTART, ROLL_BACK, WAIT, CONFLICT.

    :param resumed: the target's record says that its copy was let run
    """
    if "unreachable" in (source.state, target.state) or source.busy:
        return WAIT
    if resumed:
        return _after_resume(source, target)
    if target.state == "running":
        return CONFLICT if source.state in ("running", "paused") else SETTLED
    if source.state in ("running", "paused"):
        return ROLL_BACK
    if target.state == "paused":
        return COMMIT if source.state == "stopped" and (source.migrated or target.arrived) else CONFLICT
    return ROLL_BACK


def _after_resume(source: Observed, target: Observed) -> str:
    if source.state in ("running", "paused"):
        return CONFLICT
    return {"running": SETTLED, "paused": COMMIT, "stopped": RESTART, "crashed": RESTART}.get(target.state, CONFLICT)
