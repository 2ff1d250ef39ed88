# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a hypervisor is reached and what it logs: listeners, handshakes, migration's TLS, and the daemon's log."""

from __future__ import annotations

import re
from typing import Any

from ...errors import FederationError, NotFoundError

TLS_PORT = 16514
TCP_PORT = 16509
QEMU_CONF = "/etc/libvirt/qemu.conf"
_DAEMON_CONF = "/etc/libvirt/libvirtd.conf"
_AUTHORITY = "/etc/pki/CA/cacert.pem"
_OWN = ("/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem")
_SOCKETS = ("libvirtd-tcp.socket", "virtproxyd-tcp.socket")
_SETTING = re.compile(r"^\s*([a-z_0-9]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|(\d+))\s*(?:#.*)?$")


def settings(text: str) -> dict[str, str]:
    """The scalars of a libvirt configuration file; the last of a name counts, as for the daemon."""
    found = {}
    for line in text.splitlines():
        match = _SETTING.match(line)
        if match:
            found[match[1]] = next(value for value in match.groups()[1:] if value is not None)
    return found


def tls(host: Any, address: str) -> dict[str, Any]:
    """``{"version", "cipher", "bits", "not_after"}`` of the daemon's own port."""
    try:
        own = _OWN if all(host.text(path) for path in _OWN) else None
    except FederationError:
        own = None
    return dict(host.handshake(address, TLS_PORT, _AUTHORITY, own))


def plain_tcp(host: Any, address: str) -> dict[str, Any]:
    """``{"open", "sockets": {unit: state}}``; a unit that systemd does not know is ``inactive`` there."""
    units = {}
    for unit in _SOCKETS:
        name = unit.replace("-", "_2d").replace(".", "_2e")
        path = f"/org/freedesktop/systemd1/unit/{name}"
        command = ["busctl", "--json=short", "get-property", "org.freedesktop.systemd1", path, "org.freedesktop.systemd1.Unit"]
        units[unit] = host.run_json([*command, "ActiveState"])["data"]
    return {"open": host.accepts(address, TCP_PORT), "sockets": units}


def migration_tls(host: Any) -> dict[str, Any]:
    """``{"verify": {"default", "migration", "nbd"}, "certificates": {"migration", "nbd"}, "force"}`` with libvirt's own fallbacks applied.

    NBD and migration take the default's switch where they have none; QEMU verifies peers unless it is told not to.
    """
    read = settings(host.text(QEMU_CONF))
    default = read.get("default_tls_x509_verify", "1") == "1"
    folder = read.get("default_tls_x509_cert_dir", "/etc/pki/qemu")
    there = {}
    for kind in ("migrate", "nbd"):
        named = read.get(f"{kind}_tls_x509_cert_dir")
        places = [named] if named else [f"/etc/pki/libvirt-{kind}", folder]
        there[kind] = _has_certificate(host, places)
    verify = {kind: read.get(f"{kind}_tls_x509_verify", "1" if default else "0") == "1" for kind in ("migrate", "nbd")}
    return {
        "verify": {"default": default, "migration": verify["migrate"], "nbd": verify["nbd"]},
        "certificates": {"migration": there["migrate"], "nbd": there["nbd"]},
        "force": read.get("migrate_tls_force", "0") == "1",
    }


def _has_certificate(host: Any, places: list[str]) -> bool:
    """Whether the first of the folders that is there has a server's certificate."""
    for place in places:
        try:
            return "server-cert.pem" in host.names(place)
        except NotFoundError:
            continue
    return False


def audit(host: Any) -> dict[str, Any]:
    """``{"outputs", "filters", "level", "logging"}``: audit events as libvirt's own switches have them (0 off, 1 as auditd, 2 must)."""
    outputs, filters = (
        host.run(["virt-admin", "-c", "libvirtd:///system", f"daemon-log-{kind}"]).strip() for kind in ("outputs", "filters")
    )
    read = settings(host.text(_DAEMON_CONF))
    return {
        "outputs": outputs.partition(":")[2].strip(),
        "filters": filters.partition(":")[2].strip(),
        "level": int(read.get("audit_level", "1")),
        "logging": read.get("audit_logging", "0") == "1",
    }
