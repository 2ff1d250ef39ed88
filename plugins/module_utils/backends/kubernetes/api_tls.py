# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an API server speaks TLS, seen from a client: one handshake as it likes best, and one in each old version.

Nothing is sent in them, and no certificate is trusted: who the server is was checked when the cluster was opened.
"""

from __future__ import annotations

import socket
import ssl
import warnings
from typing import Any
from urllib.parse import urlsplit

from ...errors import BackendError, UnreachableError
from ..certificates import not_after

_OLD = ("TLSv1", "TLSv1_1")
_SECONDS = 10.0


def api_tls(server: str, *, timeout: float = _SECONDS) -> dict[str, Any]:
    """``{"server", "version", "cipher", "expires", "old_accepted", "old_untried"}``.

    ``expires``: end of the server's certificate, ISO 8601 in UTC. ``old_accepted``: versions before TLS 1.2 that the server agrees
    to; ``old_untried``: those that the TLS library here cannot even offer. UnreachableError, BackendError.
    """
    parts = urlsplit(server)
    host, port = parts.hostname or "", parts.port or 443
    if parts.scheme != "https":
        raise BackendError(f"{server} is not reached by TLS", remedy="write https in the kubeconfig's server")
    best = _handshake(host, port, _context(), timeout)
    end = not_after(ssl.DER_cert_to_PEM_cert(best["certificate"]))
    if end is None:
        raise BackendError(f"the certificate of {server} cannot be read", remedy="check it with openssl s_client")
    accepted, untried = [], []
    for name in _OLD:
        context = _old_context(name)
        if context is None:
            untried.append(_written(name))
        elif _agrees(host, port, context, timeout):
            accepted.append(_written(name))
    return {
        "server": server,
        "version": best["version"],
        "cipher": best["cipher"],
        "expires": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "old_accepted": accepted,
        "old_untried": untried,
    }


def _written(name: str) -> str:
    return name.replace("_", ".")


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _old_context(name: str) -> ssl.SSLContext | None:
    """None where the library was built without that version."""
    if not getattr(ssl, f"HAS_{name}", False):
        return None
    context = _context()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            # Above level 0, OpenSSL does not offer the signatures of old versions.
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, name)
    except (ssl.SSLError, ValueError):
        return None
    return context


def _handshake(host: str, port: int, context: ssl.SSLContext, timeout: float) -> dict[str, Any]:
    try:
        with socket.create_connection((host, port), timeout) as raw, context.wrap_socket(raw, server_hostname=host) as stream:
            return {
                "version": stream.version() or "",
                "cipher": (stream.cipher() or ("",))[0],
                "certificate": stream.getpeercert(binary_form=True) or b"",
            }
    except OSError as error:
        what = f"no TLS handshake with {host} port {port} ({' '.join(str(error).split())})"
        raise UnreachableError(what, remedy="check that the server runs, and that nothing on the way breaks TLS") from error


def _agrees(host: str, port: int, context: ssl.SSLContext, timeout: float) -> bool:
    """A refusal by TLS is an answer; that nobody is there is none."""
    try:
        _handshake(host, port, context, timeout)
    except UnreachableError as error:
        cause = error.__cause__
        if isinstance(cause, (ssl.SSLError, ConnectionResetError)):
            return False
        raise
    return True
