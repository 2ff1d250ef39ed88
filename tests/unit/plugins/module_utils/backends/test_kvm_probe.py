# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe says why KVM is of no use, and leaves nothing open."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.kvm_probe import kvm_fault


@pytest.mark.parametrize(
    ("device", "reason"),
    [("/dev/does-not-exist", "No such file"), ("/dev/null", "Inappropriate ioctl"), ("/proc/self", "Is a directory")],
)
def test_what_is_not_kvm_is_a_fault_in_words(device, reason):
    assert reason in kvm_fault(device)


def test_nothing_stays_open():
    before = len(list(Path("/proc/self/fd").iterdir()))
    kvm_fault()
    kvm_fault("/dev/null")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_machine_without_the_device_has_a_fault():
    if not Path("/dev/kvm").exists():
        assert kvm_fault() is not None
    else:
        assert kvm_fault() is None or kvm_fault().startswith(("/dev/kvm", "a guest left KVM"))
