# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a cluster's migration is to be run, as its options say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .hooks import Hook, hooks_of
from .probes import Probe, probes_of

# The methods that move a whole cluster, and the playbooks that do it.
PLAYBOOKS = {"nodes": "migrate_cluster_nodes"}
_AUTO = "both clusters are known by their API servers alone, which is all that workloads needs; nodes has a playbook"


@dataclass(frozen=True)
class Policy:
    """``reason``: why method auto took the one it took.

    ``quiesce_timeout`` and ``ready_timeout`` in seconds; ``jobs`` is ``wait`` or ``suspend``; ``force``: over what others own.
    ``mover_bandwidth``: bytes per second, 0 for no limit.
    """

    connections: int = 16
    quiesce_timeout: int = 300
    ready_timeout: int = 600
    jobs: str = "wait"
    force: bool = False
    verify_digests: bool = True
    mover_image: str = "busybox:1.37"
    mover_bandwidth: int = 0
    reason: str = ""
    hooks: tuple[Hook, ...] = ()
    probes: tuple[Probe, ...] = ()

    @classmethod
    def from_options(cls, params: Mapping[str, Any]) -> Policy:
        """InputError for a number that cannot be meant, and for a method that is not this module's."""
        playbook = PLAYBOOKS.get(params["method"])
        if playbook is not None:
            raise InputError(
                "is not done by this module",
                option="method",
                value=params["method"],
                remedy=f"run the playbook virt8ra.federation.{playbook}, or take method workloads",
            )
        if int(params["mover_bandwidth"]) < 0:
            remedy = "give bytes per second, or 0 for no limit"
            raise InputError("must not be negative", option="mover_bandwidth", value=params["mover_bandwidth"], remedy=remedy)
        for option, least, most in (("connections", 1, 64), ("quiesce_timeout", 1, 86400), ("ready_timeout", 1, 86400)):
            if not least <= int(params[option]) <= most:
                raise InputError(
                    f"must be from {least} to {most}", option=option, value=params[option], remedy="give another number"
                )
        return cls(
            connections=params["connections"],
            quiesce_timeout=params["quiesce_timeout"],
            ready_timeout=params["ready_timeout"],
            jobs=params["jobs"],
            force=params["conflicts"] == "force",
            verify_digests=params["verify_digests"],
            mover_image=params["mover_image"],
            mover_bandwidth=params["mover_bandwidth"],
            reason=_AUTO if params["method"] == "auto" else "",
            hooks=hooks_of(params["hooks"]),
            probes=probes_of(params["life_probes"]),
        )
