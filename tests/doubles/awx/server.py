# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small double of AWX's API version 2 over HTTP on loopback: what setting it up as code needs, and no jobs.

It knows bearer tokens, named lists with filters and pages, validation errors as AWX words them, related lists, surveys, approval nodes
and secrets that are shown as ``$encrypted$``. It is no AWX: whoever may do what, launches and deletions are not there.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .store import BASE, Refused, Store


class Awx:
    """``with Awx(playbooks) as awx``: ``awx.url``, ``awx.token``, ``awx.store`` and ``awx.requests``, each ``(method, path, body)``."""

    token = "token-of-the-double"

    def __init__(self, playbooks: Iterable[str], page_size: int = 25) -> None:
        self.store, self.page_size = Store(playbooks), page_size
        self.requests: list[tuple[str, str, Any]] = []
        self._lock = threading.Lock()
        awx = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: Any) -> None:
                pass

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}") if length else {}
                status, answer = awx.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
                text = json.dumps(answer).encode() if answer is not None else b""
                self.send_response(status)
                self.send_header("X-API-Product-Name", "AWX")
                self.send_header("X-API-Product-Version", "24.6.1")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Awx:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, target: str, authorization: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body, one request at a time."""
        parts = urlsplit(target)
        with self._lock:
            self.requests.append((method, target, body))
            if authorization != f"Bearer {self.token}":
                return 401, {"detail": "Authentication credentials were not provided."}
            try:
                return self._route(method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), body)
            except Refused as refused:
                return refused.status, refused.body

    def _route(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        match = re.fullmatch(rf"{BASE}/([a-z_]+)/(?:(\d+)/(?:([a-z_]+)/)?)?", path)
        if not match:
            raise Refused(404, {"detail": "Not found."})
        plural, number, name = match.group(1), int(match.group(2) or 0), match.group(3)
        if not number:
            if method == "POST":
                return 201, self.store.create(plural, body)
            return 200, self._page(path, query, self.store.listed(plural, query))
        if name:
            return self._below(method, path, query, (number, name), body)
        if plural == "project_updates":
            return 200, {"id": number, "status": "successful"}
        return 200, self.store.change(number, body) if method == "PATCH" else self.store.shown(number)

    def _below(self, method: str, path: str, query: dict[str, str], what: tuple[int, str], body: dict[str, Any]) -> tuple[int, Any]:
        number, name = what
        if name == "survey_spec":
            return 200, self.store.survey(number, body if method == "POST" else None)
        if name == "create_approval_template" and method == "POST":
            return 201, self.store.approve(number, body)
        if method == "POST":
            self.store.relate(number, name, body)
            return 204, None
        return 200, self._page(path, query, self.store.related(number, name))

    def _page(self, path: str, query: dict[str, str], rows: list[dict[str, Any]]) -> dict[str, Any]:
        page, size = int(query.get("page", 1)), int(query.get("page_size", self.page_size))
        following = f"{path}?{urlencode({**query, 'page': page + 1})}" if page * size < len(rows) else None
        return {"count": len(rows), "next": following, "previous": None, "results": rows[(page - 1) * size : page * size]}
