# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Heads of qcow2 images, as QEMU writes them."""

from __future__ import annotations

import struct

SIZE = 3 * 2**20


def qcow2_head(*, version=3, backing=b"", features=0, extensions=(), size=SIZE):
    """A header as QEMU writes it, filled up to one cluster."""
    body = b"".join(struct.pack(">II", kind, len(data)) + data.ljust((len(data) + 7) // 8 * 8, b"\0") for kind, data in extensions)
    body += struct.pack(">II", 0, 0)
    length = 104 if version == 3 else 72
    offset = length + len(body) if backing else 0
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", version, offset, len(backing), 16, size).ljust(72, b"\0")
    if version == 3:
        head += struct.pack(">QQQII", features, 0, 0, 4, 104)
    return (head + body + backing).ljust(65536, b"\0")
