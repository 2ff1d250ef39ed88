# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a hypervisor can give, from capabilities as libvirt 9 writes them."""

from __future__ import annotations

import libvirt
import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import host_capabilities
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.host_capabilities import (
    Accelerator,
    Cpu,
    DomainCapabilities,
    choose_accelerator,
    machine_types,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError

CAPABILITIES = """
<capabilities><host><secmodel><model>dac</model><baselabel type='kvm'>+64055:+108</baselabel></secmodel></host>
<guest><arch name='i686'><domain type='kvm'/></arch></guest>
<guest><arch name='x86_64'>{domains}<machine>pc-i440fx-7.2</machine><machine>pc-q35-7.2</machine>
<machine canonical='pc-q35-7.2'>q35</machine><machine>pc-q35-10.0</machine><machine>pc-q35-4.0.1</machine><machine>pc-q35-4.0</machine>
</arch></guest></capabilities>
"""
DOMAIN_CAPABILITIES = """
<domainCapabilities><machine>{machine}</machine><vcpu max='288'/>
<os supported='yes'><enum name='firmware'>{firmware}</enum></os>
<cpu><mode name='host-model' supported='{named}'><model>EPYC</model><feature policy='disable' name='pni'/></mode>
<mode name='custom' supported='yes'><model usable='{nehalem}'>Nehalem</model><model usable='no'>EPYC-Milan</model>
<model usable='unknown'>qemu64</model></mode></cpu></domainCapabilities>
"""


class Conn:
    """A virConnect as far as capabilities go."""

    def __init__(self, *, kvm=True, firmware="", named="yes", nehalem="yes"):
        self.domains = "<domain type='qemu'/>" + ("<domain type='kvm'/>" if kvm else "")
        self.answers = {"firmware": firmware, "named": named, "nehalem": nehalem}

    def getCapabilities(self):
        return CAPABILITIES.format(domains=self.domains)

    def getDomainCapabilities(self, _emulator, _arch, machine, _kind):
        if machine not in ("q35", "pc-q35-7.2"):
            raise libvirt.libvirtError("unsupported")
        return DOMAIN_CAPABILITIES.format(machine="pc-q35-7.2", **self.answers)

    def baselineHypervisorCPU(self, _emulator, _arch, machine, kind, cpus, flags):
        assert (machine, kind, flags) == ("pc-q35-7.2", "kvm", libvirt.VIR_CONNECT_BASELINE_CPU_MIGRATABLE)
        assert "<model>EPYC</model>" in cpus[0]
        return "<cpu mode='custom'><model>EPYC</model><feature policy='disable' name='pni'/></cpu>"


@pytest.fixture
def probe(monkeypatch):
    """Makes the probe of KVM answer this."""

    def answer(fault, access=None):
        monkeypatch.setattr(host_capabilities, "kvm_fault", lambda: fault)
        monkeypatch.setattr(
            host_capabilities, "access_fault", lambda uid, gid: access if (uid, gid) == (64055, 108) else "another user"
        )

    return answer


def refused(call, option):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.option == option
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize(
    ("conn", "fault", "reason"),
    [
        (Conn(kvm=False), None, "does not offer"),
        (Conn(), "/dev/kvm: Permission denied", "Permission denied"),
        (Conn(nehalem="no"), None, "Nehalem"),
    ],
)
def test_auto_falls_back_to_emulation_and_says_why(probe, conn, fault, reason):
    probe(fault)
    chosen = choose_accelerator(conn, "auto", "qemu:///system")
    assert (chosen.name, chosen.domain_type) == ("tcg", "qemu")
    assert reason in chosen.warning


def test_auto_takes_kvm_that_works(probe):
    probe(None)
    assert choose_accelerator(Conn(), "auto", "qemu:///system") == Accelerator("kvm")


def test_kvm_that_only_root_may_open_is_none(probe):
    probe(None, access="/dev/kvm is not open to user 64055")
    assert "not open" in choose_accelerator(Conn(), "auto", "qemu:///system").warning


def test_a_remote_hypervisor_is_not_probed_here(probe):
    probe("this is another machine")
    assert choose_accelerator(Conn(), "auto", "qemu+tls://es-1/system").name == "kvm"


def test_kvm_that_is_asked_for_but_does_not_work_is_refused(probe):
    probe("/dev/kvm: Permission denied")
    assert "Permission denied" in refused(lambda: choose_accelerator(Conn(), "kvm", "qemu:///system"), "accelerator")


def test_emulation_that_is_asked_for_needs_no_warning():
    assert choose_accelerator(Conn(), "tcg", "qemu:///system") == Accelerator("tcg")


def test_machines_are_pinned_and_sorted_by_version():
    assert machine_types(Conn()) == ["pc-q35-10.0", "pc-q35-7.2", "pc-q35-4.0.1", "pc-q35-4.0"]
    assert DomainCapabilities(Conn(), Accelerator("kvm")).machine == "pc-q35-7.2"


def test_an_unknown_machine_is_refused_with_those_that_there_are():
    told = refused(lambda: DomainCapabilities(Conn(), Accelerator("kvm"), "pc-q35-9.9"), "machine")
    assert "pc-q35-10.0" in told


def test_cpu_models_and_the_baseline():
    capabilities = DomainCapabilities(Conn(), Accelerator("kvm"))
    assert capabilities.cpu("Nehalem") == Cpu("Nehalem")
    assert capabilities.cpu("baseline") == Cpu("EPYC", (("disable", "pni"),))
    assert "Nehalem" in refused(lambda: capabilities.cpu("EPYC-Milan"), "cpu_model")
    unnamed = DomainCapabilities(Conn(named="no"), Accelerator("kvm"))
    refused(lambda: unnamed.cpu("baseline"), "cpu_model")


@pytest.mark.parametrize(("firmware", "has"), [("", False), ("<value>efi</value>", True), ("<value>bios</value>", False)])
def test_uefi_is_there_where_libvirt_found_it(firmware, has):
    assert DomainCapabilities(Conn(firmware=firmware), Accelerator("kvm")).has_uefi is has
