# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules ask of a site, whatever it speaks. A back end turns its own faults into FederationError."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from ..cloud_init.seed import CloudInit
from ..host_cpu import HostCpu
from ..model import VmStatus

STATES = ("running", "stopped", "present", "absent")


@dataclass(frozen=True)
class VmRequest:
    """What a person wants of one VM.

    :param given: the keys of the portable spec that were written; what is not there stays as it is
    :param hypervisor: the name of the hypervisor that is asked; it becomes or must be the VM's owner
    :param cloud_init: what its guest is given for the first boot; None leaves it as it is
    :param adopt: take over a VM that the federation does not manage yet
    :param remove_disks: delete the volumes of disks that go
    :param accelerator: ``auto``, ``kvm`` or ``tcg``, for a new VM
    :param shutdown_timeout: seconds that a guest has to shut down
    :param force: cut its power when it does not
    :param baseline_cpus: of the other hypervisors that the VM may go to, for the CPU model ``baseline`` of a new VM
    """

    name: str
    state: str
    hypervisor: str
    given: dict[str, Any] = field(default_factory=dict)
    cloud_init: CloudInit | None = None
    adopt: bool = False
    remove_disks: bool = False
    accelerator: str = "auto"
    shutdown_timeout: int = 120
    force: bool = False
    baseline_cpus: tuple[HostCpu, ...] = ()


@dataclass(frozen=True)
class Step:
    """One thing that will be done, told in the imperative, and the call that does it."""

    what: str
    run: Callable[[], None]


@dataclass
class Plan:
    """What will be done to one VM; made without touching anything, so that check mode is the plan itself.

    ``before`` and ``after`` are None where there is no VM. What only the back end can choose while it works (the UUID of a
    new VM, the MAC address of a new NIC, IP addresses) is empty in ``after``. ``restart_fields`` name the keys of the spec
    that a running VM will only have after its next start.
    """

    before: VmStatus | None
    after: VmStatus | None
    steps: list[Step] = field(default_factory=list)
    restart_fields: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def carry_out(self) -> None:
        for step in self.steps:
            step.run()

    def diff(self) -> dict[str, dict[str, Any]]:
        """``{before, after}``, each ``{state, managed, cloud_init, **Vm.to_dict()}`` or empty; the last is a digest."""
        return {"before": _compared(self.before), "after": _compared(self.after)}


def _compared(status: VmStatus | None) -> dict[str, Any]:
    if status is None:
        return {}
    return {**status.vm.to_dict(), "state": status.state, "managed": status.managed, "cloud_init": status.cloud_init}


class Backend(abc.ABC):
    """One hypervisor (or cloud) behind a site."""

    @abc.abstractmethod
    def facts(self, hypervisor: str = "") -> dict[str, Any]:
        """Capacity, CPU, devices, versions, pools, networks and health; what ``site_info`` returns.

        :param hypervisor: its name, so that the copies of VMs that another one owns are not counted; empty: they are
        """

    @abc.abstractmethod
    def cpu_baseline(self, hypervisor: str, others: Sequence[HostCpu], accelerator: str) -> dict[str, Any]:
        """The CPU that a VM can have here and at the others: what ``cpu_baseline_info`` returns; InputError where there is none."""

    @abc.abstractmethod
    def vms(self) -> list[VmStatus]:
        """Every VM, managed or not, by name."""

    @abc.abstractmethod
    def find_vm(self, name: str) -> VmStatus | None:
        """One VM, or None."""

    @abc.abstractmethod
    def plan_vm(self, request: VmRequest) -> Plan:
        """What it takes; every bad input is refused here, before anything is touched."""

    @abc.abstractmethod
    def restart_fields(self, name: str) -> list[str]:
        """Keys of the spec in which a running VM still differs from what its next start will give it."""
