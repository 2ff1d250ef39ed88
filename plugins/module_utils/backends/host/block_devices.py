# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what is written to a folder or a device is encrypted on its way down to the disk."""

from __future__ import annotations

import json
from typing import Any

from ...errors import BackendError
from .reading import Host


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
        shown = json.loads(self._host.run("lsblk", "--json", "--inverse", "--output", "NAME,TYPE", device))
        return all(_crosses(one) for one in shown["blockdevices"]) and bool(shown["blockdevices"])


def _crosses(device: dict[str, Any]) -> bool:
    below = device.get("children") or []
    return device.get("type") == "crypt" or (bool(below) and all(_crosses(one) for one in below))
