# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a pod's name to a command at work in it: the WebSocket's handshake, and what its refusals mean."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from typing import Any

from ...errors import FederationError, UnreachableError
from .faults import Question, refusal
from .kubeconfig import Login
from .requests import Requests
from .running import V4, V5, PodCommand
from .sdk import websocket
from .transport import connect, fault_of, passes_by, socket_options

_OPEN_SECONDS = 60.0


def run_command(
    requests: Requests, cluster: str, namespace: str, pod: str, command: Sequence[str], *, container: str, stdin: bool
) -> PodCommand:
    """Never repeated: nobody can tell whether a command whose connection is lost was started.

    :raises NotFoundError: there is no such pod
    :raises BackendError: the pod or the container does not run
    """
    question = Question(cluster, "create", "pods/exec", pod, namespace)
    connection = _open(requests, question, _url(requests, namespace, pod, command, container, stdin))
    protocol = connection.getsubprotocol() or V4
    return PodCommand(connection.sock, protocol, f"{command[0]} in pod {namespace}/{pod} of cluster {cluster}")


def _url(requests: Requests, namespace: str, pod: str, command: Sequence[str], container: str, stdin: bool) -> str:
    path = f"/api/v1/namespaces/{urllib.parse.quote(namespace, safe='')}/pods/{urllib.parse.quote(pod, safe='')}/exec"
    query = [("command", word) for word in command] + [("stdout", "true"), ("stderr", "true")]
    if stdin:
        query.append(("stdin", "true"))
    if container:
        query.append(("container", container))
    scheme, separator, rest = requests.url(path, query).partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}{separator}{rest}"


def _open(requests: Requests, question: Question, url: str) -> Any:
    login = requests.login
    options: dict[str, Any] = {
        "subprotocols": [V5, V4],
        "header": [f"{name}: {value}" for name, value in login.headers().items()],
        "timeout": _OPEN_SECONDS,
        # Elsewhere nobody needs to know who we are.
        "redirect_limit": 0,
    }
    try:
        if login.proxy and not passes_by(login):
            options.update(_proxied(login))
        else:
            options["socket"] = connect(login, _OPEN_SECONDS)
        return websocket.create_connection(url, **options)
    except websocket.WebSocketBadStatusException as error:
        raise _refused(requests, question, int(error.status_code), getattr(error, "resp_body", None)) from None
    except (websocket.WebSocketException, OSError) as error:
        fault = fault_of(error, login.access, login.server)
        raise fault.error(tried=False, seconds=0) from error


def _proxied(login: Login) -> dict[str, Any]:
    proxy = urllib.parse.urlsplit(login.proxy)
    options: dict[str, Any] = {
        "http_proxy_host": proxy.hostname,
        "http_proxy_port": proxy.port or 3128,
        "proxy_type": proxy.scheme if proxy.scheme.startswith("socks") else "http",
        "sockopt": socket_options(),
    }
    if proxy.username:
        options["http_proxy_auth"] = (urllib.parse.unquote(proxy.username), urllib.parse.unquote(proxy.password or ""))
    if login.tls is not None:
        options["sslopt"] = {"context": login.tls, "check_hostname": login.tls.check_hostname}
        if login.server_name:
            options["sslopt"]["server_hostname"] = login.server_name
    return options


def _refused(requests: Requests, question: Question, code: int, body: Any) -> FederationError:
    """The handshake's answer is a Status; as a command is never repeated, a server that is away is told at once."""
    try:
        status = json.loads(body or b"")
    except ValueError:
        status = {}
    if code == 401:
        return requests.unknown_user()
    if code in (502, 503, 504):
        what = f"cluster {question.cluster}: {question}: the server is away ({code})"
        return UnreachableError(what, remedy="run again when it is back")
    return refusal(question, code, status if isinstance(status, dict) else {})
