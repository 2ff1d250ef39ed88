# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the bytes of an image come from when no other site has it: a URL, or a file here. BackendError where they do not."""

from __future__ import annotations

import contextlib
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BackendError
from .receiving import PIECE, Offer, read_file

# Seconds for which a server may stay silent.
_SILENCE = 60.0
# Nothing but these: no ftp, no file behind a redirect.
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
)


@contextlib.contextmanager
def from_url(url: str) -> Iterator[Offer]:
    """What the server sends; BackendError where it does not answer."""
    if url.startswith("file:"):
        path = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
        with from_file(path) as opened:
            yield opened
        return
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    request = urllib.request.Request(url, headers={"User-Agent": "virt8ra.federation", "Accept-Encoding": "identity"})
    with _named():
        answer = opener.open(request, timeout=_SILENCE)
    with contextlib.closing(answer):
        length = answer.headers.get("Content-Length") or ""
        yield Offer(_pieces(answer), int(length) if length.isdecimal() else 0)


@contextlib.contextmanager
def from_file(path: Path) -> Iterator[Offer]:
    """As from_url, of a file of this hypervisor."""
    if not path.is_file():
        raise BackendError(f"{path} is no file here")
    yield Offer(read_file(path), path.stat().st_size)


def _pieces(answer: Any) -> Iterator[bytes]:
    while True:
        with _named():
            piece = answer.read(PIECE)
        if not piece:
            return
        yield piece


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """The network's faults in our words."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise BackendError(f"answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise BackendError(f"cannot be reached ({error.reason})") from error
    except TimeoutError as error:
        raise BackendError(f"fell silent for {_SILENCE:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise BackendError(f"broke off ({error})") from error
