# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what is written to a folder or a device is encrypted on its way down to the disk."""

from __future__ import annotations

import posixpath

from ...errors import BackendError, NotFoundError
from .reading import Host

# Also in a container, which has no nodes of the host's devices.
_DEVICES = "/sys/class/block"


class BlockDevices:
    """Asks for each path once."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, bool | BackendError] = {}

    def encrypted(self, path: str) -> bool:
        """Whether all ways down from a folder, or from a device, cross dm-crypt; BackendError where that cannot be told."""
        if path not in self._known:
            try:
                self._known[path] = self._ask(path)
            except BackendError as error:
                self._known[path] = error
        known = self._known[path]
        if isinstance(known, BackendError):
            raise known
        return known

    def _ask(self, path: str) -> bool:
        device = path
        if not path.startswith("/dev/"):
            device = self._host.run("findmnt", "--noheadings", "--first-only", "--output", "SOURCE", "--target", path).strip()
        # Of a btrfs subvolume findmnt shows /dev/sda2[/folder].
        device = device.partition("[")[0]
        if not device.startswith("/dev/"):
            raise BackendError(f"{path} is on {device or 'nothing'}, which is no block device")
        return self._crosses(posixpath.basename(self._host.real(device)))

    def _crosses(self, device: str) -> bool:
        """The same of one device, by the kernel's name of it."""
        folder = f"{_DEVICES}/{device}"
        try:
            parts = self._host.names(folder)
        except NotFoundError as error:
            raise BackendError(f"the kernel has no device {device} ({error.sentence()})") from None
        if "dm" in parts and self._host.read(f"{folder}/dm/uuid").startswith("CRYPT-"):
            return True
        # A partition has no such folder, and no encryption of its own.
        below = self._host.names(f"{folder}/slaves") if "slaves" in parts else []
        return bool(below) and all(self._crosses(one) for one in below)
