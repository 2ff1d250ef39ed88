# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A baseline over several hypervisors; the computing is libvirt's own, done by its test driver."""

from __future__ import annotations

import re

import libvirt
import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.base import VmRequest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import backend, vm_create
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.cpu_baseline import SharedCpu
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.host_capabilities import (
    Accelerator,
    DomainCapabilities,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.host_cpu import HostCpu
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site

CAPABILITIES = "<domainCapabilities><machine>pc-q35-7.2</machine><cpu><mode name='host-model' supported='{named}'>{cpu}</mode>\
<mode name='custom'>{models}</mode></cpu></domainCapabilities>"
SITE = Site("rioja", "Arsys", "ES")


def inner(model, vendor, features=()):
    """What stands in a host-model CPU."""
    return f"<model>{model}</model><vendor>{vendor}</vendor>{''.join(f'<feature name={name!r}/>' for name in features)}"


class Conn:
    """A virConnect of one hypervisor, whose baselines libvirt's test driver computes."""

    def __init__(self, model="EPYC-Rome", vendor="AMD", features=(), usable=("EPYC", "Nehalem"), known=("EPYC-Rome",), named="yes"):
        self._driver = libvirt.open("test:///default")
        models = "".join(f"<model usable='yes'>{name}</model>" for name in usable)
        models += "".join(f"<model usable='no'>{name}</model>" for name in known)
        self._capabilities = CAPABILITIES.format(named=named, cpu=inner(model, vendor, features), models=models)
        self.kinds = []

    def getCapabilities(self):
        return "<capabilities/>"

    def getDomainCapabilities(self, _emulator, _arch, _machine, kind):
        self.kinds.append(kind)
        return self._capabilities

    def baselineHypervisorCPU(self, _emulator, arch, _machine, kind, cpus, flags):
        self.kinds.append(kind)
        assert flags & libvirt.VIR_CONNECT_BASELINE_CPU_MIGRATABLE
        as_hosts = [re.sub(r"<cpu[^>]*>", f"<cpu><arch>{arch}</arch>", cpu) for cpu in cpus]
        as_hosts = [cpu.replace("</vendor>", "</vendor><topology sockets='1' dies='1' cores='1' threads='1'/>") for cpu in as_hosts]
        return self._driver.baselineCPU(as_hosts, flags & ~libvirt.VIR_CONNECT_BASELINE_CPU_MIGRATABLE)


def capabilities(accelerator="kvm", **cpu):
    return DomainCapabilities(Conn(**cpu), Accelerator(accelerator))


def other(name, accelerator="kvm", **cpu):
    return capabilities(accelerator, **cpu).host_cpu(name)


@pytest.fixture(autouse=True)
def quiet():
    libvirt.registerErrorHandler(lambda _context, _error: None, None)


def refused(call):
    with pytest.raises(InputError) as caught:
        call()
    assert (caught.value.option, caught.value.value) == ("cpu_model", "baseline")
    return str(caught.value)


def test_the_cpu_of_all_is_what_each_can_give():
    shared = SharedCpu(
        capabilities(features=["clzero", "wbnoinvd"]),
        "es-1",
        [other("de-1", features=["wbnoinvd"]), other("fr-1", model="EPYC", features=["x2apic"])],
    )
    assert shared.cpu().model == "EPYC"
    features = shared.features()
    assert "avx2" in features
    assert not {"clzero", "clwb", "x2apic"} & set(features), "something that one of them has not"
    assert set(features) < set(capabilities().features([capabilities().host_model]))


def test_alone_it_is_the_hypervisors_own():
    shared = SharedCpu(capabilities(), "es-1", [])
    assert shared.cpu() == capabilities().baseline()


def test_its_own_entry_is_passed_over():
    stale = HostCpu("es-1", "tcg", "", (), ())
    assert SharedCpu(capabilities(), "es-1", [stale]).cpu().model == "EPYC-Rome"


def test_the_order_of_hypervisors_does_not_matter():
    others = [other("de-1", features=["wbnoinvd"]), other("fr-1", model="EPYC")]
    one, two = (SharedCpu(capabilities(), "es-1", order).features() for order in (others, others[::-1]))
    assert one == two


def test_who_has_another_vendor_is_named_with_what_all_can_run():
    intel = other("it-1", model="Skylake-Server", vendor="Intel", usable=("Nehalem", "Skylake-Server"))
    told = refused(SharedCpu(capabilities(), "es-1", [other("de-1"), intel, other("fr-1")]).cpu)
    assert told == (
        "cpu_model='baseline': cannot be computed over it-1 and es-1, de-1, fr-1: it-1 breaks it (computing the CPU baseline failed: "
        "operation failed: CPU vendors do not match); use a named model that all of them can run, such as Nehalem, or compute it without "
        "it-1 and keep the VM from going there"
    )


@pytest.mark.parametrize(
    ("cpu", "why"),
    [
        ({"model": "EPYC-Fancy"}, "Unknown CPU model EPYC-Fancy"),
        ({"features": ["warpdrive"]}, "Unknown CPU feature warpdrive"),
        ({"named": "no"}, "libvirt cannot name its processor"),
        ({"accelerator": "tcg"}, "its guests get tcg, those of es-1 get kvm"),
        ({"known": ()}, "the others share the CPU model EPYC-Rome, which its QEMU does not have"),
    ],
)
def test_who_breaks_it_is_named(cpu, why):
    told = refused(SharedCpu(capabilities(), "es-1", [other("de-1"), other("odd-1", **cpu), other("fr-1")]).cpu)
    assert f"odd-1 breaks it ({why}" in told.replace("computing the CPU baseline failed: internal error: ", "")


def test_a_model_that_lacks_features_somewhere_is_known_there_all_the_same():
    assert SharedCpu(capabilities(), "es-1", [other("de-1", usable=(), known=("EPYC-Rome",))]).cpu().model == "EPYC-Rome"


def test_no_model_in_common_is_not_advised():
    told = refused(SharedCpu(capabilities(), "es-1", [other("it-1", vendor="Intel", model="Nehalem", usable=("Westmere",))]).cpu)
    assert told.endswith("not match); compute it without it-1 and keep the VM from going there")


def test_emulated_guests_are_computed_for_emulation(monkeypatch):
    conn = Conn()
    here = backend.LibvirtBackend(conn, SITE, "qemu:///system")
    told = here.cpu_baseline("es-1", [other("de-1", "tcg", model="EPYC")], "tcg")
    assert told["baseline"]["model"] == "EPYC"
    assert "avx2" in told["features"]
    assert (told["accelerator"], told["hypervisors"]) == ("tcg", ["es-1", "de-1"])
    assert set(conn.kinds) == {"qemu"}


def planned(monkeypatch, others, **given):
    """The plan of a new VM, where nothing but the CPU can be in the way."""
    for check in ("check_size", "check_uuid", "other_macs"):
        monkeypatch.setattr(vm_create.vm_checks, check, lambda *_arguments: ())
    monkeypatch.setattr(vm_create, "choose_accelerator", lambda *_arguments: Accelerator("kvm"))
    monkeypatch.setattr(vm_create, "plan_disks", lambda *_arguments: [])
    request = VmRequest("web", "present", "es-1", {"cpus": 1, "memory": "64MiB", **given}, baseline_cpus=tuple(others))
    return vm_create.plan_creation(Conn(), SITE, "qemu:///system", request)


def test_a_new_vm_gets_the_cpu_of_all_by_its_name(monkeypatch):
    assert planned(monkeypatch, [other("de-1", model="EPYC")], cpu_model="baseline").after.vm.cpu_model == "EPYC"
    assert planned(monkeypatch, [], cpu_model="baseline").after.vm.cpu_model == "EPYC-Rome"


def test_cpus_of_others_without_a_baseline_are_refused(monkeypatch):
    with pytest.raises(InputError, match="cpu_model='EPYC': is no baseline, and baseline_cpus is given; use cpu_model=baseline"):
        planned(monkeypatch, [other("de-1")], cpu_model="EPYC")
