# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signs of life over HTTP and TCP, on a server of this test."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.probes import Probe, probes_of, see_life
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError, MigrationFailed


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/well": 200, "/away": 302}.get(self.path, 503))
        self.send_header("Location", "/well")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def nothing() -> None:
    pass


def test_signs_of_life(port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    probes = [Probe(url=f"{base}/well"), Probe(url=f"{base}/ill", status=503), Probe(host="127.0.0.1", port=port)]
    assert see_life(probes, nothing) == f"{base}/well answered, {base}/ill answered, 127.0.0.1:{port} answered"
    # A redirection is an answer of its own.
    assert see_life([Probe(url=f"{base}/away", status=302)], nothing)


def test_no_sign_of_life_is_told(port: int) -> None:
    with pytest.raises(MigrationFailed, match=r"/ill gave no sign of life in 0 seconds: the answer was 503, not 200"):
        see_life([Probe(url=f"http://127.0.0.1:{port}/ill", timeout=0)], nothing)
    with pytest.raises(MigrationFailed, match=r"127.0.0.1:1 gave no sign of life"):
        see_life([Probe(host="127.0.0.1", port=1, timeout=0)], nothing)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({}, r"life_probes\[0\]: has to have a url, or a host and a port"),
        ({"url": "http://a", "host": "b", "port": 1}, "has to have a url, or a host and a port"),
        ({"host": "b", "port": None}, "has to have a url, or a host and a port"),
        ({"url": "file:///etc/passwd"}, r"life_probes\[0\].url='file:///etc/passwd': is no address of a web server"),
        ({"url": "https://a", "timeout": 0}, "timeout=0: must be 1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(option: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        probes_of([option])
