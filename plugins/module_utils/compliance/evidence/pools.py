# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the storage pools of a hypervisor really are: here, or at the end of a network."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

from ...backends.host.reading import Host
from ...errors import BackendError, NotFoundError
from .fact import Fact, measured

_REMOTE_FILES = ("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs")


def pool_facts(host: Host, pools: Sequence[ET.Element]) -> dict[str, Fact]:
    """Area ``pools``: ``[{name, type, path, endpoints}]``; ``endpoints`` are the hosts that hold the data, none for a pool that is here."""
    how = "libvirt: virStoragePoolGetXMLDesc; findmnt of the pools' folders"
    return {"pools": measured(how, lambda: [_pool(host, pool) for pool in pools])}


def _pool(host: Host, pool: ET.Element) -> dict[str, Any]:
    name, kind = pool.findtext("name") or "", pool.get("type", "")
    path = pool.findtext("target/path") or ""
    endpoints = [one.get("name", "") for one in pool.findall("source/host")]
    if kind in ("dir", "fs", "netfs") and not endpoints:
        endpoints = _mounted_from(host, path)
    elif kind in ("rbd", "gluster", "iscsi", "iscsi-direct", "sheepdog") and not endpoints:
        raise BackendError(f"the pool {name} is of type {kind} and names no host")
    return {"name": name, "type": kind, "path": path, "endpoints": endpoints}


def _mounted_from(host: Host, path: str) -> list[str]:
    """The hosts whose file system is mounted there; none for one of this host."""
    if not path:
        raise NotFoundError("a pool of folders has no folder")
    written = host.run("findmnt", "--json", "--first-only", "--output", "SOURCE,FSTYPE", "--target", path)
    (mount,) = json.loads(written)["filesystems"]
    if mount["fstype"] not in _REMOTE_FILES:
        if mount["fstype"].startswith("fuse"):
            raise BackendError(f"{path} is on {mount['fstype']}, so where it is cannot be told")
        return []
    return _hosts(mount["source"])


def _hosts(source: str) -> list[str]:
    """Of ``//server/share``, ``user@server:/path``, ``[2001:db8::1]:/path`` and ``a:6789,b:6789:/``."""
    if source.startswith("//"):
        return [source[2:].partition("/")[0]]
    found = []
    for one in source.partition(":/")[0].split(","):
        name = one.rpartition("@")[2]
        found.append(name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0])
    return found
