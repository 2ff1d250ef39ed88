# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guests of several hypervisors can share of their processors; pure.

A baseline is only asked of libvirt where it can be used: all hypervisors have the same accelerator, and each one's QEMU knows the model.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import InputError
from .fields import Fields
from .model import DEFAULT_CPU_MODEL, Portable

ACCELERATORS = ("kvm", "tcg")


@dataclass(frozen=True)
class HostCpu(Portable):
    """The processor of one hypervisor as its guests can have it, under the accelerator that they get there.

    ``description`` is libvirt's host-model CPU as XML, empty where libvirt cannot name the processor. ``models`` are the named
    models that can run there as they are; ``known_models`` also those that can with features taken away, as a baseline does.
    """

    hypervisor: str
    accelerator: str
    description: str
    models: tuple[str, ...]
    known_models: tuple[str, ...]

    @classmethod
    def from_dict(cls, data: Any, where: str = "cpu") -> HostCpu:
        fields = Fields(data, where)
        fields.get("accelerator", required=True)
        read = cls(
            hypervisor=fields.name("hypervisor"),
            accelerator=fields.choice("accelerator", ACCELERATORS, ""),
            description=fields.text("description"),
            models=fields.texts("models"),
            known_models=fields.texts("known_models"),
        )
        fields.finish()
        if read.description and not _is_cpu(read.description):
            remedy = "give it as site_info returned it in facts.cpu.description"
            raise InputError("is no CPU in libvirt's XML", option=f"{where}.description", value=read.description, remedy=remedy)
        return read


def _is_cpu(text: str) -> bool:
    try:
        return ET.fromstring(text).tag == "cpu"
    except ET.ParseError:
        return False


def read_cpus(given: Sequence[Any], where: str) -> tuple[HostCpu, ...]:
    """The CPUs of other hypervisors, as a module's option ``where`` has them."""
    return tuple(HostCpu.from_dict(cpu, f"{where}[{index}]") for index, cpu in enumerate(given))


def check_comparable(cpus: Sequence[HostCpu]) -> None:
    """Refuse, by its name, the first hypervisor that can have no baseline with the first one."""
    own = cpus[0]
    for cpu in cpus:
        if not cpu.description:
            raise no_baseline(cpu, "libvirt cannot name its processor", cpus)
        if cpu.accelerator != own.accelerator:
            raise no_baseline(cpu, f"its guests get {cpu.accelerator}, those of {own.hypervisor} get {own.accelerator}", cpus)


def check_known(model: str, cpus: Sequence[HostCpu]) -> None:
    """Refuse, by its name, the first hypervisor whose QEMU does not have the model that was computed."""
    for cpu in cpus:
        if model not in cpu.known_models:
            raise no_baseline(cpu, f"the others share the CPU model {model}, which its QEMU does not have", cpus)


def common_models(cpus: Sequence[HostCpu]) -> list[str]:
    """The named models that can run at all of them; the collection's default comes first."""
    shared = set.intersection(*(set(cpu.models) for cpu in cpus))
    return sorted(shared, key=lambda model: (model != DEFAULT_CPU_MODEL, model))


def no_baseline(breaker: HostCpu, why: str, cpus: Sequence[HostCpu]) -> InputError:
    """The refusal that names who breaks the baseline, and what all of them can run instead."""
    models = common_models(cpus)[:3]
    named = f"use a named model that all of them can run, such as {', '.join(models)}, or " if models else ""
    remedy = f"{named}compute it without {breaker.hypervisor} and keep the VM from going there"
    others = ", ".join(cpu.hypervisor for cpu in cpus if cpu.hypervisor != breaker.hypervisor)
    what = (
        f"cannot be computed over {breaker.hypervisor}{f' and {others}' if others else ''}: {breaker.hypervisor} breaks it ({why})"
    )
    return InputError(what, option="cpu_model", value="baseline", remedy=remedy)
