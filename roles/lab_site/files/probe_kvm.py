# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell whether KVM is of use here: /dev/kvm can exist, and open, and still run guests at no useful speed.

A VM with one vCPU and one page of memory counts down in real mode and writes a byte to an I/O port.
Exit status 0: that byte arrived in time. Otherwise 1, with the reason on standard error.
Some nested hosts emulate each instruction of the guest: a kernel then needs minutes where TCG needs
seconds, so the count is one that a processor does in 0.1 s and such a host does not do in SECONDS.
"""

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import sys
from pathlib import Path

# Numbers of ioctls and exits from <linux/kvm.h>, for x86-64.
CREATE_VM, VCPU_MMAP_SIZE, CREATE_VCPU, RUN = 0xAE01, 0xAE04, 0xAE41, 0xAE80
SET_USER_MEMORY_REGION = 0x4020AE46
SET_REGS, GET_SREGS, SET_SREGS = 0x4090AE82, 0x8138AE83, 0x4138AE84
EXIT_IO = 2
SREGS_SIZE = 0x138

PORT, BYTE, COUNT, SECONDS = 0xF1, 0x42, 50_000_000, 3
# mov ecx, COUNT; again: dec ecx; jnz again; mov al, BYTE; out PORT, al; hlt
CODE = struct.pack("=BBI", 0x66, 0xB9, COUNT) + bytes([0x66, 0x49, 0x75, 0xFC, 0xB0, BYTE, 0xE6, PORT, 0xF4])


def run_guest(kvm):
    """Return (exit reason, port, byte) of the first exit of a tiny real-mode guest."""
    vm = fcntl.ioctl(kvm, CREATE_VM, 0)
    page = mmap.mmap(-1, mmap.PAGESIZE)
    page[: len(CODE)] = CODE
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    fcntl.ioctl(vm, SET_USER_MEMORY_REGION, struct.pack("=IIQQQ", 0, 0, 0, mmap.PAGESIZE, address))

    vcpu = fcntl.ioctl(vm, CREATE_VCPU, 0)
    state = mmap.mmap(vcpu, fcntl.ioctl(kvm, VCPU_MMAP_SIZE, 0))
    sregs = bytearray(SREGS_SIZE)
    fcntl.ioctl(vcpu, GET_SREGS, sregs)
    struct.pack_into("=QIH", sregs, 0, 0, 0xFFFF, 0)  # code segment: base, limit, selector
    fcntl.ioctl(vcpu, SET_SREGS, bytes(sregs))
    # 16 general registers, then the instruction pointer, then the flags (bit 1 is always set)
    fcntl.ioctl(vcpu, SET_REGS, struct.pack("=18Q", *[0] * 17, 2))

    fcntl.ioctl(vcpu, RUN, 0)
    reason = struct.unpack_from("=I", state, 8)[0]
    port, data_offset = struct.unpack_from("=2xH4xQ", state, 32)
    byte = state[data_offset] if reason == EXIT_IO else None
    return reason, port, byte


def give_up(signum, frame):
    raise TimeoutError(f"a guest did not count to {COUNT} in {SECONDS} s")


def main():
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    if os.uname().machine != "x86_64":
        sys.exit(f"this probe knows x86_64 only, and the machine is {os.uname().machine}")
    try:
        with Path("/dev/kvm").open("r+b", buffering=0) as kvm:
            reason, port, byte = run_guest(kvm)
    except OSError as error:
        sys.exit(f"/dev/kvm: {error}")
    if (reason, port, byte) != (EXIT_IO, PORT, BYTE):
        sys.exit(f"/dev/kvm: the guest did not run (exit reason {reason})")


if __name__ == "__main__":
    main()
