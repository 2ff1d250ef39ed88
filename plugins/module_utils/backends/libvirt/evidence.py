# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check reads of libvirt: descriptions of all domains and pools, in few calls, read only."""

from __future__ import annotations

from typing import Any

from .connection import libvirt, told


def domain_descriptions(conn: Any) -> list[dict[str, Any]]:
    """``{"name", "active", "xml"}`` of each domain, by name; a running one as it runs, with its sVirt label."""
    found = []
    with told("reading the VMs"):
        active = {domain.UUIDString() for domain in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)}
        for domain in conn.listAllDomains():
            try:
                text = domain.XMLDesc()
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    continue  # It was undefined since the list was made.
                raise
            found.append({"name": domain.name(), "active": domain.UUIDString() in active, "xml": text})
    return sorted(found, key=lambda one: str(one["name"]))


def pool_descriptions(conn: Any) -> list[dict[str, Any]]:
    """``{"name", "active", "xml"}`` of each storage pool, by name."""
    with told("reading the storage pools"):
        pools = [
            {"name": pool.name(), "active": bool(pool.isActive()), "xml": pool.XMLDesc()} for pool in conn.listAllStoragePools()
        ]
    return sorted(pools, key=lambda one: str(one["name"]))


def encrypted_volumes(conn: Any) -> dict[str, bool]:
    """Whether libvirt knows a volume to be LUKS, by its path, of all active pools."""
    found: dict[str, bool] = {}
    with told("reading the volumes"):
        for pool in conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            for volume in pool.listAllVolumes():
                found[volume.path()] = "<encryption" in volume.XMLDesc()
    return found


def connection_facts(conn: Any) -> dict[str, Any]:
    """``{"uri", "encrypted", "secure", "libvirt"}`` as the daemon tells them."""
    with told("reading the connection"):
        return {
            "uri": conn.getURI(),
            "encrypted": bool(conn.isEncrypted()),
            "secure": bool(conn.isSecure()),
            "libvirt": conn.getLibVersion(),
        }
