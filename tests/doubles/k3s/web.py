# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a server of the cluster: its supervisor and its API, on one port."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import pki, tokens


class WebError(Exception):
    """No answer, or one that is none of 2xx; ``code`` is 0 without an answer."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


def call(
    url: str,
    context: ssl.SSLContext,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout: float = 15,
) -> bytes:
    """The body of the answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port or 443, context=context, timeout=timeout)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        read = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise WebError(f"Get {url}: {error}") from None
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        told = read.decode(errors="replace").strip()
        with contextlib.suppress(ValueError):
            told = json.loads(told).get("message", told)
        raise WebError(f"{url}: {answer.status} {answer.reason}: {told}", answer.status)
    return read


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def authority(server: str) -> bytes:
    """What the server says its CA is; whoever asks compares it with a token."""
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    return call(f"{server}/cacerts", blind)


class Supervisor:
    """A server's own side of port 6443, as user ``node`` or ``server``."""

    def __init__(self, server: str, token: str, user: str, keep: Path) -> None:
        """TokenError when the token is of another cluster, WebError when nobody answers; the CA is written to ``keep``."""
        self.server = server.rstrip("/")
        told = authority(self.server)
        self.password = tokens.check(token, told)
        keep.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        keep.write_bytes(told)
        self._context = pki.trusting(keep)
        self._user = user

    def get(self, path: str, body: bytes | None = None, **headers: str) -> bytes:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        method = "POST" if body else "GET"
        shown = {**basic(self._user, self.password), **named}
        return call(self.server + path, self._context, method=method, body=body, headers=shown)

    def put(self, path: str, what: Any) -> None:
        body = json.dumps(what).encode()
        call(self.server + path, self._context, method="PUT", body=body, headers=basic(self._user, self.password), timeout=70)
