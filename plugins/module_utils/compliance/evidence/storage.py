# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where pools keep their data, and whether the block devices below are LUKS."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import FederationError


def pools(described: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``{"pools": [{"name", "type", "active", "path", "endpoints": [...]}]}``; no endpoint: the data is on this host."""
    found = []
    for pool in described:
        root = ET.fromstring(pool["xml"])
        kind = root.get("type", "")
        hosts = [one.get("name", "") for one in root.findall("source/host")]
        path = root.findtext("target/path", "")
        found.append({"name": pool["name"], "type": kind, "active": bool(pool["active"]), "path": path, "endpoints": hosts})
    return {"pools": found}


def encryption(host: Any, described: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``{"pools": [{"name", "path", "device", "encrypted"}]}`` of the active pools that have a path on this host."""
    found = []
    for pool in pools(described)["pools"]:
        if not pool["active"] or not pool["path"] or pool["endpoints"]:
            continue
        try:
            mounted = host.run_json(["findmnt", "--json", "--target", pool["path"], "--output", "SOURCE,FSTYPE"])
            device = str(mounted["filesystems"][0]["source"]).partition("[")[0]
            below = host.run_json(["lsblk", "--json", "--inverse", "--output", "NAME,TYPE", device])["blockdevices"]
        except FederationError as error:
            raise type(error)(f"pool {pool['name']}: {error.what}") from None
        found.append({"name": pool["name"], "path": pool["path"], "device": device, "encrypted": all(map(_luks, below))})
    return {"pools": found}


def _luks(device: Mapping[str, Any]) -> bool:
    """Whether each way down from a device passes an opened LUKS container."""
    below = device.get("children", [])
    return device.get("type") == "crypt" or (bool(below) and all(map(_luks, below)))
