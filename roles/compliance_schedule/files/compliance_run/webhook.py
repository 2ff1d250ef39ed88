# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The webhook that is told of new fails: one POST of JSON."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener


class WebhookError(Exception):
    """It was not told; one sentence why. Never names the token."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would take the token to another place."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def check(url: str) -> None:
    """WebhookError for what is no HTTPS; plain HTTP only to this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and _is_here(parts.hostname or ""):
        return
    raise WebhookError(
        f"webhook_url: {url} is not an https:// address; findings and token go over TLS only, or stay on this machine"
    )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def request(url: str, message: Mapping[str, Any], token: str | None, secret: str | None) -> Request:
    """The token as ``Authorization: Bearer``; ``X-Virt8ra-Signature: sha256=HEX`` is the HMAC of the body by the secret."""
    check(url)
    body = json.dumps(message, ensure_ascii=True, sort_keys=True).encode("ascii")
    headers = {"Content-Type": "application/json", "User-Agent": "virt8ra.federation"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if secret:
        headers["X-Virt8ra-Signature"] = "sha256=" + hmac.new(secret.encode("utf-8"), body, hashlib.sha256).hexdigest()
    return Request(url, data=body, headers=headers, method="POST")


def tell(url: str, message: Mapping[str, Any], token: str | None, secret: str | None, timeout: float) -> None:
    """WebhookError unless it answers with 2xx."""
    asked = request(url, message, token, secret)
    try:
        with build_opener(_NoRedirect).open(asked, timeout=timeout) as answer:
            answer.read(1)
    except HTTPError as error:
        raise WebhookError(f"the webhook answered {error.code}; the new fails are told again after the next run") from error
    except (URLError, OSError, ValueError) as error:
        raise WebhookError(f"the webhook cannot be reached ({error}); the new fails are told again after the next run") from error
