# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to one API server, JSON in and out: a pool of connections for many threads, faults in our words, patience."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import BackendError, FederationError, UnreachableError
from .faults import Question, refusal
from .kubeconfig import Login
from .patience import Patience
from .sdk import urllib3
from .transport import client_for, fault_of

JSON = "application/json"
_CONNECT_SECONDS = 10.0
# The server gives itself 60 seconds for an answer.
_READ_SECONDS = 65.0
_LONGEST_RETRY_AFTER = 60.0


@dataclass(frozen=True)
class Request:
    """``repeatable``: done twice, it does no harm."""

    question: Question
    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    body: Any = None
    content_type: str = JSON
    accept: str = JSON
    repeatable: bool = True


@dataclass(frozen=True)
class Answer:
    """``repeated``: an earlier try got lost, and may have been carried out."""

    code: int
    body: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    repeated: bool = False


class Requests:
    """Many threads may use it at once."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._patience = float(login.access.patience)
        self._client = client_for(login)
        self._leaving = threading.Event()
        read = min(_READ_SECONDS, max(5.0, self._patience))
        self._timeout = urllib3.Timeout(connect=min(_CONNECT_SECONDS, max(1.0, self._patience)), read=read)

    def send(self, request: Request, *, absent: bool = False) -> Answer:
        """The answer with a code below 400, or also 404 when ``absent`` is an answer to the question."""
        patience = Patience(self._patience, self._leaving)
        lost = False
        while True:
            try:
                code, body, size, retry_after = self._once(request)
            except urllib3.exceptions.HTTPError as error:
                fault = fault_of(error, self.login.access, self.login.server)
                may_repeat = request.repeatable or fault.nothing_was_sent
                lost = lost or not fault.nothing_was_sent
                if fault.stays or not may_repeat or not patience.pause():
                    raise fault.error(patience.tried, self._patience) from error
                continue
            if code < 400 or (absent and code == 404 and _is_status(body)):
                return Answer(code, body, size, lost)
            # 429 says that nothing was done.
            again = patience.passes(code, body) and (request.repeatable or code == 429)
            if not again or not patience.pause(retry_after):
                raise self._refusal(request, code, body)
            lost = lost or code != 429

    def _once(self, request: Request) -> tuple[int, dict[str, Any], int, float]:
        headers = {**self.headers(request.accept), "Content-Type": request.content_type}
        body = None if request.body is None else json.dumps(request.body, separators=(",", ":")).encode()
        url = self.url(request.path, request.query)
        answer = self._client.request(
            request.method, url, body=body, headers=headers, timeout=self._timeout, retries=False, redirect=False
        )
        return int(answer.status), self._read(request, answer), len(answer.data), _retry_after(answer.headers)

    def stream(self, request: Request, seconds: float) -> Any:
        """An answer whose body comes piece by piece, at most that many seconds apart; its reader must close it."""
        patience = Patience(self._patience, self._leaving)
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=seconds)
        while True:
            try:
                answer = self._client.request(
                    request.method,
                    self.url(request.path, request.query),
                    headers=self.headers(request.accept),
                    timeout=timeout,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                if answer.status < 400:
                    return answer
                body = self._read(request, answer)
                answer.close()
            except urllib3.exceptions.HTTPError as error:
                fault = fault_of(error, self.login.access, self.login.server)
                if fault.stays or not patience.pause():
                    raise fault.error(patience.tried, self._patience) from error
                continue
            if not patience.passes(answer.status, body) or not patience.pause(_retry_after(answer.headers)):
                raise self._refusal(request, int(answer.status), body)

    def _read(self, request: Request, answer: Any) -> dict[str, Any]:
        """The JSON of an answer; an answer of 400 or more may be anything, as of a proxy on the way."""
        with contextlib.suppress(ValueError):
            read = json.loads(answer.data)
            if isinstance(read, dict):
                return read
        if answer.status >= 400:
            return {}
        what = f"cluster {request.question.cluster}: {request.question}: the answer is not JSON of an API server"
        raise BackendError(what, option=self.login.access.option, value=self.login.server, remedy="check the server's address")

    def _refusal(self, request: Request, code: int, body: dict[str, Any]) -> FederationError:
        if code == 401:
            return self.unknown_user()
        if code in (502, 503, 504) and not _is_status(body):
            what = f"cluster {request.question.cluster}: {request.question}: the server was away for {self._patience:g} s ({code})"
            return UnreachableError(
                what, option=self.login.access.option, value=self.login.server, remedy="run again when it is back"
            )
        return refusal(request.question, code, body)

    def unknown_user(self) -> UnreachableError:
        access = self.login.access
        what = f"the cluster at {self.login.server} does not accept its credentials (401)"
        return UnreachableError(what, option=access.option, value=access.kubeconfig, remedy="fetch the kubeconfig anew")

    def headers(self, accept: str = JSON) -> dict[str, str]:
        return {"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": "virt8ra-federation", **self.login.headers()}

    def url(self, path: str, query: Sequence[tuple[str, str]] = ()) -> str:
        parameters = f"?{urllib.parse.urlencode(query)}" if query else ""
        return f"{self.login.server}{path}{parameters}"

    def close(self) -> None:
        self._leaving.set()
        self._client.clear()


def _is_status(body: Mapping[str, Any]) -> bool:
    return body.get("kind") == "Status"


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds; a date, which API servers do not send, counts as none."""
    try:
        return min(_LONGEST_RETRY_AFTER, max(0.0, float(headers.get("Retry-After") or 0)))
    except ValueError:
        return 0.0
