# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements about a site: free mappings, of which ``claim``, ``value``, ``issued`` and ``expires`` mean something here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from .errors import InputError
from .fields import Fields


def read_attestations(fields: Fields, key: str = "attestations") -> tuple[dict[str, Any], ...]:
    """As they were written; InputError for a claim that is no string, and for dates that are not ISO 8601."""
    attested = fields.mappings(key)
    for index, attestation in enumerate(attested):
        where = f"{fields.path(key)}[{index}]"
        if not isinstance(attestation.get("claim", ""), str):
            remedy = "name what is attested, in quotes"
            raise InputError("is not a string", option=f"{where}.claim", value=attestation["claim"], remedy=remedy)
        for day in ("issued", "expires"):
            _check_date(attestation.get(day), f"{where}.{day}")
    return attested


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
