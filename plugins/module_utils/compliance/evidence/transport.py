# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How libvirt and QEMU speak over the network: their TLS, and whether they also speak without it."""

from __future__ import annotations

import re
from typing import Any

from ...backends.host.reading import Host
from ...backends.host.tls import handshake
from ...errors import BackendError, NotFoundError
from .fact import Fact, measured

TLS_PORT, PLAIN_PORT = 16514, 16509
QEMU_CONF = "/etc/libvirt/qemu.conf"
AUTHORITIES = "/etc/pki/CA/cacert.pem"
_SETTING = re.compile(r'^\s*(\w+)\s*=\s*(?:"([^"]*)"|\'([^\']*)\'|(\d+))\s*(?:#.*)?$', re.MULTILINE)


def transport_facts(host: Host, address: str) -> dict[str, Fact]:
    """Areas ``tls``, ``plain_tcp`` and ``libvirt_tls``; ``address`` is where libvirt's ports are reached."""
    return {
        "tls": measured(f"TLS handshake with {address}:{TLS_PORT}", lambda: _tls(host, address)),
        "plain_tcp": measured(f"TCP connection to {address}:{PLAIN_PORT}", lambda: {"open": host.listens(address, PLAIN_PORT)}),
        "libvirt_tls": measured(QEMU_CONF, lambda: migration_tls(host.read(QEMU_CONF))),
    }


def _tls(host: Host, address: str) -> dict[str, Any]:
    try:
        host.changed(AUTHORITIES)
    except NotFoundError:
        return {"port": TLS_PORT, **handshake(address, TLS_PORT)}
    return {"port": TLS_PORT, **handshake(address, TLS_PORT, AUTHORITIES)}


def settings(text: str) -> dict[str, str]:
    """Names and values of a file of libvirt's; of a name that stands twice the last counts, as in libvirt. Lists are left out."""
    return {match[1]: next(one for one in match.groups()[1:] if one is not None) for match in _SETTING.finditer(text)}


def migration_tls(text: str) -> dict[str, Any]:
    """``{migration: {verify, forced, folder}, backup: {verify, folder}}`` of qemu.conf, with libvirt's defaults for what is not set.

    ``verify``: whether peers must show a certificate. Where a setting of its own is missing, libvirt takes that of all TLS, and
    without that it verifies. ``forced``: whether libvirt refuses to migrate without TLS. Disks that go along with a VM are covered.
    """
    found = settings(text)
    told: dict[str, Any] = {}
    for use, name in (("migration", "migrate"), ("backup", "backup")):
        folder = found.get("default_tls_x509_cert_dir", "/etc/pki/qemu")
        verify = found.get(f"{name}_tls_x509_verify", found.get("default_tls_x509_verify", "1"))
        if verify not in ("0", "1"):
            raise BackendError(f"{name}_tls_x509_verify of {QEMU_CONF} is {verify!r}, which is neither 0 nor 1")
        told[use] = {"verify": verify == "1", "folder": found.get(f"{name}_tls_x509_cert_dir", folder)}
    told["migration"]["forced"] = found.get("migrate_tls_force") == "1"
    return told
