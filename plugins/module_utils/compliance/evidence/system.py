# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of the system below the hypervisor: its hardware, where its software comes from, whom it asks, and who logs in."""

from __future__ import annotations

import ipaddress
import struct
from datetime import datetime, timezone
from typing import Any

from ...errors import BackendError, NotFoundError

DMI = "/sys/class/dmi/id"
RESOLVER = "/etc/resolv.conf"
LOGINS = "/var/log/wtmp"
# As glibc's <utmp.h> has it: type, process, line, id, user, host, exit, session, seconds, microseconds, address, unused.
_RECORD = struct.Struct("<hxxi32s4s32s256shhiii16s20s")
_USER_PROCESS = 7
_INDEXES = ["apt-get", "indextargets", "--format", "$(SITE)\t$(RELEASE)\t$(TRUSTED)\t$(CREATED_BY)"]
_FIELDS = ("sys_vendor", "product_name", "board_vendor", "board_name", "bios_vendor", "bios_version", "bios_date")


def hardware(host: Any) -> dict[str, Any]:
    """``{field: value}`` of the firmware's own inventory; what it leaves empty is empty."""
    there = host.names(DMI)
    return {name: host.text(f"{DMI}/{name}").strip() if name in there else "" for name in _FIELDS}


def repositories(host: Any) -> dict[str, Any]:
    """``{"repositories": [{"site", "release", "trusted"}]}``; ``trusted``: its index has a signature that apt verified."""
    found = {tuple(line.split("\t")[:3]) for line in host.run(_INDEXES).splitlines() if line.endswith("\tPackages")}
    if not found:
        raise BackendError("apt has read no index of packages", remedy="run apt-get update on the host")
    keys = ("site", "release", "trusted")
    return {"repositories": [{**dict(zip(keys, one)), "trusted": one[2] == "yes"} for one in sorted(found)]}


def name_servers(host: Any) -> dict[str, Any]:
    """``{"servers": [addresses]}``, as the C library asks them."""
    words = [line.split() for line in host.text(RESOLVER).splitlines()]
    servers = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    if not servers:
        raise NotFoundError(f"{RESOLVER} names no server")
    return {"servers": servers}


def logins(host: Any, now: datetime, days: int = 30) -> dict[str, Any]:
    """``{"days", "sources": [{"address", "users", "last"}]}`` of logins over the network; a record cut short is left out."""
    written = host.data(LOGINS)
    since = now.timestamp() - days * 86400
    found: dict[str, dict[str, Any]] = {}
    for offset in range(0, len(written) - _RECORD.size + 1, _RECORD.size):
        record = _RECORD.unpack_from(written, offset)
        address = _address(record[11])
        if record[0] != _USER_PROCESS or not address or record[9] < since:
            continue
        user = record[4].split(b"\0", 1)[0].decode(errors="replace")
        at = datetime.fromtimestamp(record[9], timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        source = found.setdefault(address, {"address": address, "users": [], "last": at})
        source["users"] = sorted({*source["users"], user})
        source["last"] = max(source["last"], at)
    return {"days": days, "sources": [found[address] for address in sorted(found)]}


def _address(packed: bytes) -> str:
    """An IPv4 address is in the first four bytes; empty for a login at the console."""
    if not any(packed):
        return ""
    return str(ipaddress.ip_address(packed[:4] if not any(packed[4:]) else packed))
