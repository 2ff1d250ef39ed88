# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a hypervisor can give a guest: accelerator, pinned machine types, CPU models, firmware."""

from __future__ import annotations

import difflib
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ...errors import InputError
from ...host_cpu import HostCpu
from ...model import DEFAULT_CPU_MODEL
from .connection import libvirt, told
from .kvm_probe import access_fault, kvm_fault

ARCH = "x86_64"
NEWEST_MACHINE = "q35"
_PINNED_Q35 = re.compile(r"^pc-q35-(\d+)\.(\d+)(?:\.(\d+))?$")
# The user and group of QEMU's processes, in libvirt's DAC label.
_QEMU_USER = re.compile(r"^\+(\d+):\+(\d+)$")


@dataclass(frozen=True)
class Accelerator:
    """``name`` is ``kvm`` or ``tcg``; ``warning`` says why it is not what one would hope for."""

    name: str
    warning: str = ""

    @property
    def domain_type(self) -> str:
        return "kvm" if self.name == "kvm" else "qemu"


@dataclass(frozen=True)
class Cpu:
    """A named model, and what a baseline adds to it or takes away: (policy, name) of each feature."""

    model: str
    features: tuple[tuple[str, str], ...] = ()

    def feature_names(self) -> list[str]:
        """The features that it adds; where it was computed with all features expanded, all that it has."""
        return sorted({name for policy, name in self.features if policy in ("require", "force")})

    def to_dict(self) -> dict[str, Any]:
        """``{model, features: [{policy, name}]}``."""
        return {"model": self.model, "features": [{"policy": policy, "name": name} for policy, name in self.features]}


def choose_accelerator(conn: Any, asked: str, uri: str) -> Accelerator:
    """``kvm`` is InputError where it cannot run; ``auto`` is KVM where it is of use, else TCG with a warning.

    Of use means: libvirt offers it, a probe guest ran (on this machine), and it can run the default CPU model.
    """
    if asked == "tcg":
        return Accelerator("tcg")
    fault = _kvm_fault(conn, uri)
    if asked == "kvm" and fault is not None:
        remedy = "enable virtualisation in the machine's firmware or outer hypervisor, or use accelerator=tcg"
        raise InputError(f"cannot be used here ({fault})", option="accelerator", value=asked, remedy=remedy)
    kvm = Accelerator("kvm")
    if fault is None and asked == "auto" and DEFAULT_CPU_MODEL not in DomainCapabilities(conn, kvm).cpu_models():
        fault = f"this processor cannot run even the CPU model {DEFAULT_CPU_MODEL}"
    if fault is None:
        return kvm
    return Accelerator("tcg", f"KVM is of no use here ({fault}): a VM is emulated (TCG), which is many times slower")


def _kvm_fault(conn: Any, uri: str) -> str | None:
    with told("reading the capabilities"):
        capabilities = ET.fromstring(conn.getCapabilities())
    if capabilities.find(f"guest/arch[@name='{ARCH}']/domain[@type='kvm']") is None:
        return "libvirt does not offer it"
    # The probe tells about this machine only; for a remote one libvirt's word must do.
    if urlsplit(uri).hostname:
        return None
    label = _QEMU_USER.match(capabilities.findtext("host/secmodel[model='dac']/baselabel[@type='kvm']") or "")
    return kvm_fault() or (None if label is None else access_fault(int(label.group(1)), int(label.group(2))))


class DomainCapabilities:
    """libvirt's domain capabilities for one machine type and accelerator.

    :param machine: a pinned machine type; empty for the newest
    :raises InputError: the hypervisor does not have that machine type
    """

    def __init__(self, conn: Any, accelerator: Accelerator, machine: str = "") -> None:
        self._conn = conn
        self._accelerator = accelerator
        try:
            xml = conn.getDomainCapabilities(None, ARCH, machine or NEWEST_MACHINE, accelerator.domain_type)
        except libvirt.libvirtError as error:
            known = ", ".join(machine_types(conn)[:4])
            remedy = f"leave it out for the newest, or use one that it has, such as {known}"
            raise InputError("is not a machine type of this hypervisor", option="machine", value=machine, remedy=remedy) from error
        self._root = ET.fromstring(xml)

    @property
    def machine(self) -> str:
        """The pinned name, with aliases resolved."""
        return self._root.findtext("machine") or ""

    @property
    def most_cpus(self) -> int:
        element = self._root.find("vcpu")
        return int(element.get("max", "1")) if element is not None else 1

    @property
    def has_uefi(self) -> bool:
        return any(value.text == "efi" for value in self._root.iterfind("os/enum[@name='firmware']/value"))

    def cpu_models(self) -> list[str]:
        """Names of the CPU models that can run here as they are."""
        models = self._root.iterfind("cpu/mode[@name='custom']/model")
        return sorted(model.text or "" for model in models if model.get("usable") != "no")

    def known_models(self) -> list[str]:
        """Names of all CPU models that QEMU has here, also of those that lack features of this processor."""
        return sorted(model.text or "" for model in self._root.iterfind("cpu/mode[@name='custom']/model"))

    def cpu(self, asked: str) -> Cpu:
        """The CPU that a ``cpu_model`` means here; InputError for one that cannot run."""
        if asked == "baseline":
            return self.baseline()
        models = self.cpu_models()
        if asked not in models:
            near = difflib.get_close_matches(asked, models, n=3, cutoff=0.3) or models[:3]
            remedy = f"use baseline, or one that it can run, such as {', '.join(near)}"
            raise InputError("is not a CPU model that this hypervisor can run", option="cpu_model", value=asked, remedy=remedy)
        return Cpu(asked)

    def baseline(self) -> Cpu:
        """The richest migratable CPU of this hypervisor, as libvirt's baseline computes it from its domain capabilities."""
        if not self.host_model:
            remedy = "use a named model"
            raise InputError("cannot be computed on this hypervisor", option="cpu_model", value="baseline", remedy=remedy)
        return self.baseline_over([self.host_model])

    @property
    def host_model(self) -> str:
        """libvirt's host-model CPU as the XML that a guest would have; empty where libvirt cannot name the processor."""
        mode = self._root.find("cpu/mode[@name='host-model']")
        if mode is None or mode.get("supported") != "yes":
            return ""
        host = ET.Element("cpu", mode="custom", match="exact")
        host.extend(list(mode))
        return " ".join(ET.tostring(host, encoding="unicode").split())

    def host_cpu(self, hypervisor: str) -> HostCpu:
        """What other hypervisors must know to compute a baseline with this one."""
        return HostCpu(hypervisor, self._accelerator.name, self.host_model, tuple(self.cpu_models()), tuple(self.known_models()))

    def baseline_over(self, cpus: Sequence[str]) -> Cpu:
        """The richest migratable CPU that all of these can give and this hypervisor can run; BackendError where there is none.

        :param cpus: host-model CPUs as XML
        """
        return self._computed(cpus, libvirt.VIR_CONNECT_BASELINE_CPU_MIGRATABLE)

    def features(self, cpus: Sequence[str]) -> list[str]:
        """Names of all features that a guest has with the baseline over these."""
        flags = libvirt.VIR_CONNECT_BASELINE_CPU_MIGRATABLE | libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES
        return self._computed(cpus, flags).feature_names()

    def _computed(self, cpus: Sequence[str], flags: int) -> Cpu:
        kind = self._accelerator.domain_type
        with told("computing the CPU baseline"):
            xml = self._conn.baselineHypervisorCPU(None, ARCH, self.machine, kind, list(cpus), flags)
        cpu = ET.fromstring(xml)
        features = tuple((feature.get("policy", "require"), feature.get("name", "")) for feature in cpu.iterfind("feature"))
        return Cpu(cpu.findtext("model") or "", features)


def memory_statistics(conn: Any) -> dict[str, int]:
    """Bytes by ``total``, ``free``, ``buffers`` and ``cached``; right also where memory was plugged in, unlike getInfo."""
    with told("reading the memory of the hypervisor"):
        statistics = conn.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    return {key: 1024 * int(value) for key, value in statistics.items()}


def machine_types(conn: Any) -> list[str]:
    """The pinned q35 machine types of a hypervisor, newest first."""
    with told("reading the capabilities"):
        capabilities = ET.fromstring(conn.getCapabilities())
    names = {element.text or "" for element in capabilities.iterfind(f"guest/arch[@name='{ARCH}']/machine")}
    versions = {name: match for name in names if (match := _PINNED_Q35.match(name)) is not None}
    return sorted(versions, key=lambda name: [int(part or 0) for part in versions[name].groups()], reverse=True)


def has_tpm(conn: Any) -> bool:
    """Whether swtpm is there; libvirt looks for it by itself."""
    root = ET.fromstring(conn.getDomainCapabilities())
    models = root.findall("devices/tpm[@supported='yes']/enum[@name='backendModel']/value")
    return any(model.text == "emulator" for model in models)
