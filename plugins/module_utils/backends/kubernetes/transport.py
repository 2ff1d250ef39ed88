# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to an API server: how they are made, and what a fault of one means."""

from __future__ import annotations

import re
import socket
import ssl
import urllib.parse
from dataclasses import dataclass
from typing import Any

from ...errors import UnreachableError
from ..cluster import ClusterAccess
from .kubeconfig import Login
from .sdk import urllib3

# More than threads at work would only be opened and thrown away.
_CONNECTIONS = 64
_HOST_NAME_MISMATCH, _ADDRESS_MISMATCH, _EXPIRED = 62, 64, 10
_CLIENT_REFUSED = re.compile(r"ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN)|CERTIFICATE_REQUIRED")


def client_for(login: Login) -> Any:
    """A pool of connections that stay open, through the proxy that the kubeconfig or the environment names."""
    arguments: dict[str, Any] = {"maxsize": _CONNECTIONS, "block": False, "socket_options": socket_options()}
    if login.tls is not None:
        arguments["ssl_context"] = login.tls
        if login.server_name:
            arguments.update(server_hostname=login.server_name, assert_hostname=login.server_name)
    if login.proxy and not passes_by(login):
        if login.proxy.startswith("socks"):
            from urllib3.contrib.socks import SOCKSProxyManager

            return SOCKSProxyManager(login.proxy, **arguments)
        return urllib3.ProxyManager(login.proxy, **arguments)
    return urllib3.PoolManager(**arguments)


def passes_by(login: Login) -> bool:
    """Whether the server is one that is reached without the proxy."""
    from requests.utils import should_bypass_proxies

    return bool(should_bypass_proxies(login.server, login.without_proxy or None))


def connect(login: Login, seconds: float) -> socket.socket:
    """A connection of one's own, outside of the pool."""
    url = urllib.parse.urlsplit(login.server)
    host = url.hostname or ""
    connection = socket.create_connection((host, url.port or (443 if login.tls else 80)), timeout=seconds)
    try:
        for option in socket_options():
            connection.setsockopt(*option)
        return connection if login.tls is None else login.tls.wrap_socket(connection, server_hostname=login.server_name or host)
    except BaseException:
        connection.close()
        raise


def socket_options() -> list[tuple[int, int, int]]:
    """No waiting for more to send, and a peer that is gone is noticed within a minute."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 60000)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


@dataclass(frozen=True)
class Fault:
    """``stays``: trying again cannot help. ``nothing_was_sent``: the server did not even see the request."""

    what: str
    remedy: str
    access: ClusterAccess
    stays: bool = False
    nothing_was_sent: bool = False

    def error(self, tried: bool, seconds: float) -> UnreachableError:
        what = f"{self.what}, tried for {seconds:g} s" if tried and not self.stays and seconds else self.what
        return UnreachableError(what, option=self.access.option, value=self.access.kubeconfig, remedy=self.remedy)


def fault_of(error: BaseException, access: ClusterAccess, server: str) -> Fault:
    """What the transport's exception means."""
    tls = _of_kind(error, ssl.SSLError)
    if tls is not None:
        return _tls_fault(tls, access, server)
    remedy = "check that the server runs and that its address is right"
    name = type(error).__name__
    if name == "ReadTimeoutError":
        return Fault(f"the cluster at {server} does not answer", remedy, access)
    cause = _of_kind(error, OSError)
    why = (cause.strerror or str(cause)) if cause is not None else ""
    before = name in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ProxyError")
    before = before or isinstance(error, (ConnectionRefusedError, socket.gaierror))
    if name == "ConnectTimeoutError":
        why = "no answer"
    elif name == "ProxyError":
        why, remedy = f"the proxy does not let us through: {why or 'no answer'}", "check proxy-url, HTTPS_PROXY and NO_PROXY"
    elif not before:
        return Fault(f"the connection to the cluster at {server} was lost ({why or name})", remedy, access)
    return Fault(f"the cluster at {server} cannot be reached ({why or name})", remedy, access, nothing_was_sent=before)


def _tls_fault(error: ssl.SSLError, access: ClusterAccess, server: str) -> Fault:
    anew = "fetch the kubeconfig anew"
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in (_HOST_NAME_MISMATCH, _ADDRESS_MISMATCH):
            remedy = "reach it by a name of its certificate, or set tls-server-name in the kubeconfig"
            return Fault(f"the certificate of {server} is for another name", remedy, access, True, True)
        if code == _EXPIRED:
            return Fault(f"the certificate of {server} has expired", "renew the server's certificates", access, True, True)
        what = f"the certificate of {server} is not of the authority that the kubeconfig trusts ({error.verify_message})"
        return Fault(what, anew, access, True, True)
    reason = str(error.reason or error)
    if _CLIENT_REFUSED.search(reason):
        return Fault(f"the cluster at {server} refuses the client certificate ({reason})", anew, access, True, True)
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason:
        return Fault(f"{server} does not speak TLS", "correct the server's address in the kubeconfig", access, True, True)
    # A server that goes down in the middle of a handshake, or of an answer.
    return Fault(f"the connection to the cluster at {server} was lost ({reason})", "check that the server runs", access)


def _of_kind(error: BaseException | None, kind: Any) -> Any:
    """The first of a kind among an exception, its arguments and its causes."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, kind):
            return one
        waiting.extend([*one.args, getattr(one, "reason", None), one.__cause__, one.__context__])
    return None
