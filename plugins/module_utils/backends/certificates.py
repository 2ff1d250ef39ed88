# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a certificate ends, read from its PEM file's text; pure."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime, timezone

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


def not_after(pem: str) -> datetime | None:
    """The end of the first certificate's validity; None when it cannot be read."""
    found = _PEM.search(pem)
    if found is None:
        return None
    try:
        return _not_after(base64.b64decode("".join(found[1].split()), validate=True))
    except (binascii.Error, IndexError, ValueError):
        return None


def _not_after(der: bytes) -> datetime | None:
    """X.509: Certificate, tbsCertificate; in it [version], serialNumber, signature, issuer, validity (RFC 5280, 4.1)."""
    _tag, certificate, _rest = _element(der)
    _tag, body, _rest = _element(certificate)
    tag, _content, rest = _element(body)
    if tag == _VERSION:
        _tag, _serial, rest = _element(rest)
    for _skipped in ("signature", "issuer"):
        _tag, _content, rest = _element(rest)
    tag, validity, _rest = _element(rest)
    if tag != _SEQUENCE:
        return None
    _tag, _begin, rest = _element(validity)
    tag, end, _rest = _element(rest)
    text = end.decode("ascii")
    if tag == _UTC_TIME:
        # Two digits of a year: from 50 on they are of the last century.
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        return None
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first DER element, and what follows it; ValueError when it is cut short."""
    tag, size, start = der[0], der[1], 2
    if size & 0x80:
        count = size & 0x7F
        start += count
        size = int.from_bytes(der[2:start], "big")
    if start + size > len(der):
        raise ValueError("a DER element that is cut short")
    return tag, der[start : start + size], der[start + size :]
