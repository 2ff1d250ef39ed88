# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signs of life that the user names: an address that answers over HTTP, or a port that takes connections."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import urlsplit

from ..errors import InputError, MigrationFailed

_TRY_SECONDS = 5.0
_LOOK = 0.5


@dataclass(frozen=True)
class Probe:
    """Either ``url`` and the ``status`` of its answer, or ``host`` and ``port``; ``timeout`` in seconds."""

    url: str = ""
    status: int = 200
    validate_certs: bool = True
    host: str = ""
    port: int = 0
    timeout: int = 60

    @property
    def place(self) -> str:
        return self.url or f"{self.host}:{self.port}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection is an answer of its own."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def probes_of(options: Sequence[Mapping[str, Any]]) -> tuple[Probe, ...]:
    """InputError for one that names neither or both, or an address of another kind."""
    found = []
    for index, option in enumerate(options):
        probe = Probe(**{key: value for key, value in option.items() if value is not None})
        where = f"life_probes[{index}]"
        if bool(probe.url) == bool(probe.host and probe.port):
            raise InputError("has to have a url, or a host and a port", option=where, remedy="give one of them")
        if probe.url and (urlsplit(probe.url).scheme not in ("http", "https") or not urlsplit(probe.url).hostname):
            raise InputError(
                "is no address of a web server", option=f"{where}.url", value=probe.url, remedy="begin it with https://"
            )
        if probe.timeout < 1:
            raise InputError("must be 1 or more", option=f"{where}.timeout", value=probe.timeout, remedy="give seconds")
        found.append(probe)
    return tuple(found)


def see_life(probes: Sequence[Probe], check: Callable[[], None]) -> str:
    """What was seen, in words; MigrationFailed for the first that gave no sign of life in its time."""
    for probe in probes:
        deadline = time.monotonic() + probe.timeout
        while True:
            check()
            fault = _fault(probe)
            if not fault:
                break
            if time.monotonic() > deadline:
                raise MigrationFailed(
                    f"{probe.place} gave no sign of life in {probe.timeout} seconds: {fault}", option="life_probes"
                )
            time.sleep(_LOOK)
    return ", ".join(f"{probe.place} answered" for probe in probes)


def _fault(probe: Probe) -> str:
    try:
        if not probe.url:
            with socket.create_connection((probe.host, probe.port), _TRY_SECONDS):
                return ""
        context = ssl.create_default_context()
        if not probe.validate_certs:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))
        with opener.open(probe.url, timeout=_TRY_SECONDS) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as error:
        status = error.code
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return "" if status == probe.status else f"the answer was {status}, not {probe.status}"
