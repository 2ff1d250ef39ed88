# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements about a site: free mappings, of which some keys mean something here.

``claim``: what is stated, and ``value``: any data, true where it is left out. ``evidence``: the URL of the document, ``sha256``: its
digest. ``issuer``: who says so. ``issued`` and ``expires``: days, ISO 8601, both of them counted in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from .errors import InputError
from .fields import Fields

_URL = re.compile(r"^https?://[^\s/]+\S*\Z")
_SHA256 = re.compile(r"^[0-9a-f]{64}\Z")


def read_attestations(fields: Fields, key: str = "attestations") -> tuple[dict[str, Any], ...]:
    """As they were written; InputError for what is not of its kind, and for dates that are not ISO 8601."""
    attested = fields.mappings(key)
    for index, attestation in enumerate(attested):
        where = f"{fields.path(key)}[{index}]"
        if not isinstance(attestation.get("claim", ""), str):
            remedy = "name what is attested, in quotes"
            raise InputError("is not a string", option=f"{where}.claim", value=attestation["claim"], remedy=remedy)
        for day in ("issued", "expires"):
            _check_date(attestation.get(day), f"{where}.{day}")
        _check_document(attestation, where)
    return attested


def _check_document(attestation: Mapping[str, Any], where: str) -> None:
    for key, pattern, what, remedy in (
        ("evidence", _URL, "is no URL", "write it as https://…"),
        ("sha256", _SHA256, "is no SHA-256 digest", "write the 64 hexadecimal digits that sha256sum tells"),
        ("issuer", None, "is not a string", "put it in quotes"),
    ):
        written = attestation.get(key)
        if written is not None and not (isinstance(written, str) and (pattern is None or pattern.match(written))):
            raise InputError(what, option=f"{where}.{key}", value=written, remedy=remedy)


def _check_date(written: Any, option: str) -> None:
    try:
        if written is not None:
            date.fromisoformat(written)
    except (TypeError, ValueError):
        raise InputError("is not a date", option=option, value=written, remedy="write it as 2026-12-31") from None


def certifications(attestations: Iterable[dict[str, Any]], today: date) -> frozenset[str]:
    """The claims that hold on that day: issued, not expired, and not denied."""
    return frozenset(
        attestation["claim"]
        for attestation in attestations
        if attestation.get("claim")
        and attestation.get("value", True) not in (False, None, "")
        and date.fromisoformat(attestation.get("issued") or "0001-01-01") <= today
        and date.fromisoformat(attestation.get("expires") or "9999-12-31") >= today
    )


def attestation_of(attestations: Iterable[Mapping[str, Any]], claim: str, today: str) -> dict[str, Any] | None:
    """The one of that claim that lasts longest of those that are issued by ``today`` (ISO 8601), stale or not; None for none."""
    issued = [one for one in attestations if one.get("claim") == claim and (one.get("issued") or today) <= today]
    ordered = sorted(issued, key=lambda one: (one.get("expires") or "9999-12-31", one.get("issued") or ""))
    return {"value": True, **ordered[-1]} if ordered else None
