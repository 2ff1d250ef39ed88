# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report's files signed: the digests of all of them as sha256sum writes them, and an Ed25519 signature of that.

``openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig`` checks it after the signature was
turned from Base64 into bytes. The same key and files have the same signature.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"


class Signer:
    """A private key in PEM, without a passphrase."""

    def __init__(self, path: str, option: str = "signing_key") -> None:
        """InputError for what is no Ed25519 key; the key is never shown."""
        if not HAS_CRYPTOGRAPHY:
            raise InputError("needs cryptography, which is not installed", option=option, remedy="install python3-cryptography")
        try:
            key = load_pem_private_key(Path(path).read_bytes(), password=None)
        except (OSError, ValueError, TypeError):
            remedy = "make one with openssl genpkey -algorithm ed25519"
            raise InputError("is no readable private key in PEM", option=option, value=path, remedy=remedy) from None
        if not isinstance(key, Ed25519PrivateKey):
            remedy = "make one with openssl genpkey -algorithm ed25519"
            raise InputError("is no Ed25519 key", option=option, value=path, remedy=remedy)
        self._key = key

    def signed(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The files with SHA256SUMS and its signature, in Base64."""
        sums = "".join(f"{hashlib.sha256(texts[name].encode()).hexdigest()}  {name}\n" for name in sorted(texts))
        return {**texts, SUMS: sums, SIGNATURE: base64.b64encode(self._key.sign(sums.encode())).decode() + "\n"}
