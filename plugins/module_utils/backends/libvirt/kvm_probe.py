# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does KVM on this machine really run a guest?

libvirt offers KVM as soon as /dev/kvm exists, but in a nested or restricted machine the first instruction may fail.
The probe runs one: a 16-bit guest of a single ``hlt``, through the kernel's own interface. It takes a few milliseconds.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import pwd
import stat
import struct
from pathlib import Path

# <linux/kvm.h>
_KVM_CREATE_VM = 0xAE01
_KVM_GET_VCPU_MMAP_SIZE = 0xAE04
_KVM_CREATE_VCPU = 0xAE41
_KVM_SET_USER_MEMORY_REGION = 0x4020AE46
_KVM_RUN = 0xAE80
_KVM_SET_REGS = 0x4090AE82
_KVM_GET_SREGS = 0x8138AE83
_KVM_SET_SREGS = 0x4138AE84
_KVM_EXIT_HLT = 5
_SREGS_SIZE = 0x138
_EXIT_REASON_OFFSET = 8
_HLT = b"\xf4"
_GUEST_PAGE = 0x1000
_RIP_INDEX, _RFLAGS_INDEX, _REGISTERS = 16, 17, 18


def kvm_fault(device: str = "/dev/kvm") -> str | None:
    """None when a guest ran; else why not, as part of a sentence."""
    opened: list[int] = []
    try:
        opened.append(os.open(device, os.O_RDWR | os.O_CLOEXEC))
        return _run_hlt(opened)
    except OSError as error:
        return f"{device}: {error.strerror or error}"
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def access_fault(uid: int, gid: int, device: str = "/dev/kvm") -> str | None:
    """None when this user may open the device; else why not. The probe runs as root, QEMU as a user of its own."""
    try:
        found = Path(device).stat()
    except OSError as error:
        return f"{device}: {error.strerror or error}"
    both = stat.S_IROTH | stat.S_IWOTH
    # The owner's, else the group's, else the others' bits count, as the kernel has it.
    shift = 6 if found.st_uid == uid else 3 if found.st_gid in _groups(uid, gid) else 0
    if uid == 0 or (found.st_mode >> shift) & both == both:
        return None
    return f"{device} is not open to user {uid}, as which QEMU runs"


def _groups(uid: int, gid: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]


def _run_hlt(opened: list[int]) -> str | None:
    kvm = opened[0]
    machine = fcntl.ioctl(kvm, _KVM_CREATE_VM, 0)
    opened.append(machine)
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        page[: len(_HLT)] = _HLT
        held = ctypes.c_char.from_buffer(page)
        try:
            # slot, flags, guest physical address, size, address in this process
            region = struct.pack("=IIQQQ", 0, 0, _GUEST_PAGE, mmap.PAGESIZE, ctypes.addressof(held))
            fcntl.ioctl(machine, _KVM_SET_USER_MEMORY_REGION, region)
            cpu = fcntl.ioctl(machine, _KVM_CREATE_VCPU, 0)
            opened.append(cpu)
            _point_at_guest_page(cpu)
            with mmap.mmap(cpu, fcntl.ioctl(kvm, _KVM_GET_VCPU_MMAP_SIZE, 0)) as run:
                fcntl.ioctl(cpu, _KVM_RUN, 0)
                (reason,) = struct.unpack_from("=I", run, _EXIT_REASON_OFFSET)
        finally:
            # mmap refuses to close while ctypes points into it.
            del held
    return None if reason == _KVM_EXIT_HLT else f"a guest left KVM with reason {reason} instead of {_KVM_EXIT_HLT} (halt)"


def _point_at_guest_page(cpu: int) -> None:
    """Real mode, code segment at 0, instruction pointer at the page."""
    segments = bytearray(_SREGS_SIZE)
    fcntl.ioctl(cpu, _KVM_GET_SREGS, segments)
    # kvm_sregs begins with cs: base (8 bytes), limit (4), selector (2).
    struct.pack_into("=Q", segments, 0, 0)
    struct.pack_into("=H", segments, 12, 0)
    fcntl.ioctl(cpu, _KVM_SET_SREGS, bytes(segments))
    registers = [0] * _REGISTERS
    registers[_RIP_INDEX] = _GUEST_PAGE
    registers[_RFLAGS_INDEX] = 2
    fcntl.ioctl(cpu, _KVM_SET_REGS, struct.pack("=18Q", *registers))
