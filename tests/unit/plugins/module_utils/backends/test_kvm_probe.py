# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe says why KVM is of no use, and leaves nothing open."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.kvm_probe import access_fault, kvm_fault


@pytest.mark.parametrize(
    ("device", "reason"),
    [("/dev/does-not-exist", "No such file"), ("/dev/null", "Inappropriate ioctl"), ("/proc/self", "Is a directory")],
)
def test_what_is_not_kvm_is_a_fault_in_words(device, reason):
    assert reason in kvm_fault(device)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "open_to_it"),
    [
        (0o600, 64055, 64055, False),
        (0o660, 64055, 64055, False),
        (0o666, 64055, 64055, True),
        (0o660, 64055, 0, True),
        (0o600, 0, 0, True),
        (0o606, 64055, 0, False),
    ],
)
def test_the_device_is_open_to_the_user_of_qemu_or_not(tmp_path, mode, uid, gid, open_to_it):
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(mode)
    owner = device.stat()
    # As if root owned it, whoever runs the test.
    uid, gid = (owner.st_uid if uid == 0 else uid), (owner.st_gid if gid == 0 else gid)
    assert (access_fault(uid, gid, str(device)) is None) is open_to_it


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
