# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages that a site's attestations name, fetched from the controller as anybody would: their status, digest and what they say."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..attestations import attestation_of
from ..crew import work_through
from ..model import Site
from .subjects import Subject

CLAIMS = ("jurisdiction_page", "formats_register")
MOST_BYTES = 4 * 1024 * 1024
_SILENCE = 15.0  # seconds
_WORKERS = 8
_HOW = "HTTP GET from the controller; SHA-256 of the answer's body"


def fetch_page(url: str, words: Iterable[str], sha256: str | None) -> dict[str, Any]:
    """``{url, status, sha256, bytes, names_all, missing, digest_holds}``, or with ``fault`` and the status null where nobody answered.

    ``words``: what the page must hold, whatever the case. ``digest_holds``: null where no digest was attested.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    request = urllib.request.Request(url, headers={"User-Agent": "virt8ra.federation", "Accept-Encoding": "identity"})
    words = list(words)
    nothing: dict[str, Any] = {"url": url, "status": None, "names_all": False, "missing": words, "digest_holds": None}
    try:
        with opener.open(request, timeout=_SILENCE) as answer:
            status, body = answer.status, answer.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            return {**nothing, "status": error.code}
    except (OSError, ValueError, http.client.HTTPException) as error:
        return {**nothing, "fault": " ".join(str(error).split())}
    if len(body) > MOST_BYTES:
        return {**nothing, "fault": f"is larger than {MOST_BYTES} bytes"}
    text, digest = body.decode("utf-8", "replace").casefold(), hashlib.sha256(body).hexdigest()
    missing = [word for word in words if word.casefold() not in text]
    holds = None if sha256 is None else digest == sha256
    told = {"status": status, "sha256": digest, "bytes": len(body)}
    return {**nothing, **told, "names_all": not missing, "missing": missing, "digest_holds": holds}


def add_public_pages(subjects: Iterable[Subject], sites: Sequence[Site], today: str, *, patience: float = 60.0) -> None:
    """To each site a fact for each page that it attests with a URL, called as the claim; ``patience``: seconds for all of them together."""
    wanted = [
        (site.name, claim, attestation)
        for site in sites
        for claim in CLAIMS
        for attestation in [attestation_of(site.attestations, claim, today)]
        if attestation is not None and attestation.get("evidence")
    ]
    pages = work_through(wanted, lambda one: _page(one[2]), workers=_WORKERS, deadline=time.monotonic() + patience)
    facts: dict[str, dict[str, Any]] = {site.name: {} for site in sites}
    for (site, claim, _attestation), page in zip(wanted, pages):
        fault = "it did not answer in time" if page is None else page.get("fault")
        facts[site][claim] = {"how": _HOW, "error": fault} if fault else {"how": _HOW, "data": page}
    for subject in subjects:
        if subject.type == "site":
            subject.facts.update(facts[subject.site])


def _page(attestation: Mapping[str, Any]) -> dict[str, Any]:
    value = attestation.get("value")
    words = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return fetch_page(attestation["evidence"], [str(word) for word in words], attestation.get("sha256"))
