# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of compliance_report to what is judged; bad input is refused before anything is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..fields import Fields, unique
from ..files import check_folder, read_text
from ..latency import read_latencies
from ..model import Site
from ..waivers import Waiver
from .assessing import Known
from .controls import read_controls, read_documents
from .drift import read_previous
from .profiles import find_profile
from .report.files import NAMES
from .report.signing import read_key


@dataclass(frozen=True)
class Request:
    """``folder`` can be written, as far as can be known."""

    known: Known
    folder: str
    fail_on: str


def read_request(params: Mapping[str, Any], now: str) -> Request:
    """InputError for the first that cannot be meant; the folder first of all.

    :param now: the day of today, ISO 8601
    """
    folder = str(params["folder"])
    check_folder(folder, "folder")
    if params["signing_key"]:
        read_key(params["signing_key"], params["signing_passphrase"])
    given = params
    fields = Fields(given, "")
    sites = fields.each("sites", Site.from_dict)
    unique([site.name for site in sites], "sites[].name")
    profile = find_profile(read_documents(given["profiles"], "profiles"), fields.text("profile", required=True))
    known = Known(
        federation=fields.text("federation", required=True),
        sites=sites,
        evidence=given["evidence"],
        vms=given["vms"],
        latencies=read_latencies(given["latencies"], "latencies"),
        controls=read_controls(read_documents(given["controls"], "controls")),
        profile=profile,
        waivers=fields.each("waivers", Waiver.from_dict),
        today=_today(given["today"] or now),
        previous=read_previous(read_text(given["previous"] or str(Path(folder) / NAMES[0]))),
        fetch_pages=fields.boolean("public_pages", False),
    )
    return Request(known, folder, given["fail_on"] or profile.fail_on)


def _today(written: str) -> str:
    try:
        return date.fromisoformat(written).isoformat()
    except ValueError:
        raise InputError("is not a date", option="today", value=written, remedy="write it as 2026-12-31") from None
