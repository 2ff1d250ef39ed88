# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists page by page, begun anew when a page has expired."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ...errors import BackendError
from ..cluster import Object
from .requests import Request, Requests

_PAGE = 500
_SMALLEST_PAGE = 10
# Pages of large objects get shorter, so that this is about what one holds in memory as text.
_PAGE_BYTES = 8 * 1024 * 1024
# A list that expires that often changes faster than it can be read.
_RESTARTS = 8


def pages(requests: Requests, request: Request) -> Iterator[Object]:
    """The items of a list; none twice, though it had to be begun anew."""
    seen: set[str] = set()
    again = _RESTARTS
    token, limit = "", _PAGE
    while True:
        query = [*request.query, ("limit", str(limit)), *([("continue", token)] if token else [])]
        try:
            answer = requests.send(dataclasses.replace(request, query=query))
        except BackendError as error:
            if error.details.get("code") != 410 or not token or not again:
                raise
            token, again = "", again - 1
            continue
        items = answer.body.get("items") or []
        token = str((answer.body.get("metadata") or {}).get("continue") or "")
        if items:
            limit = max(_SMALLEST_PAGE, min(_PAGE, _PAGE_BYTES * len(items) // max(1, answer.size)))
        # Each is let go of as soon as it is given; so is the page.
        items.reverse()
        del answer
        while items:
            item = items.pop()
            key = _key(item)
            if key not in seen:
                seen.add(key)
                yield item
        if not token:
            return


def _key(item: Object) -> str:
    """The UID; of objects that have none, as of some servers beside the main one, namespace and name."""
    metadata = item.get("metadata") or {}
    return str(metadata.get("uid") or f"{metadata.get('namespace', '')}/{metadata.get('name', '')}")
