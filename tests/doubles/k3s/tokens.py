# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tokens, and what k3s locks away with them: ``K10<hash of the CA>::server:<password>``, or the password alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

_ROUNDS = 1000


class TokenError(Exception):
    """A token that says nothing, or that belongs to another cluster."""


def parse(token: str) -> tuple[str, str, str]:
    """``(hash of the CA, user, password)``; hash and user are empty in a short token."""
    token = token.strip()
    if not token:
        raise TokenError("token must not be empty")
    if not token.startswith("K10"):
        return "", "", token
    digest, separator, credentials = token[3:].partition("::")
    user, colon, password = credentials.partition(":")
    if separator and digest and len(digest) != 64:
        raise TokenError("invalid token CA hash length")
    if not colon or not password:
        raise TokenError("invalid token format")
    return digest, user, password


def digest(authority: bytes) -> str:
    return hashlib.sha256(authority).hexdigest()


def check(token: str, authority: bytes) -> str:
    """The password of a token that is of the cluster with this CA."""
    wanted, _user, password = parse(token)
    if wanted and wanted != digest(authority):
        raise TokenError(f"token CA hash does not match the Cluster CA certificate hash: {wanted} != {digest(authority)}")
    return password


def full(user: str, password: str, authority: bytes) -> str:
    return f"K10{digest(authority)}::{user}:{password}"


def made() -> str:
    return secrets.token_hex(16)


def _stream(password: str, salt: bytes, length: int) -> tuple[bytes, bytes]:
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)
    return key, hashlib.shake_256(key).digest(length)


def seal(password: str, what: Any) -> dict[str, str]:
    """Plain data, unreadable without the password. Good enough for a stand-in, and for nothing else."""
    plain, salt = json.dumps(what).encode(), secrets.token_bytes(16)
    key, stream = _stream(password, salt, len(plain))
    data = bytes(one ^ other for one, other in zip(plain, stream))
    mac = hmac.new(key, data, "sha256").hexdigest()
    return {"salt": salt.hex(), "data": base64.b64encode(data).decode(), "mac": mac}


def unseal(password: str, sealed: dict[str, str]) -> Any:
    data, salt = base64.b64decode(sealed["data"]), bytes.fromhex(sealed["salt"])
    key, stream = _stream(password, salt, len(data))
    if not hmac.compare_digest(hmac.new(key, data, "sha256").hexdigest(), sealed["mac"]):
        raise TokenError("bootstrap data already found and encrypted with different token")
    return json.loads(bytes(one ^ other for one, other in zip(data, stream)))
