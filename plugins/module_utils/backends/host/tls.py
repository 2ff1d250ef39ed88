# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a TLS server shows of itself in a handshake: version, cipher, and until when its certificate is good."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from ...errors import BackendError
from .. import certificates


def handshake(address: str, port: int, authorities: str | None = None, timeout: float = 5.0) -> dict[str, Any]:
    """``{version, cipher, bits, not_after, trusted, distrust}``; BackendError where there was no handshake.

    The handshake ends also with a server that nobody should trust, since that is what is to be found out. ``trusted`` is null
    without authorities to compare with. Names are not compared: the address need not be the one that clients use.

    :param authorities: path of the authorities' certificates, PEM
    """
    shown = _shake(address, port, None, timeout)
    trusted, distrust = None, ""
    if authorities is not None:
        try:
            _shake(address, port, authorities, timeout)
            trusted = True
        except ssl.SSLCertVerificationError as error:
            trusted, distrust = False, error.verify_message
    return {**shown, "trusted": trusted, "distrust": distrust}


def _shake(address: str, port: int, authorities: str | None, timeout: float) -> dict[str, Any]:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE if authorities is None else ssl.CERT_REQUIRED
        if authorities is not None:
            context.load_verify_locations(authorities)
        with socket.create_connection((address, port), timeout) as plain, context.wrap_socket(plain) as secured:
            cipher, _protocol, bits = secured.cipher() or ("", "", 0)
            certificate = secured.getpeercert(binary_form=True) or b""
            return {"version": secured.version() or "", "cipher": cipher, "bits": bits, "not_after": not_after(certificate)}
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        raise BackendError(f"{address} port {port} made no TLS handshake ({error})") from None


def not_after(certificate: bytes) -> str:
    """When a certificate (X.509, DER) ends, ISO 8601 in UTC. Python's ssl reads it only from certificates that it trusts.

    BackendError for what is no certificate.
    """
    end = certificates.not_after(ssl.DER_cert_to_PEM_cert(certificate))
    if end is None:
        raise BackendError("the server's certificate cannot be read")
    return end.strftime("%Y-%m-%dT%H:%M:%SZ")
