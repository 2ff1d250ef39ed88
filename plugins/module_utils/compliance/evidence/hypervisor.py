# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of a hypervisor: what libvirt, systemd and the kernel tell of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ...errors import BackendError, FederationError
from . import storage, system, transport
from .facts import Area

_VULNERABILITIES = "/sys/devices/system/cpu/vulnerabilities"


def hypervisor_areas(host: Any, pools: Sequence[Mapping[str, Any]], address: str = "127.0.0.1") -> list[Area]:
    """All areas of a hypervisor, yet to be measured.

    :param host: backends.host.Host, or what reads like it
    :param pools: ``{"name", "active", "xml"}`` of each storage pool
    """
    port = f"TCP connection to {address}:{transport.TCP_PORT}, busctl get-property of the socket units"
    tls = f"TLS handshake with {address}:{transport.TLS_PORT}"
    return [
        Area("libvirt_tls", tls, lambda: transport.tls(host, address)),
        Area("plain_tcp", port, lambda: transport.plain_tcp(host, address)),
        Area("migration_tls", f"{transport.QEMU_CONF}, parsed: libvirt has no call for it", lambda: transport.migration_tls(host)),
        Area("audit", "virt-admin daemon-log-outputs and daemon-log-filters; libvirtd.conf, parsed", lambda: transport.audit(host)),
        Area("cpu_vulnerabilities", _VULNERABILITIES, lambda: vulnerabilities(host)),
        Area("pools", "virStoragePoolGetXMLDesc, of each pool", lambda: storage.pools(pools)),
        Area("storage_encryption", "findmnt --json; lsblk --json --inverse", lambda: storage.encryption(host, pools)),
        Area("hardware", system.DMI, lambda: system.hardware(host)),
        Area("repositories", "apt-get indextargets", lambda: system.repositories(host)),
        Area("name_servers", system.RESOLVER, lambda: system.name_servers(host)),
        Area("logins", f"{system.LOGINS}, records of glibc's utmp", lambda: system.logins(host, datetime.now(timezone.utc))),
        Area("firewall", "nft -j list ruleset", lambda: firewall(host)),
    ]


def vulnerabilities(host: Any) -> dict[str, Any]:
    """``{"all": {name: what the kernel says}, "vulnerable": [names]}``."""
    read = {name: host.text(f"{_VULNERABILITIES}/{name}").strip() for name in host.names(_VULNERABILITIES)}
    if not read:
        raise BackendError("the kernel tells of no vulnerability of its CPU")
    return {"all": read, "vulnerable": sorted(name for name, told in read.items() if told.startswith("Vulnerable"))}


def firewall(host: Any) -> dict[str, Any]:
    """``{"chains": [{"family", "table", "name", "hook", "policy"}], "rules": n}`` of the base chains."""
    listed = host.run_json(["nft", "-j", "list", "ruleset"]).get("nftables", [])
    chains = [one["chain"] for one in listed if "hook" in one.get("chain", {})]
    keys = ("family", "table", "name", "hook", "policy")
    return {
        "chains": [{key: chain.get(key, "") for key in keys} for chain in chains],
        "rules": sum("rule" in one for one in listed),
    }


def luks_below(host: Any, pools: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """Whether what is below is LUKS, by the path of a pool; what cannot be had is left out."""
    try:
        return {one["path"]: one["encrypted"] for one in storage.encryption(host, pools)["pools"] if one["path"]}
    except FederationError:
        return {}


def pool_paths(pools: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The target path of each pool, by name."""
    return {str(pool["name"]): ET.fromstring(pool["xml"]).findtext("target/path", "") for pool in pools}
