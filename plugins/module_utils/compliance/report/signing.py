# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Detached Ed25519 signatures of a report's files, which openssl can verify."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from .lines import lines

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
except ImportError:
    Ed25519PrivateKey = None  # type: ignore[assignment,misc]

_MAKE = "make one with: openssl genpkey -algorithm ed25519 -out signing.pem"


def read_key(path: str, passphrase: str | None = None, option: str = "signing_key") -> Any:
    """The private key; InputError for a file that is none, and where the Python library cryptography is missing."""
    if Ed25519PrivateKey is None:
        raise InputError("needs the Python library cryptography", option=option, value=path, remedy="install cryptography")
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", option=option, value=path, remedy=_MAKE) from None
    try:
        key = load_pem_private_key(text, passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        remedy = "give a private key in PEM, and its passphrase if it has one"
        raise InputError("cannot be used as a key", option=option, value=path, remedy=remedy) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("is no Ed25519 key", option=option, value=path, remedy=_MAKE)
    return key


def manifest(report: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """The text of manifest.json: of which report, and the SHA-256 and bytes of each of its files."""
    files = {
        name: {"sha256": hashlib.sha256(text.encode()).hexdigest(), "bytes": len(text.encode())} for name, text in texts.items()
    }
    told = {
        "schema": "virt8ra.federation/report-manifest/1",
        "federation": report.get("federation"),
        "generated": report.get("generated"),
    }
    return lines({**told, "files": files}, 2)


def sign(texts: Mapping[str, str], key: Any) -> dict[str, bytes]:
    """``NAME.sig`` of each text: 64 bytes, the same for the same text and key."""
    return {f"{name}.sig": key.sign(text.encode()) for name, text in texts.items()}
