# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CPU that a VM can have at several hypervisors, as libvirt's baseline computes it over all of them."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import BackendError, FederationError
from ...host_cpu import HostCpu, check_comparable, check_known, no_baseline
from .host_capabilities import Cpu, DomainCapabilities


class SharedCpu:
    """The CPU of a VM that may go to this hypervisor and to others.

    :param capabilities: of this hypervisor, for the accelerator that the VM gets
    :param hypervisor: its name; an entry of ``others`` with this name is passed over
    """

    def __init__(self, capabilities: DomainCapabilities, hypervisor: str, others: Sequence[HostCpu]) -> None:
        self._capabilities = capabilities
        own = capabilities.host_cpu(hypervisor)
        self.cpus = (own, *(cpu for cpu in others if cpu.hypervisor != hypervisor))

    def cpu(self) -> Cpu:
        """The richest one that can be migrated between all of them; InputError names the hypervisor that has none with the others."""
        check_comparable(self.cpus)
        try:
            shared = self._capabilities.baseline_over(self._descriptions())
        except BackendError as error:
            raise _named(self._capabilities, self.cpus, error) from error
        check_known(shared.model, self.cpus)
        return shared

    def features(self) -> list[str]:
        """Names of all features that a guest has with it."""
        return self._capabilities.features(self._descriptions())

    def _descriptions(self) -> list[str]:
        return [cpu.description for cpu in self.cpus]


def _named(capabilities: DomainCapabilities, cpus: Sequence[HostCpu], error: BackendError) -> FederationError:
    """libvirt does not say whose CPU it could not join, so they are joined one after the other."""
    for number in range(1, len(cpus) + 1):
        try:
            capabilities.baseline_over([cpu.description for cpu in cpus[:number]])
        except BackendError as found:
            return no_baseline(cpus[number - 1], found.what, cpus)
    return error
